"""Commands where programs are seldom tried: bytes that are no text, closed streams, old encodings, files of other kinds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.canned import CannedServer, Invoke
from cli.conftest import KEY
from cli.processes import PROGRAM, environment

ESIMHOOKS = f'{sys.executable} -c "{PROGRAM[2]}"'
ENDPOINTS: dict[str, Any] = {
    "data": [{"id": "ep_1", "name": "Ünï \U0001f600", "url": "https://x.example"}],
    "nextCursor": None,
}


def in_a_shell(line: str, server: CannedServer, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    variables |= {"ESIMHOOKS_URL": server.url, "ESIMHOOKS_API_KEY": KEY}
    return subprocess.run(
        ["bash", "-c", line.replace("esimhooks", ESIMHOOKS, 1)],
        env=environment(**variables),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["events", "show", "\udcffabc"],
        ["events", "list", "--type", "\udcff"],
        ["trigger", "esim.activated", "--set", "apn=\udcff"],
        ["endpoints", "create", "--url", "http://x.example/\udcff"],
    ],
)
def test_words_that_are_no_text_are_wrong_usage(invoke: Invoke, words: list[str]) -> None:
    done = invoke(*words)

    assert done.code == 2
    assert "expected text in UTF-8" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["endpoints", "create", "--url", "https://x.example", "--ca-certificate", "FILE"],
        ["providers", "put", "x", "--kind", "mapping", "--setting", "document=@FILE"],
        ["providers", "test", "FILE"],
        ["verify", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "--headers", "FILE"],
        ["apply", "FILE"],
        ["updates", "FILE"],
        ["import", "svix", "FILE", "--account", "acc_1"],
    ],
)
def test_a_file_that_is_no_text_is_named(invoke: Invoke, tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "picture.toml"
    file.write_bytes(b"\xff\xfe\x00")

    done = invoke(*(word.replace("FILE", str(file)) for word in words))

    assert done.code in (1, 2)
    assert f"{file}: expected text in UTF-8" in done.err


def test_a_picture_that_is_too_large_is_named_by_its_size(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(bytes(65_537))

    assert "expected a picture of at most 64 KiB" in invoke("branding", "update", "--logo", str(file)).err


@pytest.mark.parametrize("time", ["99999999999d", "1" + "0" * 400 + "s"])
def test_a_time_beyond_all_calendars_is_wrong_usage(invoke: Invoke, time: str) -> None:
    done = invoke("recover", "ep_1", "--since", time)

    assert (done.code, done.out) == (2, "")
    assert "expected at most 36500d" in done.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://127.0.0.1:{port}", "does not speak TLS: is it http://?"),
        ("http://127.0.0.1:{port}/a b", "expected an address like"),
        ("http://127.0.0.1:{port}/\x1b[2J", "expected an address like"),
    ],
)
def test_a_wrong_address_is_reported_without_words_of_a_library(
    invoke: Invoke, server: CannedServer, monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("ESIMHOOKS_URL", url.format(port=server.url.rpartition(":")[2]))

    done = invoke("events", "list")

    assert message in done.err
    assert "SSL" not in done.err
    assert "\x1b" not in done.err


def test_a_data_folder_that_is_a_file_is_reported_without_words_of_a_library(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = invoke("serve", "--port", "0", "--data-dir", str(tmp_path / "file"))

    assert done.code == 1
    assert f"{tmp_path / 'file'} cannot start: File exists" in done.err


@pytest.mark.slow(reason="each command is a process of its own")
@pytest.mark.timeout(120)
def test_a_terminal_with_an_old_encoding_gets_what_it_can_show_and_programs_get_json(server: CannedServer) -> None:
    server.answer("GET /v1/endpoints", ENDPOINTS)

    listed = in_a_shell("esimhooks endpoints list", server, PYTHONIOENCODING="ascii")
    encoded = in_a_shell("esimhooks endpoints list --json", server, PYTHONIOENCODING="ascii")

    assert (listed.returncode, listed.stderr) == (0, b"")
    assert b"?n? ?" in listed.stdout
    assert json.loads(encoded.stdout) == ENDPOINTS


@pytest.mark.slow(reason="each command is a process of its own")
@pytest.mark.timeout(120)
def test_closed_streams_are_as_empty_ones(server: CannedServer) -> None:
    server.answer("GET /v1/endpoints", ENDPOINTS)

    nowhere = in_a_shell("esimhooks endpoints list >&-", server)
    nothing = in_a_shell("esimhooks updates <&-", server)
    silent = in_a_shell("esimhooks endpoints show 2>&-", server)

    assert (nowhere.returncode, nowhere.stderr) == (0, b"")
    assert nothing.returncode == 2
    assert b"standard input: expected JSON" in nothing.stderr
    assert silent.returncode == 2


@pytest.mark.slow(reason="each command is a process of its own")
@pytest.mark.timeout(120)
def test_a_reader_that_goes_away_ends_a_command_quietly(server: CannedServer) -> None:
    server.answer("GET /v1/endpoints", {"data": ENDPOINTS["data"] * 2_000, "nextCursor": None})

    done = in_a_shell("esimhooks endpoints list --json | head -c 10", server)

    assert done.stderr == b""
