"""Requests that a receiver must take, in the order in which they are sent."""

import msgspec

from esimhooks.cli.conformance.checks import Check, Expected, Way
from esimhooks.cli.conformance.messages import Sender, Sending
from esimhooks.vocabulary.envelope import MAX_BODY_BYTES
from esimhooks.vocabulary.events import EventType

ALMOST_S = 240
"""Within the tolerance of 300 s, with a minute for slow machines."""
SLOWLY_S = 2.0
AT_ONCE = 8


def _valid(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event())]


def _each_event(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(event)) for event in EventType]


def _duplicate(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event())] * 2


def _at_once(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event())] * AT_ONCE


def _reordered(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(sequence=sequence)) for sequence in (9, 7, 8)]


def _late_retry(sender: Sender) -> list[Sending]:
    event = sender.event(timestamp="2026-01-01T00:00:00.000Z")
    return [sender.send(event).but(webhook_attempt="6")]


def _unknown_event(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event() | {"event": "esim.from_the_future"})]


def _unknown_fields(sender: Sender) -> list[Sending]:
    event = sender.event(fromTheFuture={"nested": [1, None]})
    return [sender.send(event | {"data": event["data"] | {"fromTheFuture": True, "smdpStatus": "NEW_STATUS"}})]


def _nulls(sender: Sender) -> list[Sending]:
    event = sender.event()
    nothing = dict.fromkeys(("imsi", "msisdn", "eid", "ac", "qrCodeUrl", "shortUrl", "smdpStatus", "lastUsageUpdate"))
    return [sender.send(event | {"data": event["data"] | nothing})]


def _rotation(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    other = dict(sender.send_bytes(sent.body, secret="whsec_b3RoZXIgc2VjcmV0").headers)["webhook-signature"]  # noqa: S106
    return [sent.but(webhook_signature=f"{other} {dict(sent.headers)['webhook-signature']}")]


def _versions(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    right = dict(sent.headers)["webhook-signature"]
    return [sent.but(webhook_signature=f"v9,bmV3 v1a,bmV3 {right}")]


def _mixed_case(sender: Sender) -> list[Sending]:
    sent = sender.send(sender.event())
    headers = tuple(
        (name.title() if place % 2 else name.upper(), value) for place, (name, value) in enumerate(sent.headers)
    )
    return [msgspec.structs.replace(sent, headers=headers)]


def _exact_bytes(sender: Sender) -> list[Sending]:
    event = sender.event()
    text = msgspec.json.format(msgspec.json.encode(event), indent=3).decode()
    spelled = text.replace("Spain", "Sp\\u0061in").replace('"totalVolume": 5120', '"totalVolume": 5120.00')
    return [sender.send_bytes(spelled.encode(), message_id=event["id"])]


def _not_ascii(sender: Sender) -> list[Sending]:
    event = sender.event()
    return [sender.send(event | {"data": event["data"] | {"packageName": "日本 5GB Größe 🌍 \u2028"}})]


def _large(sender: Sender) -> list[Sending]:
    event = sender.event(fromTheFuture="")
    room = MAX_BODY_BYTES - len(msgspec.json.encode(event))
    return [sender.send(event | {"fromTheFuture": "x" * room})]


def _slow(sender: Sender) -> list[Sending]:
    return [msgspec.structs.replace(sender.send(sender.event()), over_s=SLOWLY_S)]


def _old(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(), sent_at=sender.now - ALMOST_S)]


def _new(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(), sent_at=sender.now + ALMOST_S)]


def _some(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event()) for _ in range(3)]


FIRST = (
    Check(
        name="no-redirect",
        about="answers at the address itself",
        mend="Register the final address (https, with or without the last slash): redirects are never followed.",
        makes=_valid,
        expected=Expected.NOT_REDIRECTED,
        weight=5,
    ),
    Check(
        name="valid",
        about="takes a rightly signed event",
        mend='Sign "{id}.{timestamp}.{raw body}" with the base64-decoded part of the secret behind whsec_, and answer 2xx.',
        makes=_valid,
        weight=10,
    ),
)
"""Where one of these fails, the others would tell nothing."""

GOOD = (
    Check(
        name="each-event",
        about="takes each of the eight events",
        mend="Answer 2xx to every event type, also to those that you do nothing with.",
        makes=_each_event,
        weight=3,
    ),
    Check(
        name="quick",
        about="answers quickly",
        mend="Store the event, answer, and only then work: after 5 s the attempt counts as failed and is repeated.",
        makes=_some,
        expected=Expected.QUICK,
        weight=3,
    ),
    Check(
        name="duplicate",
        about="takes the same event a second time",
        mend="Answer 2xx to an id that you know already: an error makes it come again and again.",
        makes=_duplicate,
        weight=3,
    ),
    Check(
        name="concurrent-duplicates",
        about=f"takes the same event {AT_ONCE} times at once",
        mend="Insert the id with a unique key and 'on conflict do nothing' instead of looking first and inserting then.",
        makes=_at_once,
        way=Way.TOGETHER,
        weight=2,
    ),
    Check(
        name="reordered",
        about="takes events out of order",
        mend="Do not refuse a lower sequence than the last: store it, and let the highest sequence win.",
        makes=_reordered,
        weight=2,
    ),
    Check(
        name="late-retry",
        about="takes the retry of an event that happened long ago",
        mend="Compare the tolerance with the header webhook-timestamp (this attempt), not with the event's own timestamp.",
        makes=_late_retry,
        weight=3,
    ),
    Check(
        name="tolerance-past",
        about=f"takes what was signed {ALMOST_S} s ago",
        mend="Allow 300 s between webhook-timestamp and your clock, and keep the clock right (NTP).",
        makes=_old,
        weight=2,
        hex_too=False,
    ),
    Check(
        name="tolerance-future",
        about=f"takes what was signed {ALMOST_S} s ahead of your clock",
        mend="Allow 300 s in both directions: clocks differ.",
        makes=_new,
        weight=2,
        hex_too=False,
    ),
    Check(
        name="unknown-event",
        about="takes an event type that it does not know",
        mend="Answer 2xx to event types that you do not know, so that a new one does not fail.",
        makes=_unknown_event,
        weight=2,
    ),
    Check(
        name="unknown-fields",
        about="takes fields and statuses that it does not know",
        mend="Ignore unknown fields and keep unknown statuses as text: new ones are no breaking change.",
        makes=_unknown_fields,
        weight=2,
    ),
    Check(
        name="nulls",
        about="takes null where it is allowed",
        mend="Expect null in every field that the schema says may be null.",
        makes=_nulls,
        weight=2,
    ),
    Check(
        name="several-signatures",
        about="takes two signatures, the second one right",
        mend="Split webhook-signature at spaces and try each part: while a secret is replaced there are two.",
        makes=_rotation,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="unknown-versions",
        about="skips signature versions that it does not know",
        mend="Skip parts of webhook-signature that do not start with v1 and a comma instead of failing on them.",
        makes=_versions,
        weight=2,
        hex_too=False,
    ),
    Check(
        name="header-case",
        about="takes header names in any case",
        mend="Look header names up without regard to case.",
        makes=_mixed_case,
        weight=2,
    ),
    Check(
        name="exact-bytes",
        about="verifies the bytes as they came",
        mend="Verify the raw body before any JSON parser sees it: spaces, escapes and 5120.00 do not survive one.",
        makes=_exact_bytes,
        weight=5,
    ),
    Check(
        name="non-ascii",
        about="takes text beyond ASCII",
        mend="Treat the body as bytes, or as UTF-8, when verifying.",
        makes=_not_ascii,
        weight=2,
    ),
    Check(
        name="large-body",
        about="takes a body of 256 KiB",
        mend="Raise the limit of your framework or proxy to at least 256 KiB (262144 bytes).",
        makes=_large,
        weight=2,
    ),
    Check(
        name="slow-sender",
        about=f"takes a body that comes in pieces over {SLOWLY_S:g} s",
        mend="Read until content-length bytes came: one read is not one body.",
        makes=_slow,
    ),
    Check(
        name="keep-alive",
        about="takes several requests on one connection",
        mend="Read the whole body before answering and keep the connection open: it saves a TLS handshake each time.",
        makes=_some,
        expected=Expected.KEPT_ALIVE,
        way=Way.ONE_CONNECTION,
    ),
)
