"""Causes: why a receiver answered as it did. What was answered comes in, one cause with how to fix it goes out.

Where the first good request is not accepted, a few more are sent, each as a mistaken receiver would expect it: the one that is
accepted names the mistake.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec import Struct

from esimhooks.cli.conformance.cases import OTHER_SECRET
from esimhooks.cli.conformance.exchange import Answer, Line
from esimhooks.cli.conformance.grading import Result, Verdict, accepted
from esimhooks.cli.conformance.requests import Sender, Sending

RAW_BODY = "Verify the raw bytes before any JSON parser: express.raw, await request.body(), request.get_data()."
FORGERIES = frozenset({"wrong-secret", "no-signature", "changed-body"})


class Cause(Struct, frozen=True, kw_only=True):
    """Why cases did not pass. `cases` are their names; `answer` is what was seen of it."""

    what: str
    fix: str
    cases: tuple[str, ...] = ()
    answer: Answer | None = None


def unreached(answer: Answer, url: str) -> Cause | None:
    """Return why there was no connection; None where there was one."""
    if answer.reached:
        return None
    return Cause(what=f"nothing listens at {url}: {answer.error}", fix="Start the receiver, or correct the URL.")


def refusal_of_good(answer: Answer, sender: Sender, line: Line) -> Cause:
    """Return why a correctly signed event was not accepted."""
    what, fix = _by_status(answer) or _by_probes(answer, sender, line)
    return Cause(what=what, fix=fix, cases=("valid",), answer=answer)


def causes_of(verdicts: Sequence[Verdict]) -> list[Cause]:
    """Return each cause once, those that are unsafe first."""
    left = [one for one in verdicts if one.result is not Result.PASS]
    found = []
    for applies, what, fix in _SHARED:
        names = applies(left)
        if names:
            found.append(_cause(what, fix, [one for one in left if one.name in names]))
            left = [one for one in left if one.name not in names]
    alone = sorted(left, key=lambda one: (not one.unsafe, one.result is Result.WARN, -one.weight))
    return found + [_cause(_fault(one), one.fix, [one]) for one in alone]


def _cause(what: str, fix: str, verdicts: Sequence[Verdict]) -> Cause:
    worst = max(verdicts, key=lambda one: (one.unsafe, one.weight))
    return Cause(what=what, fix=fix, cases=tuple(one.name for one in verdicts), answer=worst.answer)


def _fault(verdict: Verdict) -> str:
    if verdict.unsafe:
        return f"unsafe: {verdict.about.replace('refuses', 'it accepts', 1)}"
    if verdict.crashed:
        return f"safe, but not refused: {verdict.about.removeprefix('refuses ')} was answered with {verdict.seen}"
    return f"not so: {verdict.about} ({verdict.seen})"


def _verifies_nothing(verdicts: Sequence[Verdict]) -> Collection[str]:
    unsafe = {one.name for one in verdicts if one.unsafe}
    return {one.name for one in verdicts if one.hostile} if unsafe >= FORGERIES else ()


def _parses_first(verdicts: Sequence[Verdict]) -> Collection[str]:
    failed = {one.name for one in verdicts if one.result is Result.FAIL}
    if "exact-bytes" not in failed:
        return ()
    crashes = {one.name for one in verdicts if one.crashed or one.name == "not-json"}
    return failed & {"exact-bytes", "re-encoded-body", "non-ascii"} | crashes & {
        "truncated-body",
        "garbage",
        "not-json",
    }


def _signs_no_time(verdicts: Sequence[Verdict]) -> Collection[str]:
    return {one.name for one in verdicts if one.unsafe} & {"old-timestamp", "future-timestamp"}


def _crashes(verdicts: Sequence[Verdict]) -> Collection[str]:
    crashed = {one.name for one in verdicts if one.crashed}
    return crashed if len(crashed) > 1 else ()


_SHARED: tuple[tuple[Callable[[Sequence[Verdict]], Collection[str]], str, str], ...] = (
    (
        _verifies_nothing,
        "unsafe: it verifies nothing, so anyone can forge events",
        "Verify the signature before anything else, and answer 401 if it is wrong.",
    ),
    (_parses_first, "it verifies re-serialised JSON instead of the received bytes", RAW_BODY),
    (
        _signs_no_time,
        "unsafe: it does not check the age of a request, so recorded ones can be replayed",
        "Refuse a webhook-timestamp more than 300 s from your clock, in both directions.",
    ),
    (
        _crashes,
        "safe, but it crashes instead of refusing: every such request looks like an outage",
        "Catch verification errors and answer 401, or 400 if the body is not an event.",
    ),
)
"""Causes of several cases: which of these they explain, what it is, how to fix it."""


_AGAIN = (
    "it asks to retry later",
    "It probably cannot store the event: check its database or inbox, and its log.",
)
_BY_STATUS = {
    404: ("there is nothing at this path", "Correct the path, or mount the receiver there."),
    405: ("POST is not allowed at this path", "Correct the path, or let the route accept POST."),
    413: ("a body of two kilobytes is too large for it", "Raise the limit to 256 KiB."),
    429: _AGAIN,
    503: _AGAIN,
}


def _by_status(answer: Answer) -> tuple[str, str] | None:
    """Return what the status alone says."""
    if answer.status is None:
        return f"the connection was accepted, but not answered: {answer.error}", (
            "Answer within 5 s: store the event, answer, and work afterwards."
        )
    if 300 <= answer.status < 400:
        where = f" to {answer.location}" if answer.location else ""
        return f"it redirects{where} ({answer.status}), and webhooks do not follow redirects", (
            "Register the final URL; check https and the trailing slash."
        )
    what, fix = _BY_STATUS.get(answer.status, ("", ""))
    return (f"{what} ({answer.status})", fix) if what else None


def _by_probes(answer: Answer, sender: Sender, line: Line) -> tuple[str, str]:
    """Return the mistake whose request is accepted; where none is, what is known."""
    for what, fix, sendings in _mistakes(sender):
        if any(accepted(line.send_one(sending)) for sending in sendings):
            return what, fix
    if answer.status is not None and answer.status >= 500:
        forged = line.send_one(sender.send(sender.event(), secret=OTHER_SECRET))
        refuses = forged.status is not None and 400 <= forged.status < 500
        when = "after verifying" if refuses else "on every request"
        return f"it crashes {when} ({answer.status})", "Look at the receiver's log; its answer is below."
    return f"it refuses a correctly signed event ({answer.status})", (
        "Compare the secret with the endpoint's; what is signed is {id}.{timestamp}.{raw body}, the key is the"
        " base64-decoded part behind whsec_."
    )


def _mistakes(sender: Sender) -> Iterator[tuple[str, str, list[Sending]]]:
    event = sender.event()
    plain = {"id": event["id"], "event": event["event"], "data": {"id": event["data"]["id"]}}
    dumped = [json.dumps(plain), json.dumps(plain, separators=(",", ":")), json.dumps(plain, sort_keys=True)]
    dumped.append(json.dumps(plain, sort_keys=True, separators=(",", ":")))
    yield (
        "it verifies re-serialised JSON instead of the received bytes",
        RAW_BODY,
        [sender.send_bytes(text.encode(), message_id=event["id"]) for text in dumped],
    )
    if sender.profile == "hex" or not sender.secret.startswith("whsec_"):
        return
    sent = sender.send(event)
    headers = dict(sent.headers)
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sent.body
    texts = [sender.secret.encode(), sender.secret.removeprefix("whsec_").encode()]
    yield (
        "it uses the text of the secret as the key",
        "Decode the base64 after whsec_: its bytes are the key.",
        [sent.but(webhook_signature=f"v1,{_code(key, content)}") for key in texts],
    )
    key = base64.b64decode(sender.secret.removeprefix("whsec_"))
    yield (
        "it signs the body alone",
        'Sign "{id}.{timestamp}.{raw body}", with the headers webhook-id and webhook-timestamp.',
        [sent.but(webhook_signature=f"v1,{_code(key, sent.body)}")],
    )
    hexed = hmac.digest(key, content, hashlib.sha256).hex()
    yield (
        "it compares the signature in hex",
        "webhook-signature is v1, a comma and base64.",
        [sent.but(webhook_signature=text) for text in (f"v1,{hexed}", hexed)],
    )


def _code(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
