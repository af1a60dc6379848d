"""The operator's own endpoint: made, moved and switched by the settings when a node starts.

It is an endpoint of an account of the operator's own, so that lanes, retries, breaker, lists and retention
are those of all others (docs/decisions/0019).
"""

from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from esimhooks.server.domain.account import OPERATOR, Account
from esimhooks.server.domain.endpoint import DisabledReason, Endpoint, EndpointConfig, configuration
from esimhooks.server.store import accounts, endpoints, lanes
from esimhooks.server.store.database import Database, Session
from esimhooks.signing import new_secret

NAME = "Operator"
OVERLAP = timedelta(days=1)
"""How long the secret before signs beside a new one."""


async def apply(
    database: Database, *, url: str | None, secret: str | None, defaults: EndpointConfig, now: datetime
) -> None:
    """Have the operator's endpoint be as the settings say; without a URL one that is there is switched off.

    `secret` None keeps the one there is, or makes one. Nodes that start at once take turns. `now` is aware UTC.
    """
    async with database.transaction() as db:
        if url is None:
            before = await endpoints.find_to_change(db, OPERATOR, OPERATOR.account_id)
            if before is not None and before.enabled:
                await _change(db, before, now=now, enabled=False, disabled_reason=DisabledReason.MANUAL)
            return
        await accounts.ensure(db, Account(id=OPERATOR.account_id, name=NAME, created_at=now, updated_at=now))
        before = await endpoints.find_to_change(db, OPERATOR, OPERATOR.account_id)
        if before is None:
            await endpoints.insert(db, _endpoint(url, defaults, now=now), secret=secret or new_secret())
            return
        if before.url != url or not before.enabled:
            await _change(db, before, now=now, url=url, enabled=True, disabled_reason=None)
        if secret is not None:
            await _sign_with(db, secret, now=now)


async def _change(db: Session, before: Endpoint, *, now: datetime, **fields: object) -> None:
    after = structs.replace(before, updated_at=now, **fields)
    await endpoints.change(db, after)
    await lanes.switch(db, after.id, is_enabled=after.enabled and not after.paused)


async def _sign_with(db: Session, secret: str, *, now: datetime) -> None:
    signing = await endpoints.signing_secrets(db, OPERATOR, OPERATOR.account_id, now=now)
    if signing and signing[0].secret == secret:
        return
    await endpoints.lock_to_rotate(db, OPERATOR, OPERATOR.account_id)
    await endpoints.delete_secret(db, OPERATOR.account_id, secret, now=now)  # one that comes back signs once
    await endpoints.expire_secrets(db, OPERATOR.account_id, at=now + OVERLAP, now=now)
    await endpoints.add_secret(db, OPERATOR, OPERATOR.account_id, secret=secret, now=now)


def _endpoint(url: str, defaults: EndpointConfig, *, now: datetime) -> Endpoint:
    fields: dict[str, Any] = configuration(defaults) | {"url": url, "name": NAME}
    return Endpoint(
        **fields,
        id=OPERATOR.account_id,
        tenant=OPERATOR,
        enabled=True,
        disabled_reason=None,
        created_at=now,
        updated_at=now,
    )
