"""`esimhooks trigger`: a test event is raised, its delivery waited for and shown."""

import json
from typing import Any

from cli.canned import CannedServer, Invoke

RAISED = {"id": "evt_1", "event": "esim.activated", "mode": "test"}


def delivery(status: str, *, attempts: int, name: str = "dlv_1") -> dict[str, Any]:
    return {
        "id": name,
        "event": "evt_1",
        "status": status,
        "attemptCount": attempts,
        "nextAttemptAt": "2026-11-23T10:01:00.000Z" if status == "pending" else None,
    }


def attempt(status: int) -> dict[str, Any]:
    return {
        "number": 1,
        "startedAt": "2026-11-23T10:00:00.000Z",
        "durationMs": 12,
        "outcome": f"{status // 100}xx",
        "statusCode": status,
        "error": None,
    }


def page(*deliveries: dict[str, Any]) -> dict[str, Any]:
    return {"data": list(deliveries), "nextCursor": None}


def test_it_waits_for_the_delivery_and_shows_its_attempt(invoke: Invoke, server: CannedServer) -> None:
    arrived = delivery("delivered", attempts=1)
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page(delivery("pending", attempts=0)), page(arrived))
    server.answer("GET /v1/deliveries/dlv_1", arrived | {"attempts": [attempt(200)]})

    done = invoke("trigger", "esim.activated", "--set", "dataUsage=900", "--set", "iccid=8944500000000000001")

    assert done.code == 0
    assert ["1", "2xx", "200", "12", "2026-11-23T10:00:00.000Z", "-"] in [
        line.split() for line in done.out.splitlines()
    ]
    assert server.requests[0].body == {
        "event": "esim.activated",
        "data": {"dataUsage": 900, "iccid": "8944500000000000001"},
    }
    assert server.requests[1].query["event"] == "evt_1"


def test_a_first_attempt_that_failed_is_shown_and_ends_with_1(invoke: Invoke, server: CannedServer) -> None:
    waiting = delivery("pending", attempts=1)
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page(waiting))
    server.answer("GET /v1/deliveries/dlv_1", waiting | {"attempts": [attempt(500)]})

    done = invoke("trigger", "esim.activated")

    assert done.code == 1
    assert "500" in done.out
    assert "did not arrive at the first attempt; the next is at 2026-11-23T10:01:00.000Z" in done.err


def test_one_of_two_endpoints_that_did_not_get_it_is_a_failure(invoke: Invoke, server: CannedServer) -> None:
    good, bad = delivery("delivered", attempts=1), delivery("stopped", attempts=1, name="dlv_2")
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page(good, bad))
    server.answer("GET /v1/deliveries/dlv_1", good | {"attempts": [attempt(200)]})
    server.answer("GET /v1/deliveries/dlv_2", bad | {"attempts": [attempt(410)]})

    done = invoke("trigger", "esim.activated")

    assert done.code == 1
    assert "error: dlv_2 did not arrive: it is stopped\n" in done.err


def test_an_event_that_nobody_wants_is_reported(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page())

    done = invoke("trigger", "esim.activated")

    assert done.code == 1
    assert "no endpoint is subscribed to esim.activated" in done.err


def test_it_does_not_wait_for_ever(invoke: Invoke, server: CannedServer) -> None:
    untried = delivery("pending", attempts=0)
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page(untried))
    server.answer("GET /v1/deliveries/dlv_1", untried | {"attempts": []})

    done = invoke("trigger", "esim.activated", "--timeout", "0.3s")

    assert done.code == 1
    assert "was not attempted within 0.3 s" in done.err


def test_json_holds_the_answers_of_the_api(invoke: Invoke, server: CannedServer) -> None:
    arrived = delivery("delivered", attempts=1)
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page(arrived))
    server.answer("GET /v1/deliveries/dlv_1", arrived | {"attempts": [attempt(200)]})

    done = invoke("trigger", "esim.activated", "--json")

    assert json.loads(done.out) == {"event": RAISED, "deliveries": [arrived | {"attempts": [attempt(200)]}]}


def test_an_operator_names_the_account(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/test-events", RAISED, status=201)
    server.answer("GET /v1/deliveries", page())

    invoke("trigger", "esim.activated", "--account", "acc_1")

    assert [request.query.get("account") for request in server.requests] == ["acc_1", "acc_1"]
    assert {request.query["mode"] for request in server.requests} == {"test"}
