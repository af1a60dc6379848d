"""`esimhooks listen --web`: the page is closed to everybody but itself, and a captured request can be sent again."""

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from cli.canned import CannedServer
from cli.listening import SECRET, Collected, Reply, collecting, fetch, request
from esimhooks.cli.listening.captured import Verification, signed
from esimhooks.cli.listening.listener import ListenerOptions
from esimhooks.cli.listening.page import Page
from esimhooks.signing import new_key_pair

SHORT = "whsec_" + base64.b64encode(bytes(25)).decode()
BODY = b'{"id": "evt_1", "event": "esim.activated"}'


@pytest.fixture
def collected(server: CannedServer) -> Collected:
    server.answer("POST /hook", {"taken": True})
    return collecting(ListenerOptions(secret=SECRET, verifies=False), forward=f"{server.url}/hook")


@pytest.fixture
def page(collected: Collected) -> Iterator[str]:
    made = Page(collected.listener, port=0)
    yield made.url
    made.close()


def word_of(page: str) -> dict[str, str]:
    found = re.search(r'data-token="([^"]+)"', fetch(page).body.decode())
    assert found is not None
    return {"x-listen": found[1]}


def test_the_page_allows_its_own_script_and_nothing_else(page: str) -> None:
    first, second = fetch(page), fetch(page)

    policy = first.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert nonce is not None
    assert f'<script nonce="{nonce[1]}">' in first.body.decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert second.headers["content-security-policy"] != policy


def test_captured_requests_are_shown_to_the_page_only(page: str, collected: Collected) -> None:
    collected.listener.take(request(BODY))

    captured = fetch(f"{page}captured?after=0", headers=word_of(page))
    without = fetch(f"{page}captured?after=0")
    rebound = fetch(f"{page}captured", headers=word_of(page) | {"host": f"evil.example:{urlsplit(page).port}"})

    assert [one["eventId"] for one in json.loads(captured.body)] == ["evt_1"]
    assert (without.status, rebound.status) == (403, 421)
    assert json.loads(fetch(f"{page}captured?after=1", headers=word_of(page)).body) == []


def test_a_replay_sends_the_same_event_signed_again(page: str, collected: Collected, server: CannedServer) -> None:
    old = dict(signed(SECRET, BODY, event="esim.activated", identity="evt_1")) | {"webhook-timestamp": "1"}
    collected.listener.take(request(BODY, **old))

    reply = fetch(f"{page}replay/1", "POST", headers=word_of(page))

    assert reply.status == 200
    assert json.loads(reply.body)["replayOf"] == 1
    first, again = (one.headers for one in server.requests)
    assert (first["webhook-id"], again["webhook-id"]) == ("evt_1", "evt_1")
    assert again["webhook-attempt"] == "2"
    assert int(again["webhook-timestamp"]) > 1


def test_a_replay_does_not_sign_what_did_not_verify(server: CannedServer) -> None:
    server.answer("POST /hook", {})
    listener, shown = collecting(ListenerOptions(secret=SECRET), forward=f"{server.url}/hook")
    listener.take(request(BODY, **{"webhook-id": "evt_1", "webhook-signature": "v1,forged"}))

    listener.replay(shown[0])

    assert shown[1].request.header("webhook-signature") == "v1,forged"
    assert shown[1].verification is not None
    assert not shown[1].verification.verified


@pytest.mark.parametrize("key", ["public", "without padding"])
def test_a_replay_goes_out_whatever_kind_of_key_has_verified(server: CannedServer, key: str) -> None:
    pair = new_key_pair()
    secret = pair.public_key if key == "public" else SHORT.rstrip("=")
    server.answer("POST /hook", {})
    listener, shown = collecting(ListenerOptions(secret=secret), forward=f"{server.url}/hook")
    signing = pair.private_key if key == "public" else SHORT
    listener.take(request(BODY, **dict(signed(signing, BODY, event="esim.activated", identity="evt_1"))))

    listener.replay(shown[0])

    assert [one.verification for one in shown] == [Verification(True, "verified")] * 2
    assert len(server.requests) == 2


def test_a_replay_needs_the_page_a_kept_request_and_an_address(page: str, collected: Collected) -> None:
    collected.listener.take(request(BODY))
    collected.listener.forwarder = None

    def replayed(number: str, headers: dict[str, str]) -> Reply:
        return fetch(f"{page}replay/{number}", "POST", headers=headers)

    assert replayed("1", {}).status == 403
    assert replayed("9", word_of(page)).status == 404
    assert replayed("1", word_of(page)).status == 409
