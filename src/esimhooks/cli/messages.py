"""What can go wrong on the command line, and how it is said: an error comes in, its message goes out or None.

None means that it is a defect, which deserves its traceback. Messages name options, never parameters of HTTP.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from esimhooks.server.domain.errors import EsimhooksError, NotNow, Refused

OPTION_OF = {
    "allowedIps": "--allowed-ip",
    "credentials": "--credential",
    "data": "--set",
    "deliveries": "--delivery",
    "eventTypes": "--event-type",
    "headers": "--header",
    "quotas": "--quota",
    "settings": "--setting",
    "statuses": "--status",
}
"""Options that are repeated, one value each, by the field that they fill."""
NAMED_BELOW = frozenset({"credentials", "data", "headers", "metadata", "quotas", "settings"})
"""Fields whose members have names that a person chose: `--set dataUsage`."""

USAGE = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (r"^Invalid value for '(?:-H / )?([^']+)': ", r"\1: "),
        (r"^Invalid value: ", ""),
        (r"Value error, '(.*)' is not one of (.*)\.$", r"expected one of \2, not \1"),
        (r"Value error, ", ""),
        (r"Input should be a valid integer.*", "expected a whole number"),
        (r"Input should be a valid number.*", "expected a number"),
        (r"Input should be greater than or equal to (\S+)", r"expected \1 or more"),
        (r"Input should be less than or equal to (\S+)", r"expected \1 or less"),
        (r"^Missing option '([^']+)'\.?\s*Choose from:\s*(.*)$", r"\1 is missing: expected one of \2"),
        (r"^Missing option '([^']+)'(?: \(env var: '(\w+)'\))?\.?", r"\1 is missing"),
        (r"^Missing argument '([^']+)'\.?", r"\1 is missing"),
        (r"^Got unexpected extra argument\(?s?\)? \((.*)\)$", r"\1: expected nothing more"),
        (r"^No such (option): ([^ .]+)", r"there is no \1 \2"),
        (r"^No such (command) '([^']+)'\.?", r"there is no \1 \2"),
        (r"(?: \(Possible options?: | Did you mean (?:one of: )?)'?([^',?)]+).*$", r": did you mean \1?"),
        (r"^Option '([^']+)' requires an argument\.", r"\1: expected a value behind it"),
    )
)
"""The words of the library that parses the command line, and ours."""


class Failed(Exception):
    """The command could not do its work; the message says why and what to do."""


class Unreached(Failed):
    """The server could not be reached or cannot answer now; another try may."""


class Denied(Failed):
    """The server answered that it will not do it; `status` is that of HTTP, `fields` are those that were not accepted."""

    def __init__(self, message: str, *, status: int, fields: "Sequence[BadField]" = ()) -> None:
        super().__init__(message)
        self.status = status
        self._fields = fields

    def in_fields(self) -> Sequence[str]:
        """Return why, by the fields of the API instead of options, for what stands in a file."""
        return [f"{one.pointer.removeprefix('query:').removeprefix('/')}: {one.detail}" for one in self._fields] or str(
            self
        ).splitlines()


class BadField(Struct):
    """One field that was not accepted."""

    pointer: str = ""
    detail: str = ""


def explain(error: BaseException) -> str | None:
    """Return the message for errors that are expected, also where a task group has wrapped them."""
    messages = [_message(one) for one in _leaves(error)]
    known = [message for message in messages if message is not None]
    return "\n".join(dict.fromkeys(known)) if len(known) == len(messages) else None


def usage(message: str) -> str:
    """Return what is wrong with a command line in our words."""
    for pattern, words in USAGE:
        message = pattern.sub(words, message)
    message = re.sub(r",\s+", ", ", message)
    return re.sub(r"one of .*, not ", lambda listed: listed[0].replace("'", ""), message)


def refusal(detail: str, fields: Sequence[BadField]) -> str:
    """Return why a request was refused: each field as the option that fills it, or the detail where none is named."""
    lines = [f"{option_of(field.pointer)}: {in_options(field.detail)}".removeprefix(": ") for field in fields]
    return "\n".join(lines) or in_options(detail)


def option_of(pointer: str) -> str:
    """Return `--retry-schedule` for `/retrySchedule/0` and `--from` for `query:from`."""
    if pointer.startswith("query:"):
        return option_named(pointer.removeprefix("query:"))
    _, *parts = pointer.split("/")
    if not parts or not parts[0]:
        return ""
    if parts[0] == "updates":
        return " ".join(["update", *(str(int(one) + 1) if one.isdecimal() else one for one in parts[1:])])
    option = OPTION_OF.get(parts[0], option_named(parts[0]))
    return f"{option} {'/'.join(parts[1:])}" if parts[0] in NAMED_BELOW and parts[1:] else option


def option_named(field: str) -> str:
    """Return `--package-code` for `packageCode`."""
    return "--" + re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", field).replace("_", "-").lower()


def in_options(text: str) -> str:
    """Return the text with `--account acc_...` instead of `?account=acc_...`; leaving an option out is its null."""
    text = text.removesuffix(" or null").replace("expected an integer", "expected a whole number")
    return re.sub(r"[?&](\w+)=", lambda found: f"{option_named(found[1])} ", text)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _message(error: BaseException) -> str | None:
    match error:
        case Refused():
            return refusal(error.detail, [BadField(one.pointer, one.detail) for one in error.errors])
        case NotNow():
            return error.detail
        case Failed() | EsimhooksError():
            return str(error)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}"
        case _:
            return None
