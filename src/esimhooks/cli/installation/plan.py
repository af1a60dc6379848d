"""What must be done so that a server becomes what a file says: both come in, steps go out. Pure.

What a file does not name stays as it is; things that it does not have at all are deleted only where `prune` says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from esimhooks.cli.installation.document import PICTURES, Account, Branding, Endpoint, Fields, Installation, Provider
from esimhooks.cli.messages import Failed
from esimhooks.server.domain.schedule import NAMED

HIDDEN = frozenset({"secret", "credentials", "headers"})
"""Fields whose values are not shown."""


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


class Difference(Struct, frozen=True):
    """One field, as it is and as it is wanted; `old` is None where there is nothing yet."""

    field: str
    old: Any
    new: Any


class Step(Struct, frozen=True, kw_only=True):
    """One thing to create, change or delete. `account` is the name of an endpoint's account, `id` that of what exists."""

    action: Action
    resource: Account | Branding | Endpoint | Provider
    account: str = ""
    account_id: str = ""
    id: str = ""
    differences: Sequence[Difference] = ()

    @property
    def title(self) -> str:
        """What the step is about, in words."""
        match self.resource:
            case Account():
                return f"account {self.resource.name}"
            case Endpoint():
                mode, key = self.resource.key
                return f"endpoint {key} of {self.account} ({mode})"
            case Provider():
                return f"provider {self.resource.name}"
            case Branding():
                return f"branding of {self.account}" if self.account else "branding"


def steps(wanted: Installation, present: Installation, *, secrets: Mapping[str, str], prune: bool) -> Iterator[Step]:
    """Return what is to be done, in its order. `secrets` are those of present endpoints, by id, where any is wanted.

    Raises `Failed` where it is not clear which account or endpoint is meant.
    """
    yield from _branding(wanted.branding, present.branding)
    yield from _providers(wanted, present)
    known = [(account, _present_account(account, present)) for account in wanted.accounts]
    for account, there in known:
        yield from _account(account, there, secrets)
        yield from _branding(account.branding, there.branding if there else {}, account.name, there.id if there else "")
        if prune and there is not None:
            yield from _superfluous(account, there)
    if prune:
        kept = {there.id for _, there in known if there}
        names = {one.name for one in wanted.providers}
        for one in present.accounts:
            if one.id not in kept:
                yield Step(action=Action.DELETE, resource=one, id=one.id)
        for provider in present.providers:
            if provider.name not in names:
                yield Step(action=Action.DELETE, resource=provider)


def not_in_file(wanted: Installation, present: Installation) -> int:
    """Return how many things the server has that the file does not name."""
    everything = steps(wanted, present, secrets={}, prune=True)
    return sum(step.action is Action.DELETE for step in everything)


def _branding(wanted: Fields, present: Fields, account: str = "", account_id: str = "") -> Iterator[Step]:
    pictures = {name: value for name, value in wanted.items() if name in PICTURES}
    differences = list(_differences({name: value for name, value in wanted.items() if name not in pictures}, present))
    # Pictures do not come out of a server, so they are stored again each time.
    differences += [Difference(name, None, "stored again" if value else None) for name, value in pictures.items()]
    if differences:
        resource = Branding(account=account, fields=wanted)
        yield Step(
            action=Action.CHANGE, resource=resource, account=account, account_id=account_id, differences=differences
        )


def _providers(wanted: Installation, present: Installation) -> Iterator[Step]:
    there = {one.name: one for one in present.providers}
    for one in wanted.providers:
        if one.name not in there:
            yield Step(action=Action.CREATE, resource=one, differences=_new(one.fields))
        elif differences := list(_provider_differences(one.fields, there[one.name].fields)):
            whole = Provider(name=one.name, fields=_whole_provider(one, there[one.name].fields))
            yield Step(action=Action.CHANGE, resource=whole, differences=differences)


def _whole_provider(wanted: Provider, present: Fields) -> Fields:
    """Return all that is stored of a provider from now on, as it is stored as a whole."""
    missing = sorted({*present["credentialsSet"]} - {*wanted.fields.get("credentials", {})})
    if missing:
        raise Failed(
            f"provider {wanted.name}: a change stores it as a whole, and what is stored of {', '.join(missing)} cannot be"
            ' read: name all credentials in the file, as {fromEnv = "NAME"}'
        )
    kept = {name: value for name, value in present.items() if name != "credentialsSet"}
    return {**kept, **wanted.fields, "settings": {**kept.get("settings", {}), **wanted.fields.get("settings", {})}}


def _provider_differences(wanted: Fields, present: Fields) -> Iterator[Difference]:
    names = sorted(wanted.get("credentials", {}))
    if names:
        # What is stored cannot be read and compared, so it is stored again: the same credentials change nothing.
        yield Difference("credentials", present.get("credentialsSet"), names)
    compared = {name: value for name, value in wanted.items() if name != "credentials"}
    settings = {**present.get("settings", {}), **compared.pop("settings", {})}
    yield from _differences({**compared, "settings": settings}, present)


def _account(account: Account, there: Account | None, secrets: Mapping[str, str]) -> Iterator[Step]:
    if there is None:
        yield Step(action=Action.CREATE, resource=account, differences=_new(account.fields))
        for endpoint in account.endpoints:
            yield _new_endpoint(endpoint, account.name)
        return
    if differences := list(_differences(account.fields, there.fields)):
        yield Step(action=Action.CHANGE, resource=account, id=there.id, differences=differences)
    for endpoint in account.endpoints:
        found = _present_endpoint(endpoint, there)
        if found is None:
            yield _new_endpoint(endpoint, account.name, there.id)
            continue
        changed = [*_differences(endpoint.fields, found.fields), *_compare_switches(endpoint, found, secrets)]
        if changed:
            yield Step(
                action=Action.CHANGE,
                resource=endpoint,
                account=account.name,
                account_id=there.id,
                id=found.id,
                differences=changed,
            )


def _superfluous(account: Account, there: Account) -> Iterator[Step]:
    for one in there.endpoints:
        if _present_endpoint(one, account) is None:
            yield Step(action=Action.DELETE, resource=one, account=account.name, account_id=there.id, id=one.id)


def _new_endpoint(endpoint: Endpoint, account: str, account_id: str = "") -> Step:
    more: Fields = {} if endpoint.secret is None else {"secret": endpoint.secret}
    if endpoint.enabled is False:
        more["enabled"] = False
    differences = _new(endpoint.fields | more)
    return Step(
        action=Action.CREATE, resource=endpoint, account=account, account_id=account_id, differences=differences
    )


def _compare_switches(wanted: Endpoint, present: Endpoint, secrets: Mapping[str, str]) -> Iterator[Difference]:
    if wanted.secret is not None and wanted.secret != secrets.get(present.id):
        yield Difference("secret", secrets.get(present.id), wanted.secret)
    if wanted.enabled is not None and wanted.enabled != present.enabled:
        yield Difference("enabled", present.enabled, wanted.enabled)


def _new(fields: Fields) -> list[Difference]:
    return [Difference(name, None, value) for name, value in fields.items()]


def _differences(wanted: Fields, present: Fields) -> Iterator[Difference]:
    for name, value in wanted.items():
        named, there = _comparable(name, value), _comparable(name, present.get(name))
        if isinstance(named, dict) and isinstance(there, dict):
            there = {member: there.get(member) for member in named}  # others stay, as in a merge patch
        if named != there:
            yield Difference(name, present.get(name), value)


def _comparable(name: str, value: Any) -> Any:
    """Return a value as the server would show it."""
    if name == "retrySchedule" and isinstance(value, str):
        return list(NAMED.get(value, ()))
    if name == "headers" and isinstance(value, dict):
        return {header.lower(): text for header, text in value.items()}
    if name == "caCertificate" and isinstance(value, str):
        return "".join(value.split())
    return value


def _present_account(account: Account, present: Installation) -> Account | None:
    if account.id:
        found = next((one for one in present.accounts if one.id == account.id), None)
        if found is None:
            raise Failed(f"account {account.name}: there is no {account.id}; without id a new account is made")
        return found
    same = [one for one in present.accounts if one.name == account.name]
    if len(same) > 1:
        ids = ", ".join(one.id for one in same)
        raise Failed(f"account {account.name}: {len(same)} accounts have this name; say which with id = ... ({ids})")
    return same[0] if same else None


def _present_endpoint(endpoint: Endpoint, account: Account) -> Endpoint | None:
    same = [one for one in account.endpoints if one.key == endpoint.key]
    if len(same) > 1:
        raise Failed(
            f"endpoint {endpoint.key[1]} of {account.name}: {len(same)} endpoints are found by this;"
            " give each a name of its own first: `esimhooks endpoints update ID --name ...`"
        )
    return same[0] if same else None
