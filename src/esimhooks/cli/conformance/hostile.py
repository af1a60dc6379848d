"""Requests that a receiver must refuse: each is what an attacker, or a mistake on the way, could make."""

import base64

import msgspec

from esimhooks.cli.conformance.checks import Check, Expected
from esimhooks.cli.conformance.messages import Sender, Sending

TOO_OLD_S = 360
"""Beyond the tolerance of 300 s by a minute, for slow machines."""
FAR_TOO_LARGE_BYTES = 4 * 1024 * 1024
OTHER_SECRET = "whsec_" + base64.b64encode(b"not the secret of this endpoint.").decode()


def _valid(sender: Sender) -> Sending:
    return sender.send(sender.event())


def _wrong_secret(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(), secret=OTHER_SECRET)]


def _unsigned(sender: Sender) -> list[Sending]:
    sent, name = _valid(sender), sender.signature_name
    without = tuple(pair for pair in sent.headers if pair[0] != name)
    return [msgspec.structs.replace(sent, headers=headers) for headers in (without, (*without, (name, "")))]


def _no_id(sender: Sender) -> list[Sending]:
    return [_valid(sender).but(webhook_id=None)]


def _no_timestamp(sender: Sender) -> list[Sending]:
    return [_valid(sender).but(webhook_timestamp=None)]


def _odd_timestamp(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    return [sent.but(webhook_timestamp=text) for text in ("soon", "-1", "1e9", "9" * 400)]


def _old(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(), sent_at=sender.now - TOO_OLD_S)]


def _future(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(), sent_at=sender.now + TOO_OLD_S)]


def _refreshed(sender: Sender) -> list[Sending]:
    old = sender.send(sender.event(), sent_at=sender.now - TOO_OLD_S)
    return [old.but(webhook_timestamp=str(sender.now))]


def _other_id(sender: Sender) -> list[Sending]:
    other = sender.event()
    return [_valid(sender).but(webhook_id=str(other["id"]))]


def _changed(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    return [sent.but(body=sent.body.replace(b"IN_USE", b"IN_USF"))]


def _truncated(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    return [sent.but(body=sent.body[:-1]), sent.but(body=b"")]


def _re_encoded(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    return [sent.but(body=msgspec.json.format(sent.body, indent=2))]


def _malformed(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    right = dict(sent.headers)["webhook-signature"]
    odd = ("v1", ",", "v1,%%%", "v1,YQ==,YQ==", right.replace(",", ""), right[:-2])
    return [sent.but(webhook_signature=text) for text in odd]


def _wrong_version(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    code = dict(sent.headers)["webhook-signature"].partition(",")[2]
    return [sent.but(webhook_signature=f"{version},{code}") for version in ("v0", "v2", "none")]


def _not_json(sender: Sender) -> list[Sending]:
    return [sender.send_bytes(body) for body in (b"not json", b"[]", b"\xff\xfe\x00")]


def _garbage(sender: Sender) -> list[Sending]:
    return [_valid(sender).but(body=b"\xff\x00{[" * 20)]


def _too_large(sender: Sender) -> list[Sending]:
    return [sender.send(sender.event(fromTheFuture="x" * FAR_TOO_LARGE_BYTES))]


def _other_type(sender: Sender) -> list[Sending]:
    sent = _valid(sender)
    return [sent.but(content_type="text/plain"), sent.but(content_type=None)]


def _get(sender: Sender) -> list[Sending]:
    return [Sending(method="GET", headers=(("accept", "*/*"),), body=b"")]


HOSTILE = (
    Check(
        name="wrong-secret",
        about="refuses what another secret has signed",
        mend="Compare the signature before you do anything, and answer 401 where none matches.",
        makes=_wrong_secret,
        expected=Expected.REFUSED,
        weight=10,
    ),
    Check(
        name="no-signature",
        about="refuses what is not signed",
        mend="Answer 401 where the signature is missing or empty.",
        makes=_unsigned,
        expected=Expected.REFUSED,
        weight=10,
    ),
    Check(
        name="no-id",
        about="refuses a request without webhook-id",
        mend="Answer 400 or 401 where webhook-id is missing: it is part of what is signed.",
        makes=_no_id,
        expected=Expected.REFUSED,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="no-timestamp",
        about="refuses a request without webhook-timestamp",
        mend="Answer 400 or 401 where webhook-timestamp is missing.",
        makes=_no_timestamp,
        expected=Expected.REFUSED,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="odd-timestamp",
        about="refuses a timestamp that is no number, without a crash",
        mend="Parse webhook-timestamp defensively and answer 400 or 401 to anything but whole Unix seconds.",
        makes=_odd_timestamp,
        expected=Expected.REFUSED,
        weight=2,
        hex_too=False,
    ),
    Check(
        name="old-timestamp",
        about=f"refuses what was signed {TOO_OLD_S} s ago",
        mend="Refuse a webhook-timestamp more than 300 s ago: otherwise a recorded request can be played again for ever.",
        makes=_old,
        expected=Expected.REFUSED,
        weight=5,
        hex_too=False,
    ),
    Check(
        name="future-timestamp",
        about=f"refuses what was signed {TOO_OLD_S} s ahead",
        mend="Refuse a webhook-timestamp more than 300 s ahead of your clock.",
        makes=_future,
        expected=Expected.REFUSED,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="refreshed-timestamp",
        about="refuses an old request under a new timestamp",
        mend="Make the header's timestamp part of what you sign and compare.",
        makes=_refreshed,
        expected=Expected.REFUSED,
        weight=5,
        hex_too=False,
    ),
    Check(
        name="other-id",
        about="refuses a request under another id",
        mend="Make the header webhook-id part of what you sign and compare: otherwise an event can be played twice.",
        makes=_other_id,
        expected=Expected.REFUSED,
        weight=5,
        hex_too=False,
    ),
    Check(
        name="changed-body",
        about="refuses a body with one letter changed",
        mend="Compute the signature over the body that came.",
        makes=_changed,
        expected=Expected.REFUSED,
        weight=10,
    ),
    Check(
        name="truncated-body",
        about="refuses a body that was cut",
        mend="Compute the signature over the whole body, and answer 4xx to an empty one.",
        makes=_truncated,
        expected=Expected.REFUSED,
        weight=5,
    ),
    Check(
        name="re-encoded-body",
        about="refuses the same JSON in other bytes",
        mend="Verify the bytes as they came, not JSON that you have parsed and written again.",
        makes=_re_encoded,
        expected=Expected.REFUSED,
        weight=3,
    ),
    Check(
        name="malformed-signature",
        about="refuses odd signature headers, without a crash",
        mend="Catch every error of parsing webhook-signature (some libraries raise ValueError) and answer 401.",
        makes=_malformed,
        expected=Expected.REFUSED,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="signature-version",
        about="refuses a right code under another version",
        mend="Compare only parts of webhook-signature that start with v1 and a comma.",
        makes=_wrong_version,
        expected=Expected.REFUSED,
        weight=3,
        hex_too=False,
    ),
    Check(
        name="garbage",
        about="refuses bytes that are no text, without a crash",
        mend="Verify bytes, not text: decoding before verifying crashes on what is no UTF-8.",
        makes=_garbage,
        expected=Expected.REFUSED,
        weight=2,
    ),
    Check(
        name="not-json",
        about="does not crash on signed bodies that are no event",
        mend="Catch errors of parsing and answer 400.",
        makes=_not_json,
        expected=Expected.NO_CRASH,
        weight=2,
    ),
    Check(
        name="content-type",
        about="does not crash on another content type",
        mend="Take the body whatever content-type says, or answer 415.",
        makes=_other_type,
        expected=Expected.NO_CRASH,
    ),
    Check(
        name="get",
        about="refuses GET",
        mend="Answer 405 to everything but POST.",
        makes=_get,
        expected=Expected.LIMITED,
    ),
    Check(
        name="too-large",
        about="refuses 4 MiB",
        mend="Answer 413 to bodies over 256 KiB before you read them: everybody can send them to you.",
        makes=_too_large,
        expected=Expected.LIMITED,
    ),
)
