"""What is wrong and what to do about it: after a failed attempt, and after a check of an installation. Pure."""

from collections.abc import Mapping
from enum import StrEnum

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


WITHOUT_ANSWER = {
    OutcomeClass.TIMEOUT: Advice(
        "No answer came in time{why}.",
        "Answer 2xx as soon as the event is stored, and do the work afterwards.",
    ),
    OutcomeClass.DNS: Advice(
        "The host name could not be resolved{why}.", "Check the endpoint's URL and its DNS records."
    ),
    OutcomeClass.TLS: Advice(
        "The secure connection failed{why}.",
        "Check that the certificate is valid for the host name and served with its full chain.",
    ),
    OutcomeClass.BLOCKED: Advice(
        "The address is not allowed{why}.", "Use a public https URL; the operator can allow other networks."
    ),
    OutcomeClass.INTERNAL: Advice(
        "An internal error occurred{why}.", "Nothing to do at the receiver; this uses up no attempt."
    ),
}
NO_CONNECTION = Advice(
    "The connection failed{why}.", "Check that the receiver is running and that no firewall blocks us."
)
ANSWERED = {
    OutcomeClass.OK: Advice("The receiver accepted the event ({status}).", ""),
    OutcomeClass.REDIRECT: Advice(
        "The receiver answered {status}, a redirect; these are not followed.",
        "Set the endpoint's URL to the final one.",
    ),
    OutcomeClass.CLIENT_ERROR: Advice(
        "The receiver refused the request ({status}).",
        "Read its answer, which is stored with the delivery; answer 2xx even to events that you do not need.",
    ),
    OutcomeClass.GONE: Advice(
        "The receiver answered 410 (gone), so its endpoint was disabled.",
        "Enable the endpoint when the receiver is back, then recover what it missed.",
    ),
    OutcomeClass.TOO_MANY: Advice(
        "The receiver limits requests (429); we wait as long as it asks.",
        "Raise its limit, or set a rate limit for the endpoint.",
    ),
    OutcomeClass.SERVER_ERROR: Advice(
        "The receiver failed ({status}).",
        "Look at its log at that time; its answer is stored with the delivery.",
    ),
}
REFUSED = Advice(
    "The receiver refused the request ({status}).",
    "Verify with this endpoint's secret over the raw body, and require no other authentication.",
)
NOT_THERE = Advice("Nothing accepts webhooks at this URL ({status}).", "Check the path, and that it accepts POST.")
ANSWERED_WITH = {401: REFUSED, 403: REFUSED, 404: NOT_THERE, 405: NOT_THERE}
NOT_FINAL = Advice("The answer was not a final HTTP response ({status}).", "Answer 2xx once you have the event.")


def advise(outcome: OutcomeClass, *, status_code: int | None, error: str | None) -> Advice:
    """Return what the outcome of an attempt means for the person who looks after the receiver."""
    if status_code is None:
        advice = WITHOUT_ANSWER.get(outcome, NO_CONNECTION)
        return structs.replace(advice, values={"why": f": {error}" if error else ""})
    advice = ANSWERED.get(outcome, NOT_FINAL)
    if outcome is OutcomeClass.CLIENT_ERROR:
        advice = ANSWERED_WITH.get(status_code, advice)
    return structs.replace(advice, values={"status": status_code})


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
