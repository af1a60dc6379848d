"""What is left of a webhook's body where its endpoint may not have credentials."""

import json

import pytest

from esimhooks.server.domain.credentials import CREDENTIALS, without_credentials
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of


@pytest.mark.parametrize("event", EventType)
def test_only_the_credentials_are_gone_and_the_rest_stays_as_it_was(event: EventType) -> None:
    body = encode(example_of(event))

    left = without_credentials(body)

    before, after = json.loads(body), json.loads(left)
    before["data"] = {name: value for name, value in before["data"].items() if name not in CREDENTIALS}
    if "changes" in before:
        before["changes"] = {name: value for name, value in before["changes"].items() if name not in CREDENTIALS}
    assert list(after.items()) == list(before.items())
    assert without_credentials(left) == left


def test_what_stays_is_copied_byte_for_byte() -> None:
    body = '{"id":"e","data":{"ac":"LPA:1$a$b","n":1.10,"t":"\\u00e9","u":"\u00e9","big":12345678901234567890123}}'.encode()

    assert without_credentials(body) == body.replace(b'"ac":"LPA:1$a$b",', b"")


def test_changes_of_credentials_only_are_no_changes() -> None:
    body = b'{"data":{"x":1},"changes":{"ac":{"old":null,"new":"LPA:1$a$b"},"qrCodeUrl":{"old":null,"new":"u"}},"sequence":1}'

    assert without_credentials(body) == b'{"data":{"x":1},"sequence":1}'
