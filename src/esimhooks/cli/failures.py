"""What can go wrong on the command line, and how it is said: an error comes in, its message goes out or None.

None means that it is a defect, which deserves its traceback.
"""

from collections.abc import Iterator

from esimhooks.server.domain.errors import EsimhooksError, NotNow, Refused


class Failed(Exception):
    """The command could not do its work; the message says why and what to do."""


class Unreached(Failed):
    """The server could not be reached or cannot answer now; another try may."""


def explained(error: BaseException) -> str | None:
    """Return the message for errors that are expected, also where a task group has wrapped them."""
    messages = [_message(one) for one in _leaves(error)]
    told = [message for message in messages if message is not None]
    return "\n".join(dict.fromkeys(told)) if len(told) == len(messages) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _message(error: BaseException) -> str | None:
    match error:
        case Failed() | EsimhooksError():
            return _with_fields(error)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}"
        case _:
            return None


def _with_fields(error: Failed | EsimhooksError) -> str:
    fields = error.errors if isinstance(error, Refused) else ()
    detail = error.detail if isinstance(error, Refused | NotNow) else str(error)
    return "\n".join([detail, *(f"  {field.pointer}: {field.detail}" for field in fields)])
