"""Documents and requests for tests of the kind `mapping`."""

from collections.abc import Mapping

import msgspec

from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Update
from esimhooks.server.providers.mapping.check import Mapped, compile_document

ICCID = "8944540808334817826"
HEAD = 'name = "Test"\n'


def request(
    body: object = None, *, headers: Mapping[str, str] | None = None, path: str = "", query: str = ""
) -> InboundRequest:
    raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    return InboundRequest(method="POST", path=path, query=query, headers=headers or {}, body=raw, peer="192.0.2.1")


def mapped(text: str) -> Mapped:
    return compile_document(HEAD + text)


def parsed(text: str, body: object, **parts: object) -> Notification:
    """What a document makes of a body."""
    return mapped(text).rules.parse(request(body, **parts))  # type: ignore[arg-type]


def only(notification: Notification) -> Update:
    [update] = notification.updates
    return update


def rule(*lines: str) -> str:
    """One rule that names the eSIM by `iccid` and sets what the lines say."""
    return "\n".join(['[[rule]]\nname = "one"\nset.key = "iccid"\nset.iccid = "iccid"', *lines])


def value_of(line: str, raw: object) -> Update:
    """The update of a document that sets one member from `v`."""
    return only(
        parsed(
            rule(line, 'set.reason = {const = "r"}\nset.imsi = {const = "204080123456789"}'), {"iccid": ICCID, "v": raw}
        )
    )
