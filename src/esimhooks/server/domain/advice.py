"""What is wrong and what to do about it: after a failed attempt, and after a check of an installation. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import assert_never

from msgspec import Struct, structs

from esimhooks.server.domain.delivery import OutcomeClass


class Advice(Struct, frozen=True):
    """Two sentences for the receiver's developer; nothing to do where `todo` is empty.

    `text` has places for the `values`, so that it can be looked up in other languages.
    """

    text: str
    todo: str
    values: Mapping[str, object] = {}

    @property
    def what(self) -> str:
        """What happened, in English."""
        return self.text.format(**self.values)


def advise(outcome: OutcomeClass, *, status_code: int | None, error: str | None) -> Advice:
    """Return what the outcome of an attempt means for the person who looks after the receiver."""
    if status_code is not None:
        answered = _of_answer(outcome, status_code)
        return structs.replace(answered, values={"status": status_code})
    return structs.replace(_without_answer(outcome), values={"why": f": {error}" if error else ""})


def _without_answer(outcome: OutcomeClass) -> Advice:
    match outcome:
        case OutcomeClass.TIMEOUT:
            return Advice(
                "No answer came in time{why}.",
                "Answer 2xx as soon as the event is stored, and do the work afterwards.",
            )
        case OutcomeClass.DNS:
            return Advice("The host name could not be resolved{why}.", "Check the endpoint's URL and its DNS records.")
        case OutcomeClass.TLS:
            return Advice(
                "The secure connection failed{why}.",
                "Check that the certificate is valid for the host name and served with its full chain.",
            )
        case OutcomeClass.BLOCKED:
            return Advice(
                "The address is not allowed{why}.", "Use a public https URL; the operator can allow other networks."
            )
        case OutcomeClass.INTERNAL:
            return Advice("An internal error occurred{why}.", "Nothing to do at the receiver; this uses up no attempt.")
        case _:
            return Advice(
                "The connection failed{why}.", "Check that the receiver is running and that no firewall blocks us."
            )


def _of_answer(outcome: OutcomeClass, status_code: int) -> Advice:  # noqa: PLR0911 - one return for each class
    match outcome:
        case OutcomeClass.OK:
            return Advice("The receiver accepted the event ({status}).", "")
        case OutcomeClass.REDIRECT:
            return Advice(
                "The receiver answered {status}, a redirect; these are not followed.",
                "Set the endpoint's URL to the final one.",
            )
        case OutcomeClass.CLIENT_ERROR if status_code in (401, 403):
            return Advice(
                "The receiver refused the request ({status}).",
                "Verify with this endpoint's secret over the raw body, and require no other authentication.",
            )
        case OutcomeClass.CLIENT_ERROR if status_code in (404, 405):
            return Advice(
                "Nothing accepts webhooks at this URL ({status}).", "Check the path, and that it accepts POST."
            )
        case OutcomeClass.CLIENT_ERROR:
            return Advice(
                "The receiver refused the request ({status}).",
                "Read its answer, which is stored with the delivery; answer 2xx even to events that you do not need.",
            )
        case OutcomeClass.GONE:
            return Advice(
                "The receiver answered 410 (gone), so its endpoint was disabled.",
                "Enable the endpoint when the receiver is back, then recover what it missed.",
            )
        case OutcomeClass.TOO_MANY:
            return Advice(
                "The receiver limits requests (429); we wait as long as it asks.",
                "Raise its limit, or set a rate limit for the endpoint.",
            )
        case OutcomeClass.SERVER_ERROR:
            return Advice(
                "The receiver failed ({status}).",
                "Look at its log at that time; its answer is stored with the delivery.",
            )
        case (
            OutcomeClass.TIMEOUT
            | OutcomeClass.DNS
            | OutcomeClass.CONNECT
            | OutcomeClass.TLS
            | OutcomeClass.BLOCKED
            | OutcomeClass.INTERNAL
        ):
            return Advice("The answer was not a final HTTP response ({status}).", "Answer 2xx once you have the event.")
        case _:
            assert_never(outcome)


class Health(StrEnum):
    """How bad it is: `warn` works now and may not later, `fail` does not work or loses what was promised."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True):
    """One line of `esimhooks doctor`. `fix` says what to do, and is empty where nothing is to be done."""

    check: str
    health: Health
    seen: str
    fix: str = ""


def ok(check: str, seen: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(check, Health.OK, seen)


def warn(check: str, seen: str, fix: str) -> Finding:
    """Return a warning."""
    return Finding(check, Health.WARN, seen, fix)


def fail(check: str, seen: str, fix: str) -> Finding:
    """Return that a check failed."""
    return Finding(check, Health.FAIL, seen, fix)
