"""The cases of the conformance kit, one row each: what is sent, what a good receiver does, how to fix it, what it weighs.

Good requests must be accepted (2xx), hostile ones refused (4xx). Nothing is sent here and nothing judged.
"""

import base64
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from esimhooks.cli.conformance.exchange import Way
from esimhooks.cli.conformance.requests import Sender, Sending
from esimhooks.vocabulary.envelope import MAX_BODY_BYTES
from esimhooks.vocabulary.events import EventType

ALMOST_S = 240
"""Within the tolerance of 300 s, with a minute for slow machines."""
TOO_LONG_S = 360
"""Beyond it, with the same minute."""
SLOWLY_S = 2.0
AT_ONCE = 8
FAR_TOO_LARGE_BYTES = 4 * 1024 * 1024
OTHER_SECRET = "whsec_" + base64.b64encode(b"not the secret of this endpoint.").decode()
FORGERY_WEIGHT = 10
"""Of cases in which everybody could make the receiver believe anything."""

Makes = Callable[[Sender], Sequence[Sending]]


class Expected(StrEnum):
    """What a good receiver does with a case's requests."""

    ACCEPTED = "accepted"
    """2xx to each."""
    ACCEPTED_QUICKLY = "accepted_quickly"
    """2xx at once: a warning from 1 s on, a failure from 5 s on."""
    ACCEPTED_ON_ONE_CONNECTION = "accepted_on_one_connection"
    REFUSED = "refused"
    """4xx to each, but not 410, which would switch the endpoint off."""
    LIMITED = "limited"
    """4xx or a closed connection; a 2xx is a warning."""
    NO_CRASH = "no_crash"
    """2xx or 4xx, whichever."""


class Case(Struct, frozen=True, kw_only=True):
    """One case. `fix` says in one sentence what to change where it does not pass.

    `hex_too`: whether it makes sense where only the body is signed. `forges`: whether accepting it does harm.
    """

    name: str
    about: str
    fix: str
    makes: Makes
    expected: Expected
    weight: int = 1
    way: Way = Way.IN_TURN
    hex_too: bool = True
    forges: bool = False


def _good(name: str, weight: int, about: str, fix: str, makes: Makes, **more: Any) -> Case:
    row: dict[str, Any] = {"expected": Expected.ACCEPTED, **more}
    return Case(name=name, weight=weight, about=f"accepts {about}", fix=fix, makes=makes, **row)


def _hostile(name: str, weight: int, about: str, fix: str, makes: Makes, **more: Any) -> Case:
    row: dict[str, Any] = {"expected": Expected.REFUSED, "forges": True, **more}
    return Case(name=name, weight=weight, about=f"refuses {about}", fix=fix, makes=makes, **row)


def _data(sender: Sender, **fields: object) -> Sending:
    event = sender.event()
    return sender.send(event | {"data": event["data"] | fields})


def _signature(sent: Sending) -> str:
    return dict(sent.headers)["webhook-signature"]


def _rotated(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    other = _signature(sender.send_bytes(sent.body, secret=OTHER_SECRET))
    return [sent.but(webhook_signature=f"{other} {_signature(sent)}")]


def _versions(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    return [sent.but(webhook_signature=f"v9,bmV3 v1a,bmV3 {_signature(sent)}")]


def _mixed_case(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    pairs = enumerate(sent.headers)
    headers = tuple((name.title() if index % 2 else name.upper(), value) for index, (name, value) in pairs)
    return [msgspec.structs.replace(sent, headers=headers)]


def _exact_bytes(sender: Sender) -> list[Sending]:
    event = sender.event()
    text = msgspec.json.format(msgspec.json.encode(event), indent=3).decode()
    spelled = text.replace("Spain", "Sp\\u0061in").replace('"totalVolume": 5120', '"totalVolume": 5120.00')
    return [sender.send_bytes(spelled.encode(), message_id=event["id"])]


def _large(sender: Sender) -> list[Sending]:
    event = sender.event(fromTheFuture="")
    padding = MAX_BODY_BYTES - len(msgspec.json.encode(event))
    return [sender.send(event | {"fromTheFuture": "x" * padding})]


def _unknown_fields(sender: Sender) -> list[Sending]:
    event = sender.event(fromTheFuture={"nested": [1, None]})
    return [sender.send(event | {"data": event["data"] | {"fromTheFuture": True, "smdpStatus": "NEW_STATUS"}})]


def _unsigned(sender: Sender) -> list[Sending]:
    sent, name = sender.send(sender.event()), sender.signature_name
    without = tuple(pair for pair in sent.headers if pair[0] != name)
    return [msgspec.structs.replace(sent, headers=headers) for headers in (without, (*without, (name, "")))]


def _altered(**headers: Any) -> Makes:
    return lambda sender: [sender.send(sender.event()).but(**headers)]


def _odd_timestamp(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    return [sent.but(webhook_timestamp=text) for text in ("soon", "-1", "1e9", "9" * 400)]


def _sent_at(offset_s: int) -> Makes:
    return lambda sender: [sender.send(sender.event(), sent_at=sender.now + offset_s)]


def _refreshed(sender: Sender) -> list[Sending]:
    old = sender.send(sender.event(), sent_at=sender.now - TOO_LONG_S)
    return [old.but(webhook_timestamp=str(sender.now))]


def _other_id(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event()).but(webhook_id=str(sender.event()["id"]))]


def _bodies(*changes: Callable[[bytes], bytes]) -> Makes:
    def makes(sender: Sender) -> list[Sending]:
        sent = sender.send(sender.event())
        return [sent.but(body=change(sent.body)) for change in changes]

    return makes


def _malformed(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    right = _signature(sent)
    odd = ("v1", ",", "v1,%%%", "v1,YQ==,YQ==", right.replace(",", ""), right[:-2])
    return [sent.but(webhook_signature=text) for text in odd]


def _wrong_version(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    code = _signature(sent).partition(",")[2]
    return [sent.but(webhook_signature=f"{version},{code}") for version in ("v0", "v2", "none")]


VALID = _good(
    "valid",
    10,
    "a correctly signed event",
    'Sign "{id}.{timestamp}.{raw body}" with the base64-decoded part of the secret behind whsec_, and answer 2xx.',
    lambda sender: [sender.send(sender.event())],
)
"""Where this one fails, the others would say nothing."""

GOOD = (
    _good(
        "each-event",
        3,
        "each of the eight events",
        "Answer 2xx to every event type, even those that you ignore.",
        lambda sender: [sender.send(sender.event(event)) for event in EventType],
    ),
    _good(
        "quick",
        3,
        "events quickly",
        "Store the event, answer, and work afterwards: after 5 s the attempt counts as failed and is retried.",
        lambda sender: [sender.send(sender.event()) for _ in range(3)],
        expected=Expected.ACCEPTED_QUICKLY,
    ),
    _good(
        "duplicate",
        3,
        "the same event a second time",
        "Answer 2xx to an id that you already have: an error causes more retries.",
        lambda sender: [sender.send(sender.event())] * 2,
    ),
    _good(
        "concurrent-duplicates",
        2,
        f"the same event {AT_ONCE} times at once",
        "Insert the id under a unique key with 'on conflict do nothing', instead of checking first and inserting later.",
        lambda sender: [sender.send(sender.event())] * AT_ONCE,
        way=Way.TOGETHER,
    ),
    _good(
        "reordered",
        2,
        "events out of order",
        "Do not refuse a sequence lower than the last one: store it, and let the highest sequence win.",
        lambda sender: [sender.send(sender.event(sequence=sequence)) for sequence in (9, 7, 8)],
    ),
    _good(
        "late-retry",
        3,
        "the retry of an event that happened long ago",
        "Compare the tolerance with the header webhook-timestamp (this attempt), not with the event's own timestamp.",
        lambda sender: [sender.send(sender.event(timestamp="2026-01-01T00:00:00.000Z")).but(webhook_attempt="6")],
    ),
    _good(
        "tolerance-past",
        2,
        f"a request signed {ALMOST_S} s ago",
        "Allow 300 s between webhook-timestamp and your clock, and keep the clock synchronised (NTP).",
        _sent_at(-ALMOST_S),
        hex_too=False,
    ),
    _good(
        "tolerance-future",
        2,
        f"a request signed {ALMOST_S} s ahead of your clock",
        "Allow 300 s in both directions, because clocks differ.",
        _sent_at(ALMOST_S),
        hex_too=False,
    ),
    _good(
        "unknown-event",
        2,
        "an event type that it does not know",
        "Answer 2xx to event types that you do not know, so that new ones do not fail.",
        lambda sender: [sender.send(sender.event() | {"event": "esim.from_the_future"})],
    ),
    _good(
        "unknown-fields",
        2,
        "fields and statuses that it does not know",
        "Ignore unknown fields and keep unknown statuses as text: new ones are not a breaking change.",
        _unknown_fields,
    ),
    _good(
        "nulls",
        2,
        "null where it is allowed",
        "Expect null in every field that is nullable in the schema.",
        lambda sender: [
            _data(
                sender, **dict.fromkeys(("imsi", "msisdn", "eid", "ac", "qrCodeUrl", "smdpStatus", "lastUsageUpdate"))
            )
        ],
    ),
    _good(
        "several-signatures",
        3,
        "two signatures of which the second is right",
        "Split webhook-signature at spaces and try each part: while a secret is rotated there are two.",
        _rotated,
        hex_too=False,
    ),
    _good(
        "unknown-versions",
        2,
        "signatures next to unknown versions",
        "Skip parts of webhook-signature that do not start with v1 and a comma instead of failing on them.",
        _versions,
        hex_too=False,
    ),
    _good("header-case", 2, "header names in any case", "Look header names up without regard to case.", _mixed_case),
    _good(
        "exact-bytes",
        5,
        "JSON with unusual formatting",
        "Verify the raw body before parsing JSON: spaces, escapes and 5120.00 do not survive parsing.",
        _exact_bytes,
    ),
    _good(
        "non-ascii",
        2,
        "text beyond ASCII",
        "Treat the body as bytes, or as UTF-8, when verifying.",
        lambda sender: [_data(sender, packageName="日本 5GB Größe 🌍 \u2028")],
    ),
    _good(
        "large-body",
        2,
        "a body of 256 KiB",
        "Raise the limit of your framework or proxy to at least 256 KiB (262144 bytes).",
        _large,
    ),
    _good(
        "slow-sender",
        1,
        f"a body that arrives in pieces over {SLOWLY_S:g} s",
        "Read until content-length bytes have arrived: one read is not one body.",
        lambda sender: [msgspec.structs.replace(sender.send(sender.event()), over_s=SLOWLY_S)],
    ),
    _good(
        "keep-alive",
        1,
        "several requests on one connection",
        "Read the whole body before answering, and keep the connection open: it saves a TLS handshake each time.",
        lambda sender: [sender.send(sender.event()) for _ in range(3)],
        expected=Expected.ACCEPTED_ON_ONE_CONNECTION,
        way=Way.ONE_CONNECTION,
    ),
)

HOSTILE = (
    _hostile(
        "wrong-secret",
        FORGERY_WEIGHT,
        "a request signed with another secret",
        "Verify the signature before anything else, and answer 401 if none matches.",
        lambda sender: [sender.send(sender.event(), secret=OTHER_SECRET)],
    ),
    _hostile(
        "no-signature",
        FORGERY_WEIGHT,
        "an unsigned request",
        "Answer 401 if the signature is missing or empty.",
        _unsigned,
    ),
    _hostile(
        "changed-body",
        FORGERY_WEIGHT,
        "a body with one character changed",
        "Compute the signature over the received body.",
        _bodies(lambda body: body.replace(b"IN_USE", b"IN_USF")),
    ),
    _hostile(
        "no-id",
        3,
        "a request without webhook-id",
        "Answer 400 or 401 if webhook-id is missing: it is part of the signed content.",
        _altered(webhook_id=None),
        hex_too=False,
    ),
    _hostile(
        "no-timestamp",
        3,
        "a request without webhook-timestamp",
        "Answer 400 or 401 if webhook-timestamp is missing.",
        _altered(webhook_timestamp=None),
        hex_too=False,
    ),
    _hostile(
        "odd-timestamp",
        2,
        "a timestamp that is not a number",
        "Parse webhook-timestamp defensively and answer 400 or 401 to anything but whole Unix seconds.",
        _odd_timestamp,
        hex_too=False,
    ),
    _hostile(
        "old-timestamp",
        5,
        f"a request signed {TOO_LONG_S} s ago",
        "Refuse a webhook-timestamp more than 300 s ago: otherwise a recorded request can be replayed forever.",
        _sent_at(-TOO_LONG_S),
        hex_too=False,
    ),
    _hostile(
        "future-timestamp",
        3,
        f"a request signed {TOO_LONG_S} s ahead",
        "Refuse a webhook-timestamp more than 300 s ahead of your clock.",
        _sent_at(TOO_LONG_S),
        hex_too=False,
    ),
    _hostile(
        "refreshed-timestamp",
        5,
        "an old request with a new timestamp",
        "Include the header's timestamp in the content that you sign and compare.",
        _refreshed,
        hex_too=False,
    ),
    _hostile(
        "other-id",
        5,
        "a request with another id",
        "Include the header webhook-id in the content that you sign and compare: otherwise an event can be replayed.",
        _other_id,
        hex_too=False,
    ),
    _hostile(
        "truncated-body",
        5,
        "a truncated body",
        "Compute the signature over the whole body, and answer 4xx to an empty one.",
        _bodies(lambda body: body[:-1], lambda _: b""),
    ),
    _hostile(
        "re-encoded-body",
        3,
        "the same JSON in other bytes",
        "Verify the received bytes, not JSON that you parsed and serialised again.",
        _bodies(lambda body: msgspec.json.format(body, indent=2)),
        forges=False,
    ),
    _hostile(
        "malformed-signature",
        3,
        "malformed signature headers",
        "Catch all errors when parsing webhook-signature (some libraries raise ValueError) and answer 401.",
        _malformed,
        hex_too=False,
    ),
    _hostile(
        "signature-version",
        3,
        "a valid signature under another version",
        "Compare only parts of webhook-signature that start with v1 and a comma.",
        _wrong_version,
        hex_too=False,
    ),
    _hostile(
        "garbage",
        2,
        "bytes that are not text",
        "Verify bytes, not text: decoding first crashes on anything that is not UTF-8.",
        _bodies(lambda _: b"\xff\x00{[" * 20),
    ),
    Case(
        name="not-json",
        about="does not crash on signed bodies that are not events",
        fix="Catch parsing errors and answer 400.",
        makes=lambda sender: [sender.send_bytes(body) for body in (b"not json", b"[]", b"\xff\xfe\x00")],
        expected=Expected.NO_CRASH,
        weight=2,
    ),
    Case(
        name="content-type",
        about="does not crash on another content type",
        fix="Accept any content-type, or answer 415.",
        makes=lambda sender: [sent for name in ("text/plain", None) for sent in _altered(content_type=name)(sender)],
        expected=Expected.NO_CRASH,
    ),
    _hostile(
        "get",
        1,
        "GET",
        "Answer 405 to everything except POST.",
        lambda _: [Sending(method="GET", headers=(("accept", "*/*"),), body=b"")],
        expected=Expected.LIMITED,
    ),
    _hostile(
        "too-large",
        1,
        "4 MiB",
        "Answer 413 to bodies over 256 KiB before reading them: anyone can send them.",
        lambda sender: [sender.send(sender.event(fromTheFuture="x" * FAR_TOO_LARGE_BYTES))],
        expected=Expected.LIMITED,
    ),
)

CASES = (VALID, *GOOD, *HOSTILE)
