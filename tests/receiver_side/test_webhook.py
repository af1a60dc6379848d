"""`Webhook`: what it believes, what it refuses and why, and that nothing else than its own error comes out."""

import base64
import hmac
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from esimhooks import Esim, Event, EventType, InvalidSecretError, VerificationFailure, Webhook, WebhookVerificationError
from esimhooks.signing import new_key_pair, new_secret, public_key_of, signature_header
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.examples import example_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_TIME = 1614265330
PRIVATE_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
bodies = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=4).map(msgspec.json.encode)
secrets = st.binary(min_size=16, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
skews = st.integers(-280, 280)
message_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=40)


def a_body(event: EventType = EventType.ACTIVATED) -> bytes:
    return encode(example_of(event))


def signed(secret: str, body: bytes, *, message_id: str = "evt_1", skew_s: int = 0) -> dict[str, str]:
    sent_at = int(time.time()) + skew_s
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signature_header([secret], message_id=message_id, timestamp=sent_at, body=body),
    }


def refusal(webhook: Webhook, body: Any, headers: Any) -> VerificationFailure:
    with pytest.raises(WebhookVerificationError) as refused:
        webhook.verify(body, headers)
    return refused.value.reason


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (SECRET, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (
            PUBLIC_KEY,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ],
    ids=["v1", "v1a"],
)
def test_the_published_vectors_verify(key: str, signature: str) -> None:
    headers = {"webhook-id": MESSAGE_ID, "webhook-timestamp": str(VECTOR_TIME), "webhook-signature": signature}

    message = Webhook(key, clock=lambda: VECTOR_TIME).verify_signature(VECTOR_BODY, headers)

    assert (message.id, message.body) == (MESSAGE_ID, VECTOR_BODY)


def test_the_published_v1a_vector_is_what_we_sign() -> None:
    header = signature_header([PRIVATE_KEY], message_id=MESSAGE_ID, timestamp=VECTOR_TIME, body=VECTOR_BODY)

    assert header.endswith("hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==")
    assert public_key_of(PRIVATE_KEY) == PUBLIC_KEY


def test_a_github_signature_verifies_as_the_hex_profile() -> None:
    digest = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    webhook = Webhook("It's a Secret to Everybody", profile="hex", brand="Acme")

    message = webhook.verify_signature(
        b"Hello, World!", {"X-Acme-Signature": digest, "X-Acme-Timestamp": str(int(time.time()))}
    )

    assert message.body == b"Hello, World!"


def test_the_hex_profile_takes_the_id_from_the_body_since_the_header_is_not_signed() -> None:
    body = a_body()
    digest = "sha256=" + hmac.digest(b"k", body, "sha256").hex()
    headers = {"X-Acme-Signature": digest, "X-Acme-Event-Id": "evt_forged", "X-Acme-Timestamp": str(int(time.time()))}

    event = Webhook("k", profile="hex", brand="Acme").verify(body, headers)

    assert event.id == example_of(EventType.ACTIVATED).id


@given(secret=secrets, message_id=message_ids, skew=skews, body=bodies)
def test_what_the_public_packages_sign_verifies(secret: str, message_id: str, skew: int, body: bytes) -> None:
    sent_at = int(time.time()) + skew
    at = datetime.fromtimestamp(sent_at, UTC)
    for theirs in (standardwebhooks.Webhook(secret), svix.webhooks.Webhook(secret)):
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": theirs.sign(message_id, at, body.decode()),
        }

        assert Webhook(secret).verify_signature(body, headers).id == message_id


@given(secret=secrets, message_id=message_ids, skew=skews, body=bodies)
def test_what_we_sign_verifies_with_the_public_packages(secret: str, message_id: str, skew: int, body: bytes) -> None:
    headers = signed(secret, body, message_id=message_id, skew_s=skew)

    assert standardwebhooks.Webhook(secret).verify(body, headers) == msgspec.json.decode(body)
    svix.webhooks.Webhook(secret).verify(body, headers)  # returns nothing, raises where it does not believe


@given(secret=secrets, message_id=message_ids, skew=skews, body=bodies)
def test_what_we_sign_verifies_here_and_not_with_another_body(
    secret: str, message_id: str, skew: int, body: bytes
) -> None:
    headers = signed(secret, body, message_id=message_id, skew_s=skew)

    assert Webhook(secret).verify_signature(body, headers).body == body
    assert refusal(Webhook(secret), body + b" ", headers) is VerificationFailure.NO_MATCHING_SIGNATURE


@given(
    body=st.binary(max_size=60)
    | st.text(max_size=30)
    | st.none()
    | st.integers()
    | st.lists(st.integers(), max_size=3),
    headers=st.one_of(
        st.none(),
        st.integers(),
        st.text(max_size=20),
        st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)) | st.integers(), max_size=4),
        st.dictionaries(
            st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature", "svix-id"]),
            st.text(max_size=30) | st.binary(max_size=30) | st.none() | st.integers(),
        ),
    ),
)
def test_whatever_comes_in_nothing_but_its_own_error_comes_out(body: Any, headers: Any) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook([SECRET, PUBLIC_KEY]).verify(body, headers)


@given(body=st.binary(max_size=200) | bodies)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    assert refusal(Webhook(SECRET), body, signed(SECRET, body)) in {
        VerificationFailure.BODY_NOT_JSON,
        VerificationFailure.NOT_AN_EVENT,
    }


@pytest.mark.parametrize("event", sorted(EventType))
def test_an_event_is_typed(event: EventType) -> None:
    example, body = example_of(event), a_body(event)

    verified = Webhook(SECRET).verify(body, signed(SECRET, body, message_id=example.id))

    assert (verified.id, verified.event, verified.sequence, verified.mode) == (
        example.id,
        event,
        example.sequence,
        example.mode,
    )
    assert (verified.data.id, verified.data.iccid, verified.data.extra) == (example.data.id, example.data.iccid, {})
    assert verified.data.data_usage == example.data.data_usage
    assert verified.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z") == example.timestamp


def test_unknown_types_and_fields_are_kept() -> None:
    body = b'{"id":"evt_1","event":"esim.reborn","data":{"id":"esim_1","color":"red","iccid":7},"more":1}'

    event = Webhook(SECRET).verify(body, signed(SECRET, body))

    assert isinstance(event, Event)
    assert (event.event, event.payload["more"]) == ("esim.reborn", 1)
    assert event.data == Esim(id="esim_1", extra={"color": "red", "iccid": 7})


def test_during_a_rotation_both_secrets_verify() -> None:
    old, new, body = new_secret(), new_secret(), a_body()
    webhook = Webhook([new, old])

    assert webhook.verify(body, signed(old, body)) == webhook.verify(body, signed(new, body))


def test_unknown_versions_and_broken_tokens_are_skipped() -> None:
    body = a_body()
    headers = signed(SECRET, body)
    headers["webhook-signature"] = f"v9,AAAA nonsense  v1,a,b v1a,=== {headers['webhook-signature']}"

    assert Webhook(SECRET).verify(body, headers).event is EventType.ACTIVATED


def test_a_v1_signature_is_no_v1a_signature() -> None:
    body, pair = a_body(), new_key_pair()
    headers = signed(pair.private_key, body)

    assert Webhook(pair.public_key).verify(body, headers).event is EventType.ACTIVATED
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1a,", "v1,")
    assert refusal(Webhook(pair.public_key), body, headers) is VerificationFailure.NO_MATCHING_SIGNATURE


@pytest.mark.parametrize(
    ("skew_s", "reason"),
    [(-302, VerificationFailure.TIMESTAMP_TOO_OLD), (310, VerificationFailure.TIMESTAMP_TOO_NEW)],
)
def test_the_time_of_the_attempt_is_checked_both_ways(skew_s: int, reason: VerificationFailure) -> None:
    body = a_body()

    assert refusal(Webhook(SECRET), body, signed(SECRET, body, skew_s=skew_s)) is reason


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    body = a_body()
    headers = signed(SECRET, body)
    del headers[name]

    with pytest.raises(WebhookVerificationError, match=name) as refused:
        Webhook(SECRET).verify(body, headers)

    assert refused.value.reason is VerificationFailure.MISSING_HEADER


def test_headers_may_come_in_any_form() -> None:
    body = a_body()
    headers = signed(SECRET, body)
    forms: list[Any] = [
        {name.title(): value for name, value in headers.items()},
        list(headers.items()),
        [(name.encode(), value.encode()) for name, value in headers.items()],
        {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()} | {"wsgi.input": object()},
        {name.replace("webhook-", "svix-"): value for name, value in headers.items()},
    ]

    events = [Webhook(SECRET).verify(body, form) for form in forms]

    assert len({event.id for event in events}) == 1


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*", PRIVATE_KEY, "whpk_AAAA", b"", []])
def test_what_is_no_key_of_a_receiver_is_refused(secret: Any) -> None:
    with pytest.raises(InvalidSecretError):
        Webhook(secret)


def test_what_may_be_logged_shows_no_personal_data() -> None:
    body = a_body()

    event = Webhook(SECRET).verify(body, signed(SECRET, body))

    assert example_of(EventType.ACTIVATED).data.iccid not in (repr(event), repr(event.data))
    assert "LPA:" not in repr(event)
