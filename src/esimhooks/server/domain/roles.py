"""Roles: what the holder of a key may do. Pure.

An operation comes in as its method and path, what it needs goes out; each role has what it may. An operation that nobody has
thought of needs most.
"""

from enum import Enum, StrEnum, auto


class Role(StrEnum):
    """What a key is for. Operators' keys are admin, support or read; merchants' are manage, read or events."""

    ADMIN = "admin"
    SUPPORT = "support"
    MANAGE = "manage"
    READ = "read"
    EVENTS = "events"


OF_OPERATORS = (Role.ADMIN, Role.SUPPORT, Role.READ)
OF_MERCHANTS = (Role.MANAGE, Role.READ, Role.EVENTS)


class Permission(Enum):
    """What an operation needs."""

    EVENTS = auto()
    """Reads events."""
    READ = auto()
    """Reads anything but secrets."""
    SUPPORT = auto()
    """Sends again, tries out, refreshes, switches on and off: nothing that cannot be undone."""
    MANAGE = auto()
    """Shows secrets and changes what an account has."""
    ADMIN = auto()
    """Changes what all accounts share: accounts, keys, providers, orders."""


MAY = {
    Role.ADMIN: frozenset(Permission),
    Role.SUPPORT: frozenset({Permission.EVENTS, Permission.READ, Permission.SUPPORT}),
    Role.MANAGE: frozenset({Permission.EVENTS, Permission.READ, Permission.SUPPORT, Permission.MANAGE}),
    Role.READ: frozenset({Permission.EVENTS, Permission.READ}),
    Role.EVENTS: frozenset({Permission.EVENTS}),
}

_READS_EVENTS = ("/v1/events", "/v1/event-types", "/v1/stream")
_HAS_SECRETS = ("/secret", "/secrets", "/edit")
_HELPS = frozenset(
    "cancel disable enable pause recover replay requeries requery resend resume retry send-now test test-events test-filter try".split()  # noqa: SIM905
)


def permission_of(method: str, path: str, *, operators: bool) -> Permission:
    """Return what an operation needs, from the template of its path; `operators` where no merchant may call it."""
    if path == "/sign-out" or (method == "GET" and path.startswith(_READS_EVENTS)):
        return Permission.EVENTS
    if path.startswith(("/v1/providers", "/v1/operator-keys")):  # inbound addresses are as good as a key
        return Permission.ADMIN
    if method == "GET":
        return Permission.MANAGE if path.endswith(_HAS_SECRETS) else Permission.READ
    if path.rpartition("/")[2] in _HELPS:
        return Permission.SUPPORT
    return Permission.ADMIN if operators or path.startswith("/accounts") else Permission.MANAGE


def may_see_secrets(role: Role) -> bool:
    """Whether the holder of a key of this role may see secrets of endpoints, and the values of their headers."""
    return Permission.MANAGE in MAY[role]
