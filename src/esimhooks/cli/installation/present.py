"""The installation as a server has it, read through the API with an operator's key, in the terms of a file."""

from collections.abc import Collection, Iterator
from typing import Any

from msgspec.structs import replace

from esimhooks.cli.client import Client
from esimhooks.cli.installation.document import Account, Endpoint, Fields, Installation, Provider
from esimhooks.cli.options import path
from esimhooks.cli.resources import RESOURCES
from esimhooks.vocabulary.statuses import Mode


def changeable(resource: str, *verbs: str) -> Collection[str]:
    """Return the fields of a resource that can be given, out of the table of commands."""
    known = next(one for one in RESOURCES if one.name == resource)
    return tuple(
        dict.fromkeys(
            setting.field
            for verb in known.verbs
            if verb.name in verbs
            for setting in verb.settings
            if not verb.in_path(setting)
        )
    )


ENDPOINT_FIELDS = changeable("endpoints", "update")
ACCOUNT_FIELDS = changeable("accounts", "rename", "update")


LOOKS = ("name", "accent", "language", "hasLogo", "hasFavicon")


def read(client: Client, *, secrets: bool = False) -> Installation:
    """Return all that there is; with `secrets` also those of the endpoints. Credentials of providers never come out."""
    accounts = client.every(path("accounts"), dict[str, Any])
    providers = client.every(path("providers"), dict[str, Any])
    return Installation(
        accounts=[_account(client, one, secrets=secrets) for one in reversed(accounts)],
        providers=[
            Provider(name=one["name"], fields=_pick(one, ("kind", "baseUrl", "settings", "credentialsSet")))
            for one in providers
        ],
        branding=_pick(client.get(path("branding")).as_(Fields), LOOKS),
    )


def secret_of(client: Client, account: str, endpoint: Endpoint) -> str:
    """Return the secret that signs for an endpoint at present."""
    acting = client.acting_for(account, endpoint.mode)
    return str(acting.get(path("endpoints", endpoint.id, "secret")).as_(dict[str, Any])["secret"])


def _account(client: Client, row: Fields, *, secrets: bool) -> Account:
    endpoints = list(_endpoints(client, row["id"], secrets=secrets))
    branding = _pick(client.get(path("accounts", row["id"], "branding")).as_(Fields), LOOKS)
    return Account(id=row["id"], fields=_pick(row, ACCOUNT_FIELDS), endpoints=endpoints, branding=branding)


def _endpoints(client: Client, account: str, *, secrets: bool) -> Iterator[Endpoint]:
    for mode in Mode:
        acting = client.acting_for(account, mode)
        for row in reversed(acting.every(path("endpoints"), dict[str, Any])):
            fields = _pick(row, ENDPOINT_FIELDS)
            endpoint = Endpoint(mode=mode, id=row["id"], fields=fields, enabled=row["enabled"])
            yield replace(endpoint, secret=secret_of(client, account, endpoint)) if secrets else endpoint


def _pick(row: Fields, names: Collection[str]) -> Fields:
    return {name: row[name] for name in names if name in row}
