"""`esimhooks send`: one signed event without any server, as the server would send it."""

import base64
import json
from pathlib import Path

import pytest

from cli.canned import CannedServer, Done, Invoke
from esimhooks import EventType, Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def sent(invoke: Invoke, server: CannedServer, *words: str) -> Done:
    return invoke("send", f"{server.url}/hook", "--secret", SECRET, *words)


@pytest.mark.parametrize("event", EventType)
def test_each_event_verifies_and_is_as_its_type_says(invoke: Invoke, server: CannedServer, event: EventType) -> None:
    server.answer("POST /hook", {})

    assert sent(invoke, server, "--event", event).code == 0

    [request] = server.requests
    body = json.dumps(request.body, separators=(",", ":"), ensure_ascii=False).encode()
    assert Webhook(SECRET).verify(body, request.headers).event == event
    assert (request.headers["webhook-event"], request.body["mode"]) == (event, "test")


def test_a_field_that_is_set_changes_what_follows_from_it(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /hook", {})

    sent(invoke, server, "--event", "esim.data_updated", "--set", "dataUsage=900", "--set", "iccid=8948010000054019245")

    [request] = server.requests
    data, changes = request.body["data"], request.body["changes"]
    assert (data["dataUsage"], data["iccid"]) == (900, "8948010000054019245")
    assert data["data_usage_remain"] == data["totalVolume"] - 900
    assert {changes[name]["new"] for name in changes} == {data[name] for name in changes}


def test_a_file_is_sent_byte_for_byte_under_its_own_id(invoke: Invoke, server: CannedServer, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{ "id":"evt_1" , "event":"esim.reborn", "n": 1.50 }')
    server.answer("POST /hook", {})

    done = sent(invoke, server, "--file", str(file), "--json")

    headers = json.loads(done.out)["headers"]
    Webhook(SECRET).verify(file.read_bytes(), headers)
    assert (headers["webhook-id"], headers["webhook-event"]) == ("evt_1", "esim.reborn")


def test_the_answer_is_shown_and_anything_but_2xx_is_a_failure(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /hook", {"detail": "no such table"}, status=500)

    done = sent(invoke, server)

    assert done.code == 1
    assert "500" in done.out
    assert "no such table" in done.out


def test_nothing_that_listens_is_a_failure(invoke: Invoke) -> None:
    done = invoke("send", "http://127.0.0.1:9/hook", "--secret", SECRET)

    assert (done.code, "connection refused" in done.out) == (1, True)


def test_a_secret_without_its_padding_signs_too(invoke: Invoke, server: CannedServer) -> None:
    secret = "whsec_" + base64.b64encode(bytes(25)).decode()
    server.answer("POST /hook", {})

    done = invoke("send", f"{server.url}/hook", "--secret", secret.rstrip("="), "--json")

    printed = json.loads(done.out)
    Webhook(secret).verify(printed["body"], printed["headers"])


@pytest.mark.parametrize("url", ["http://hooks..example.com/", f"http://{'a' * 64}.example.com/", "http://x/a b"])
def test_an_address_that_nobody_can_have_is_wrong_usage(invoke: Invoke, url: str) -> None:
    for words in (["send", url], ["check-receiver", url], ["listen", "--port", "0", "--forward", url]):
        done = invoke(*words, "--secret", SECRET)

        assert done.code == 2
        assert "expected an address like http://127.0.0.1:3000/webhooks/esim" in done.err


def test_a_path_beyond_ascii_is_sent_as_utf_8(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /caf%C3%A9%20", {})

    done = invoke("send", f"{server.url}/café%20?größe=1", "--secret", SECRET)

    assert done.code == 0
    assert server.requests[0].query == {"größe": "1"}


@pytest.mark.parametrize(
    "words",
    [["--event", "esim.reborn"], ["--set", "nonsense=1"], ["--set", "dataUsage=1", "--file", "x"]],
    ids=lambda words: words[0] + words[1],
)
def test_wrong_words_are_usage(invoke: Invoke, server: CannedServer, words: list[str]) -> None:
    assert sent(invoke, server, *words).code == 2
