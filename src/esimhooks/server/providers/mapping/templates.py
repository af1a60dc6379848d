"""Placeholders in what a provider is queried for: `{key}`, `{orderNo}`, `{credential:NAME}` and their like are filled in.

A template of a document comes in, checked; text for an address, a header or a body goes out.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote
from uuid import uuid4

from msgspec import Struct

from esimhooks.server.domain.clock import Clock
from esimhooks.server.providers.port import ProviderRefused

KEY, KEYS, ORDER_NO, ICCID = "key", "keys", "orderNo", "iccid"
_PLACEHOLDER = re.compile(r"\{([A-Za-z]+(?::[A-Za-z0-9_-]+)?)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_GENERATED = frozenset({"uuid", "now", "nowMs", "nowText"})
_METHODS = frozenset({"GET", "POST", "PUT"})


class Fill(Struct, frozen=True, kw_only=True):
    """What placeholders stand for in one query."""

    credentials: Mapping[str, str]
    clock: Clock
    key: str | None = None
    keys: Sequence[str] = ()
    order_no: str | None = None
    iccid: str | None = None

    def value(self, name: str) -> str:
        """Return what one placeholder stands for."""
        kind, _, own = name.partition(":")
        if kind == "credential":
            return self.credentials[own]
        if kind == "uuid":
            return str(uuid4())
        at = self.clock()
        stands_for = {"now": f"{at.timestamp():.0f}", "nowMs": f"{at.timestamp() * 1000:.0f}"}
        stands_for["nowText"] = f"{at:%Y-%m-%d %H:%M:%S}"
        stands_for |= {KEY: self.key or "", KEYS: ",".join(self.keys)}
        stands_for |= {ORDER_NO: self.order_no or "", ICCID: self.iccid or ""}
        return stands_for[kind]

    def text(self, template: str) -> str:
        """Return the template with everything filled in."""
        return _PLACEHOLDER.sub(lambda found: self.value(found[1]), template)

    def address(self, template: str) -> str:
        """Return the same for a path and query, where what is filled in is percent-encoded."""
        return _PLACEHOLDER.sub(lambda found: self._part(found[1]), template)

    def _part(self, name: str) -> str:
        value = self.value(name)
        if value in (".", ".."):  # it would be another path
            raise ProviderRefused(f"the provider cannot be queried for {value!r}")
        return quote(value, safe="")

    def json(self, template: object) -> object:
        """Return the same for a JSON value; `"{keys}"` alone becomes a list."""
        if isinstance(template, str):
            return list(self.keys) if template == "{keys}" else self.text(template)
        if isinstance(template, dict):
            return {name: self.json(value) for name, value in template.items()}
        return [self.json(one) for one in template] if isinstance(template, list) else template


def placeholders(template: object) -> frozenset[str]:
    """Return the placeholders of text or of a JSON value."""
    if isinstance(template, str):
        return frozenset(_PLACEHOLDER.findall(template))
    parts = template.values() if isinstance(template, dict) else template if isinstance(template, list) else ()
    return frozenset(name for part in parts for name in placeholders(part))


def check_placeholders(found: frozenset[str], allowed: frozenset[str]) -> None:
    """Raise `ValueError` for a placeholder that stands for nothing here."""
    for name in sorted(found):
        if not (name in allowed or name in _GENERATED or name.startswith("credential:")):
            known = ", ".join(f"{{{one}}}" for one in sorted(allowed | _GENERATED))
            raise ValueError(f"expected the placeholders {known} and {{credential:NAME}}")


def check_header(name: str, value: str) -> None:
    """Raise `ValueError` where this cannot be a header of a request."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("expected the name of a header: letters, digits and hyphens")
    if not value.isascii() or (value and not value.isprintable()):
        raise ValueError("expected printable ASCII text for a header")


def method_and_path(request: str) -> tuple[str, str]:
    """Return the two parts of `GET /v1/esims/{key}`. Raises `ValueError`."""
    method, _, path = request.partition(" ")
    if method not in _METHODS or not path.startswith("/") or path.startswith("//") or not path.isprintable():
        raise ValueError(f"expected one of {', '.join(sorted(_METHODS))} and a path such as GET /v1/esims/{{key}}")
    if " " in path or "#" in path or "\\" in path:
        raise ValueError("expected a path without spaces and fragments")
    return method, path
