"""What commands print: the API's own JSON for programs, tables for people, and nothing that steers a terminal."""

import json
from pathlib import Path

import pytest

from cli.canned import CannedServer, Invoke

ACCOUNTS = b'{"data":[{"id":"acc_1","name":"Acme","createdAt":"2026-11-23T10:00:00.000Z","more":1}],"nextCursor":"AZ"}'
DELIVERY = {
    "id": "dlv_1",
    "event": "evt_1",
    "eventType": "esim.activated",
    "status": "failed",
    "attemptCount": 2,
    "attempts": [
        {
            "number": number,
            "startedAt": "2026-11-23T10:00:00.000Z",
            "durationMs": 5000,
            "outcome": outcome,
            "statusCode": status,
            "error": error,
            "responseBody": "",
        }
        for number, outcome, status, error in ((1, "timeout", None, "no answer in 5 s"), (2, "5xx", 502, None))
    ],
}


def test_json_is_exactly_what_the_api_says(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/accounts", ACCOUNTS)

    done = invoke("accounts", "list", "--json")

    assert (done.code, done.out, done.err) == (0, ACCOUNTS.decode() + "\n", "")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["accounts", "show", "x"], "/v1/accounts/x"),
        (["keys", "list", "--account", "x"], "/v1/accounts/x/keys"),
        (["providers", "list"], "/v1/providers"),
        (["providers", "show", "x"], "/v1/providers/x"),
        (["orders", "list"], "/v1/orders"),
        (["orders", "show", "x"], "/v1/orders/x"),
        (["esims", "list"], "/v1/esims"),
        (["esims", "show", "x"], "/v1/esims/x"),
        (["events", "list"], "/v1/events"),
        (["events", "show", "x"], "/v1/events/x"),
        (["endpoints", "list"], "/v1/endpoints"),
        (["endpoints", "show", "x"], "/v1/endpoints/x"),
        (["deliveries", "list"], "/v1/deliveries"),
        (["deliveries", "show", "x"], "/v1/deliveries/x"),
        (["notifications", "list"], "/v1/notifications"),
        (["notifications", "show", "x"], "/v1/notifications/x"),
        (["audit", "list"], "/v1/audit"),
        (["trace", "x"], "/v1/trace/x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_command_that_prints_data_prints_json(
    invoke: Invoke, server: CannedServer, words: list[str], path: str
) -> None:
    server.answer(f"GET {path}", b'{"data": [], "nextCursor": null}')

    assert invoke(*words, "--json").out == '{"data": [], "nextCursor": null}\n'


def test_a_list_is_a_table_and_says_on_stderr_that_there_is_more(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/accounts", ACCOUNTS)

    done = invoke("accounts", "list")

    assert done.code == 0
    assert [line.split() for line in done.out.splitlines() if "acc_1" in line] == [
        ["acc_1", "Acme", "2026-11-23T10:00:00.000Z"]
    ]
    assert "--cursor AZ" in done.err


def test_a_delivery_is_shown_with_each_of_its_attempts(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/deliveries/dlv_1", DELIVERY)

    out = invoke("deliveries", "show", "dlv_1").out

    rows = [line.split() for line in out.splitlines()]
    assert ["1", "timeout", "-", "5000", "2026-11-23T10:00:00.000Z", "no", "answer", "in", "5", "s"] in rows
    assert ["2", "5xx", "502", "5000", "2026-11-23T10:00:00.000Z", "-"] in rows


def test_a_long_line_is_not_broken_where_nobody_looks(invoke: Invoke, server: CannedServer) -> None:
    name = "x" * 300
    server.answer("GET /v1/accounts", {"data": [{"id": "acc_1", "name": name, "createdAt": "t"}]})

    assert name in invoke("accounts", "list").out


def test_colours_are_for_terminals(invoke: Invoke, server: CannedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    server.answer("GET /v1/deliveries/dlv_1", DELIVERY)

    done = invoke("deliveries", "show", "dlv_1")

    assert "failed" in done.out
    assert "\x1b" not in done.out + done.err


def test_what_others_wrote_cannot_steer_the_terminal(invoke: Invoke, server: CannedServer) -> None:
    name = "[red]A\x1b[2J\x07\ncme"
    server.answer("GET /v1/accounts", {"data": [{"id": "acc_1", "name": name, "createdAt": "t"}]})
    server.answer("GET /v1/accounts/acc_2", {"detail": "no\rsuch\x1b[2J"}, status=404)

    assert r"[red]A\x1b[2J\x07\ncme" in invoke("accounts", "list").out
    assert r"no\rsuch\x1b[2J" in invoke("accounts", "show", "acc_2").err


def test_nothing_to_list_is_no_failure(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/esims", {"data": [], "nextCursor": None})

    done = invoke("esims", "list")

    assert (done.code, done.out) == (0, "")
    assert "nothing there" in done.err


def test_bodies_have_the_options_that_were_passed_and_no_more(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/endpoints", {"id": "ep_1", "secret": "whsec_x"}, status=201)
    server.answer("PUT /v1/providers/up", {"name": "up"})

    made = invoke(
        "endpoints", "create", "--url", "https://x.example", "--event-type", "esim.*", "--retry-schedule", "0,9"
    )
    invoke(
        "providers", "put", "up", "--kind", "esimaccess", "--credential", "accessCode=a", "--setting", "signed=false"
    )

    assert "whsec_x" in made.out
    assert [request.body for request in server.requests] == [
        {"url": "https://x.example", "eventTypes": ["esim.*"], "retrySchedule": [0, 9]},
        {"kind": "esimaccess", "credentials": {"accessCode": "a"}, "settings": {"signed": False}},
    ]


def test_updates_are_handed_in_without_waiting_for_their_outcome(
    invoke: Invoke, server: CannedServer, tmp_path: Path
) -> None:
    server.answer("POST /v1/updates", {"notifications": ["ntf_1", "ntf_2"]}, status=202)
    file = tmp_path / "updates.json"
    file.write_text('[{"transactionId": "t-1"}, {"transactionId": "t-2"}]')

    done = invoke("updates", str(file), "--no-wait", "--idempotency-key", "night-7")

    assert done.code == 0
    assert done.out.split() == ["NO", "NOTIFICATION", "1", "ntf_1", "2", "ntf_2"]
    [request] = server.requests
    assert (request.headers["prefer"], request.headers["idempotency-key"]) == ("respond-async", "night-7")


def test_the_same_key_lets_a_script_repeat_what_it_makes(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/accounts", {"id": "acc_1", "name": "Acme"}, status=201)

    invoke("accounts", "create", "--name", "Acme", "--idempotency-key", "acme")
    invoke("accounts", "create", "--name", "Acme")

    assert [request.headers.get("idempotency-key") for request in server.requests] == ["acme", None]


def test_a_command_without_an_answer_says_that_it_is_done(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/deliveries/dlv_1/cancel", status=202)

    assert invoke("deliveries", "cancel", "dlv_1").out == "dlv_1 is cancelled\n"


def test_sending_again_to_an_endpoint_that_is_off_says_that_it_waits(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/deliveries/dlv_1/retry", status=202)
    server.answer("GET /v1/deliveries/dlv_1", DELIVERY | {"endpoint": "ep_1"})
    server.answer("GET /v1/endpoints/ep_1", {"id": "ep_1", "enabled": False}, {"id": "ep_1", "enabled": True})

    off, on = invoke("deliveries", "retry", "dlv_1"), invoke("deliveries", "retry", "dlv_1")

    assert off.out == on.out == "dlv_1 is pending again\n"
    assert "esimhooks endpoints enable ep_1" in off.err
    assert on.err == ""


def test_json_of_an_order_is_not_touched(invoke: Invoke, server: CannedServer) -> None:
    order = {"id": "ord_1", "esims": [{"id": "esim_1", "esimStatus": "PENDING", "esimTranNo": None, "iccid": None}]}
    server.answer("POST /v1/orders", order, status=201)
    words = ["--account", "acc_1", "--mode", "test", "--provider", "up", "--transaction-id", "t", "--package-code", "P"]

    assert json.loads(invoke("orders", "create", *words, "--json").out) == order
    assert "esim_1" in invoke("orders", "create", *words).out


def test_a_thing_inside_another_is_shown_line_by_line(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/providers/x", b'{"name":"x","endpoint":{"id":"ep_1","secret":"whsec_1"},"settings":{}}')

    done = invoke("providers", "show", "x")

    assert [line.strip() for line in done.out.splitlines() if "endpoint" in line] == [
        "endpoint.id      ep_1",
        "endpoint.secret  whsec_1",
    ]


def test_a_trace_is_a_tree_from_the_notification_to_the_attempt(invoke: Invoke, server: CannedServer) -> None:
    attempt = DELIVERY["attempts"][0] | {"id": "att_1"}  # type: ignore[index]  # it is a list
    delivery = {"id": "dlv_1", "event": "evt_1", "endpoint": "ep_1", "status": "failed", "nextAttemptAt": None}
    event = {"id": "evt_1", "type": "esim.activated", "esim": "esim_1", "changed": ["esimStatus"], "createdAt": "t"}
    event |= {"previousStatus": "CREATED", "newStatus": "IN_USE"}
    note = {"id": "ntf_1", "source": "up", "kind": "ESIM", "outcome": "applied", "detail": None, "receivedAt": "t"}
    chain = {
        "id": "dlv_1",
        "account": "acc_1",
        "mode": "test",
        "notifications": [note],
        "esims": [{"id": "esim_1", "esimStatus": "IN_USE", "iccid": None, "transactionId": "t\x1b[2J"}],
        "events": [event | {"notification": "ntf_1"}],
        "deliveries": [delivery | {"attempts": [attempt]}],
        "truncated": True,
    }
    server.answer("GET /v1/trace/dlv_1", chain)

    done = invoke("trace", "dlv_1")

    lines = [line for line in done.out.splitlines() if "_1" in line]
    assert [line.strip(" │├└─").split()[0] for line in lines] == ["dlv_1", "esim_1", "ntf_1", "evt_1", "dlv_1", "att_1"]
    depths = [len(line) - len(line.lstrip(" │├└─")) for line in lines]
    assert depths == sorted(depths)
    assert depths[1] == depths[2] < depths[3] < depths[4] < depths[5]
    assert "esim.activated  CREATED to IN_USE  changed: esimStatus" in lines[3]
    assert "timeout in 5000 ms  no answer in 5 s" in lines[-1]
    assert "\x1b" not in done.out
    assert "more than is shown" in done.err


def test_the_audit_log_names_who_and_which_fields(invoke: Invoke, server: CannedServer) -> None:
    entry = {
        "at": "2026-11-23T10:00:00.000Z",
        "actor": {"kind": "merchant", "key": "key_1", "name": "ci"},
        "address": "203.0.113.7",
        "action": "endpoint.change",
        "subject": "ep_1",
        "account": "acc_1",
        "changes": {"url": {"old": "a", "new": "b"}, "rateLimit": {"old": None, "new": 5}},
    }
    server.answer("GET /v1/audit", {"data": [entry], "nextCursor": None})

    done = invoke("audit", "list", "--actor", "key_1", "--action", "endpoint.change")

    [line] = [line.split() for line in done.out.splitlines() if "ep_1" in line]
    assert line == f"{entry['at']} endpoint.change ep_1 merchant url, rateLimit ci 203.0.113.7 acc_1".split()
    assert server.requests[0].query == {"actor": "key_1", "action": "endpoint.change", "limit": "25"}


def test_a_requery_by_filter_is_followed_to_its_end(invoke: Invoke, server: CannedServer) -> None:
    state = {"id": "rqy_1", "matched": 2, "done": 0, "changed": 0, "failed": 0, "finishedAt": None}
    server.answer("POST /v1/esims/requery", state, status=202)
    server.answer("GET /v1/requeries/rqy_1", state | {"done": 1})
    server.answer("GET /v1/requeries/rqy_1", state | {"done": 2, "changed": 1, "failed": 1, "finishedAt": "t"})

    done = invoke("esims", "requery", "--status", "IN_USE", "--json")

    assert (done.code, json.loads(done.out)["done"]) == (1, 2)
    assert server.requests[0].body == {"status": "IN_USE"}


@pytest.mark.parametrize(
    "words", [[], ["esim_1", "--all"], ["esim_1", "--status", "IN_USE"], ["--all", "--iccid", "1"]]
)
def test_a_requery_must_say_which_esims(invoke: Invoke, server: CannedServer, words: list[str]) -> None:
    assert invoke("esims", "requery", *words).code == 2
    assert server.requests == []


def test_an_account_is_not_deleted_without_a_yes(invoke: Invoke, server: CannedServer) -> None:
    server.answer("DELETE /v1/accounts/acc_1", b"", status=204)

    assert invoke("accounts", "delete", "acc_1").code == 2
    assert server.requests == []
    assert invoke("accounts", "delete", "acc_1", "--yes").code == 0
    assert [request.method for request in server.requests] == ["DELETE"]


def test_an_endpoints_profile_and_redaction_are_options(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/endpoints", {"id": "ep_1"}, status=201)
    server.answer("PATCH /v1/endpoints/ep_1", {"id": "ep_1"})

    create = ["endpoints", "create", "--url", "https://x.example"]
    invoke(*create, "--signature-profile", "standard-asymmetric", "--redact-credentials")
    invoke("endpoints", "update", "ep_1", "--signature-profile", "hex", "--no-redact-credentials")
    invoke("endpoints", "update", "ep_1")

    assert [request.body for request in server.requests] == [
        {"url": "https://x.example", "signatureProfile": "standard-asymmetric", "redactCredentials": True},
        {"signatureProfile": "hex", "redactCredentials": False},
        {},
    ]
