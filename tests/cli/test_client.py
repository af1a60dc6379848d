"""What the command line says where the server refuses, answers nonsense or is not there: a message, never a traceback."""

import json
import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from cli.canned import Canned, CannedServer, Invoke
from cli.conftest import KEY
from reserved_port import ReservedPort

PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "one or more fields are invalid",
    "code": "INVALID_FIELD",
    "errors": [{"pointer": "/webhookUrl", "detail": "the address is not on the public internet"}],
}


@pytest.fixture
def closed_port() -> Iterator[int]:
    with ReservedPort() as port:
        yield port.number


@pytest.fixture
def babbler() -> Iterator[int]:
    """The port of a server that does not speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example.com ESMTP\r\n")

        thread = Thread(target=babble)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


def test_a_refusal_is_shown_with_every_field_that_is_wrong(invoke: Invoke, server: CannedServer) -> None:
    server.answer("POST /v1/accounts/acc_1/keys", PROBLEM, status=422)

    done = invoke("keys", "create", "--account", "acc_1", "--mode", "test", "--name", "ci", "--webhook-url", "http://x")

    assert done.code == 1
    assert done.out == ""
    assert done.err.splitlines() == [
        "error: --webhook-url: the address is not on the public internet",
    ]


def test_a_wrong_parameter_is_named_as_the_option_that_it_is_here(invoke: Invoke, server: CannedServer) -> None:
    errors = [{"pointer": "query:account", "detail": "expected the account to act for, as ?account=acc_1"}]
    server.answer("GET /v1/esims", PROBLEM | {"errors": errors}, status=422)

    assert invoke("esims", "list").err == "error: --account: expected the account to act for, as --account acc_1\n"


def test_an_error_that_is_no_problem_document_is_reported_by_its_status(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/accounts", b"<h1>Bad gateway</h1>", status=502)

    done = invoke("accounts", "list")

    assert done.code == 1
    assert f"{server.url} answered with status 502" in done.err


def test_an_answer_that_is_not_of_the_api_is_no_traceback(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/accounts", b"<h1>Welcome to nginx</h1>")

    done = invoke("accounts", "list")

    assert done.code == 1
    assert "is ESIMHOOKS_URL correct?" in done.err


def test_without_a_server_it_says_how_to_start_one(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("ESIMHOOKS_URL", f"http://127.0.0.1:{closed_port}")

    done = invoke("accounts", "list")

    assert done.code == 1
    expected = f"error: no server answers at http://127.0.0.1:{closed_port}: start one with `esimhooks serve`\n"
    assert done.err == expected


def test_something_that_does_not_speak_http_is_no_traceback(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, babbler: int
) -> None:
    monkeypatch.setenv("ESIMHOOKS_URL", f"http://127.0.0.1:{babbler}")

    done = invoke("accounts", "list")

    assert done.code == 1
    assert "does not speak HTTP" in done.err


@pytest.mark.slow(reason="the command looks again every 0.3 s")
def test_work_is_followed_while_its_server_is_away(invoke: Invoke, server: CannedServer) -> None:
    begun = {"id": "rec_1", "total": 2, "sent": 0, "finishedAt": None}
    finished = begun | {"sent": 2, "finishedAt": "2026-11-23T10:00:00Z"}
    away = Canned(503, b"{}"), Canned(502, b"<h1>Bad Gateway</h1>"), Canned(429, b"{}")
    server.answer("POST /v1/endpoints/ep_1/recover", begun, status=202)
    server.answer("GET /v1/endpoints/ep_1/recoveries/rec_1", *away, finished)

    done = invoke("recover", "ep_1", "--since", "4h", "--json")

    assert (done.code, json.loads(done.out)) == (0, finished)


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:8400", "ftp://host", "http://", "http://host:port", "http://[::1"),
        *("http://hooks..example.com", "http://.example.com", f"http://{'a' * 64}.example.com"),
    ],
)
def test_an_address_that_is_none_is_wrong_usage(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ESIMHOOKS_URL", url)

    done = invoke("accounts", "list")

    assert done.code == 2
    assert "expected an address like http://127.0.0.1:8400" in done.err


@pytest.mark.parametrize("key", ["", "esim_live_ä", "esim_live_1\nhost: other"])
def test_a_key_that_is_none_is_wrong_usage_and_is_not_sent(
    invoke: Invoke, server: CannedServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ESIMHOOKS_API_KEY", key)

    done = invoke("accounts", "list")

    assert done.code == 2
    assert "ESIMHOOKS_API_KEY" in done.err
    assert server.requests == []


def test_it_shows_its_key_and_says_for_which_account_it_acts(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/endpoints", {"data": [], "nextCursor": None})

    assert invoke("endpoints", "list", "--account", "acc_1", "--mode", "test", "--limit", "7").code == 0

    [request] = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.query == {"account": "acc_1", "mode": "test", "limit": "7"}


def test_proxies_of_the_environment_are_not_used(
    invoke: Invoke, server: CannedServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    server.answer("GET /v1/accounts", {"data": [], "nextCursor": None})

    assert invoke("accounts", "list").code == 0


def test_an_id_cannot_name_another_path(invoke: Invoke, server: CannedServer) -> None:
    invoke("esims", "show", "../accounts?x=1")

    [request] = server.requests
    assert request.path == "/v1/esims/..%2Faccounts%3Fx%3D1"


@pytest.mark.parametrize("nothing", ["", ".", ".."])
def test_an_id_that_is_none_is_wrong_usage(invoke: Invoke, server: CannedServer, nothing: str) -> None:
    assert invoke("esims", "show", nothing).code == 2
    assert server.requests == []
