"""Signatures of webhooks: the published vector, and what the public verifiers make of ours."""

import base64
import time

import msgspec
import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.signing import InvalidSecretError, key_of, new_secret, signature, signature_header

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8), json_values, max_size=5).map(msgspec.json.encode)
keys = st.binary(min_size=1, max_size=64).map(lambda key: "whsec_" + b64(key))
message_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=40)
skews = st.integers(-280, 280)


def b64(key: bytes) -> str:
    return base64.b64encode(key).decode()


def headers(secrets: list[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(secrets, message_id=message_id, timestamp=timestamp, body=body),
    }


def test_the_published_vector() -> None:
    signed = signature(SECRET, message_id=MESSAGE_ID, timestamp=1614265330, body=b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(secret=keys, message_id=message_ids, skew=skews, body=bodies)
def test_what_we_sign_verifies_with_the_public_verifiers(secret: str, message_id: str, skew: int, body: bytes) -> None:
    sent = headers([secret], message_id, int(time.time()) + skew, body)

    assert standardwebhooks.Webhook(secret).verify(body, sent) == msgspec.json.decode(body)
    svix.webhooks.Webhook(secret).verify(body, sent)


@given(newest=keys, oldest=keys, message_id=message_ids, body=bodies)
def test_during_rotation_both_secrets_verify(newest: str, oldest: str, message_id: str, body: bytes) -> None:
    sent = headers([newest, oldest], message_id, int(time.time()), body)

    for secret in (newest, oldest):
        standardwebhooks.Webhook(secret).verify(body, sent)
        svix.webhooks.Webhook(secret).verify(body, sent)


@given(secrets=st.lists(keys, min_size=1, max_size=3), message_id=message_ids, body=bodies)
def test_the_header_has_single_spaces_and_one_comma_per_signature(
    secrets: list[str], message_id: str, body: bytes
) -> None:
    header = headers(secrets, message_id, 1614265330, body)["webhook-signature"]

    tokens = header.split(" ")
    assert len(tokens) == len(secrets)
    assert all(token.startswith("v1,") and token.count(",") == 1 and len(token) == 47 for token in tokens)
    assert header.isascii()
    assert header.split() == tokens


def test_the_newest_secret_signs_first() -> None:
    newest, oldest = new_secret(), new_secret()

    header = signature_header([newest, oldest], message_id="evt_1", timestamp=1, body=b"{}")

    assert header.split(" ")[0] == signature(newest, message_id="evt_1", timestamp=1, body=b"{}")


@pytest.mark.parametrize(
    ("message_id", "timestamp", "body"),
    [("evt_2", 0, b'{"a":1}'), ("evt_1", 1, b'{"a":1}'), ("evt_1", 0, b'{"a":2}')],
    ids=["another id", "another time", "another body"],
)
def test_a_signature_covers_id_time_and_body(message_id: str, timestamp: int, body: bytes) -> None:
    now = int(time.time())
    sent = headers([SECRET], "evt_1", now, b'{"a":1}')
    sent |= {"webhook-id": message_id, "webhook-timestamp": str(now + timestamp)}

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body, sent)


def test_another_secret_does_not_verify() -> None:
    sent = headers([new_secret()], "evt_1", int(time.time()), b"{}")

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(b"{}", sent)


def test_a_new_secret_is_32_random_bytes() -> None:
    made = {new_secret() for _ in range(50)}

    assert len(made) == 50
    assert all(secret.startswith("whsec_") and len(key_of(secret)) == 32 for secret in made)


def test_a_secret_is_read_with_and_without_its_prefix() -> None:
    assert key_of(SECRET) == key_of(SECRET.removeprefix("whsec_"))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_a", "whsec_MfKQ9r8GKYq*", "whsec_MfKQ_-8G", "whsec_é", "whsk_MfKQ9r8G"]
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidSecretError):
        key_of(secret)
