"""What the operator and the merchants do over the API: make accounts and endpoints, list events, count what waits.

Asked again where the server does not answer; a 4xx raises.
"""

import asyncio
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from reliability.processes import GaveUp
from reliability.producer import PROVIDER
from reliability.receiver import Lane
from reliability.state import Account

BEHAVIOURS = ("prompt", "failing", "slow")
ORDERED = "failing"
"""The endpoint of this behaviour keeps the order within each eSIM."""
SCHEDULE = (0, 1, 2, 3, 5, 5, 5, 10, 10, 20)
"""The seconds before each attempt: the longest row of failures of the receiver is well inside."""
TIMEOUT_S = 5.0
ENDED_OTHERWISE = ("pending", "failed", "stopped", "cancelled")
TRIES = 60
TOO_MANY = 429


class Operations:
    """Calls the API."""

    def __init__(self, url: str, admin_key: str) -> None:
        self._url = url
        self._admin_key = admin_key

    async def make_provider(self) -> None:
        """Make the provider of which eSIMs are ordered; it says nothing itself."""
        await self._call("PUT", f"/v1/providers/{PROVIDER}", self._admin_key, {"kind": "esimaccess"})

    async def make_account(self, name: str, receiver: str) -> Account:
        """Make a merchant with an endpoint for each behaviour at `<receiver>/<lane>`."""
        account = await self._call("POST", "/v1/accounts", self._admin_key, {"name": name})
        made = await self._call(
            "POST", f"/v1/accounts/{account['id']}/keys", self._admin_key, {"mode": "test", "name": name}
        )
        lanes: dict[str, Lane] = {}
        for behaviour in BEHAVIOURS:
            lane = f"{name}-{behaviour}"
            body = {
                "url": f"{receiver}/{lane}",
                "retrySchedule": list(SCHEDULE),
                "timeout": TIMEOUT_S,
                "ordering": "esim" if behaviour == ORDERED else "none",
            }
            endpoint = await self._call("POST", "/v1/endpoints", made["key"], body)
            lanes[lane] = Lane(secret=endpoint["secret"], behaviour=behaviour)
        return Account(id=account["id"], key=made["key"], lanes=lanes)

    async def event_ids(self, account: Account) -> set[str]:
        """Return the ids of all events of the account."""
        return {event["id"] for event in await self._all("/v1/events?", account.key)}

    async def unfinished(self, account: Account, statuses: tuple[str, ...] = ENDED_OTHERWISE) -> dict[str, int]:
        """Return how many deliveries are in each of these statuses, at most 100 of each."""
        counts: dict[str, int] = {}
        for status in statuses:
            page = await self._call("GET", f"/v1/deliveries?limit=100&status={status}", account.key)
            if page["data"]:
                counts[status] = len(page["data"])
        return counts

    async def _all(self, path: str, key: str) -> list[Any]:
        found: list[Any] = []
        cursor = ""
        while True:
            page = await self._call("GET", f"{path}limit=100{cursor}", key)
            found += page["data"]
            if page["nextCursor"] is None:
                return found
            cursor = f"&cursor={page['nextCursor']}"

    async def _call(self, method: str, path: str, key: str, body: Any = None) -> Any:
        answered = ""
        for _ in range(TRIES):
            try:
                async with (
                    ClientSession(
                        headers={"authorization": f"Bearer {key}"}, timeout=ClientTimeout(total=20)
                    ) as session,
                    session.request(method, self._url + path, json=body) as answer,
                ):
                    answered = f"{answer.status} {await answer.text()}"
                    if answer.status < 300:
                        return await answer.json()
                    if answer.status == TOO_MANY:
                        await asyncio.sleep(float(answer.headers["retry-after"]))
                    elif answer.status < 500:
                        break
            except (ClientError, OSError, TimeoutError) as error:
                answered = str(error)
            await asyncio.sleep(0.5)
        raise GaveUp(f"{method} {path}: {answered}")
