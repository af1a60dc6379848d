"""What a process writes to its log: neither credentials nor personal data, wherever in a line they stand."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.observe.secrecy import failure, fields, foreign_text, text, traceback

CREDENTIALS = (
    "LPA:1$smdp.example.com$CODE-0001",
    "1$smdp.example.com$CODE-0001",
    "esim_live_0A1B2C3D4E5F",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Bearer eyJhbGciOi",
    "8943000000123456785",
    "89049032000000000000000000000012",
)


def without(value: object) -> bool:
    """Whether none of the credentials is in what is written."""
    return not any(one.removeprefix("Bearer ") in json.dumps(value) for one in CREDENTIALS)


@pytest.mark.parametrize("name", ["ac", "qrCodeUrl", "short_url", "PIN", "puk1", "secretKey", "RT-AccessCode", "token"])
@pytest.mark.parametrize("name_in", ["Authorization", "X-API-Key", "webhookSecret", "credentials", "set-cookie"])
def test_fields_of_credentials_are_hidden_at_any_depth(name: str, name_in: str) -> None:
    line = {"answer": [{"obj": {name: "s3cret", name_in: ["s3cret", {"a": "s3cret"}], "count": 3}}], name: "s3cret"}

    hidden = fields(line)

    assert "s3cret" not in json.dumps(hidden)
    assert hidden["answer"][0]["obj"]["count"] == 3


@pytest.mark.parametrize("name", ["iccid", "ICCID", "eid", "imsi", "msisdn"])
@pytest.mark.parametrize("value", ["8943000000123456785", 8943000000123456785])
def test_personal_numbers_keep_their_last_four_digits(name: str, value: object) -> None:
    assert fields({"esim": {name: value}, name: [value]}) == {"esim": {name: "...6785"}, name: ["...6785"]}


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_credentials_within_text_are_hidden(credential: str) -> None:
    for value in (
        credential,
        f"refused ({credential})",
        f"a={credential}&b",
        f'{{"x":"{credential}"}}',
        f"[{credential},",
    ):
        assert without(fields({"reason": value, "list": [value], "in": {value: value}})), value
        assert without(text(value))


def test_addresses_keep_their_host_only() -> None:
    redacted = text("no answer of https://user:word@api.example.com:8443/qr/abc?key=1#x, nor of http://127.0.0.1:8400")

    assert redacted == "no answer of https://api.example.com:8443/... nor of http://127.0.0.1:8400"
    assert text("/providers/upstream/0aTokenOf22Characters") == "/providers/[redacted]"


def test_ids_of_ours_and_figures_are_kept() -> None:
    line = {
        "event_id": "evt_01jd3v8k5fe8ya3q8r0m2n6x7c",
        "reason": "evt_01jd3v8k5fe8ya3q8r0m2n6x7c waits",
        "used": 10737418240,
        "kept": True,
        "none": None,
    }

    assert fields(line) == line


def test_what_an_object_says_of_itself_is_not_written() -> None:
    @dataclass
    class Esim:
        ac: str

    assert without(fields({"esim": Esim(CREDENTIALS[0]), "raw": CREDENTIALS[0].encode()}))


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_foreign_exceptions_lose_what_they_quote() -> None:
    assert failure(KeyError("1234")) == "KeyError: '...'"
    assert failure(ValueError("can't take b'1234' for a PIN")) == "ValueError: can't take b'...'"
    assert failure(ValueError('cut off: "1234')) == "ValueError: cut off: '...'"
    assert failure(TimeoutError()) == "TimeoutError"
    assert failure(Unreadable()) == "Unreadable: its text cannot be made (RuntimeError)"
    assert failure(ValueError("\ud800")) == r"ValueError: \ud800"
    assert failure(NotNow("the provider 'x' does not answer")) == "the provider 'x' does not answer"
    assert foreign_text("it is 4 o'clock") == "it is 4 o'clock"


def test_a_traceback_names_places_and_causes_and_no_values() -> None:
    def fails(secret: str) -> None:
        try:
            dict[str, str]()[secret]
        except KeyError as error:
            raise ExceptionGroup("two", [ValueError(f"not {secret}"), TypeError(f"of '{secret}'")]) from error

    with pytest.raises(ExceptionGroup) as raised:
        fails(CREDENTIALS[0])
    entries = traceback(raised.value)

    assert without(entries)
    assert [one["type"] for one in entries] == ["ExceptionGroup", "KeyError"]
    assert [one[0]["error"] for one in entries[0]["group"]] == ["ValueError: not [redacted]", "TypeError: of '...'"]
    assert __file__ in entries[0]["at"][-1]
    assert "fails" in entries[0]["at"][-1]


PROGRAM = """
import logging
from esimhooks.server.observe import log
before = log.get_logger("before")
log.configure(log_format="console", level="debug")
before.debug("first", ac="LPA:1$a$b")
log.configure(log_format=%r, level="info")
before.debug("unseen")
try:
    {}["LPA:1$a$b"]
except KeyError:
    before.exception("broke", status=3)
    logging.getLogger("library").warning("got %%r", {"ac": "1234"}, exc_info=True)
"""


def printed(log_format: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM % log_format], capture_output=True, text=True, check=True)
    assert "LPA:" not in done.stderr
    assert "1234" not in done.stderr
    assert "unseen" not in done.stderr
    return done.stderr.splitlines()


def test_lines_of_libraries_have_the_form_of_ours() -> None:
    _, *lines = printed("json")
    broke, got = [json.loads(line) for line in lines]

    def head(line: dict[str, Any]) -> list[object]:
        return [line["level"], line["component"], line["event"], line["exception"][0]["error"]]

    assert head(broke) == ["error", "before", "broke", "KeyError: '...'"]
    assert broke["status"] == 3
    assert head(got) == ["warning", "library", "got {'...'", "KeyError: '...'"]


def test_a_line_that_cannot_be_made_does_not_fail_for_whoever_wrote_it() -> None:
    program = (
        "import logging\nfrom esimhooks.server.observe import log\nlog.configure(log_format='json', level='info')\n"
        "logging.getLogger('library').warning('%d', 'no number')\nlogging.getLogger('library').warning('the next')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert '"event":"the next"' in done.stderr.splitlines()[-1]


def test_a_line_that_cannot_be_written_does_not_fail_for_whoever_wrote_it() -> None:
    program = (
        "import os, sys\nfrom esimhooks.server.observe import log\nlog.configure(log_format='json', level='info')\n"
        "logger = log.get_logger('intake')\n"
        "kept, sys.stderr = sys.stderr, open(os.devnull, 'w')\nsys.stderr.close()\nlogger.warning('lost')\n"
        "sys.stderr = kept\nlogger.warning('written')\n"
        "reader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 2)\nlogger.warning('lost')\n"
        "print('went on')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "went on" in done.stdout
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["written"]


def test_a_console_shows_the_exception_below_its_line() -> None:
    first, *lines = printed("console")

    assert "ac=[redacted]" in first
    assert "broke" in lines[0]
    assert lines[1:3] == ["  KeyError: '...'", "    at <string>:10 <module>"]
