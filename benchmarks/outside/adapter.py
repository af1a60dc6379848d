"""The adapter: how an endpoint is created at a webhook sender and an event is posted to it. To measure another, write another.

A target is what `create_endpoint` returns: plain JSON, passed to the generator's process as it is.
"""

import json
from typing import Any, Protocol

from benchmarks.outside.wire import Request, Wire

Target = dict[str, Any]
ESIMS = 10
LIVE = "live"


class Adapter(Protocol):
    """What a sender must offer to be measured. An event is for one target and becomes one delivery."""

    async def create_endpoint(self, wire: Wire, url: str) -> Target:
        """Make an endpoint (and whatever it belongs to) that gets every event posted to its target."""

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return the request that posts events `number` to `number + count - 1`, each different from all others."""

    def ids(self, request: Request, answer: bytes) -> list[str]:
        """Return the id under which the receiver knows each event that was posted."""


class Esimhooks:
    """An account with an endpoint and some eSIMs; an event is a change of usage (ESIMHOOKS_USAGE_INTERVAL=0)."""

    def __init__(self, key: str) -> None:
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    async def create_endpoint(self, wire: Wire, url: str, *, esims: int = ESIMS) -> Target:
        """Make the eSIMs first, so that nothing is delivered before the first event."""
        account = (await self._made(wire, "/v1/accounts", {"name": "bench"}))["id"]
        born = [
            {"esimTranNo": f"{account}-{index}", "transactionId": f"t{index}", "esimStatus": "IN_USE"}
            | {"packageCode": "EU_5_30", "packageName": "Europe 5 GB 30 days", "totalVolume": 1e12, "dataUsage": 0}
            for index in range(esims)
        ]
        for first in range(0, esims, 1000):
            body = {"account": account, "mode": LIVE, "updates": born[first : first + 1000]}
            await self._made(wire, "/v1/updates", body)
        target = {"account": account, "esims": esims}
        await self.add_endpoint(wire, target, url)
        return target

    async def allow_endpoints(self, wire: Wire, target: Target, most: int) -> None:
        """Let the target's account have so many endpoints; a server without quotas refuses that and needs it not."""
        body = json.dumps({"quotas": {"endpoints": most}}).encode()
        await wire.post(Request(f"/v1/accounts/{target['account']}", self._headers, body), method="PATCH")

    async def add_endpoint(self, wire: Wire, target: Target, url: str, **limits: int) -> None:
        """Give the target's account another endpoint, which gets all of its events too."""
        body = {"url": url, "timeout": 30} | limits
        await self._made(wire, f"/v1/endpoints?account={target['account']}&mode={LIVE}", body)

    async def delete_account(self, wire: Wire, target: Target) -> None:
        """Delete the target's account with its endpoints."""
        await wire.post(Request(f"/v1/accounts/{target['account']}", self._headers, b""), method="DELETE")

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return updates that raise `esim.data_updated`, once each."""
        updates = [
            {"esimTranNo": f"{target['account']}-{one % target['esims']}", "dataUsage": one + 1}
            for one in range(number, number + count)
        ]
        body = {"account": target["account"], "mode": LIVE, "updates": updates}
        return Request("/v1/updates", self._headers, json.dumps(body).encode())

    def ids(self, request: Request, answer: bytes) -> list[str]:
        """Return the ids of the events that the answer names, each the `webhook-id` of its delivery."""
        return [event for result in json.loads(answer)["results"] for event in result["events"]]

    async def _made(self, wire: Wire, path: str, body: object) -> dict[str, Any]:
        status, answer = await wire.post(Request(path, self._headers, json.dumps(body).encode()))
        if status >= 300:
            raise RuntimeError(f"{path}: expected 2xx, got {status}: {answer[:200]!r}")
        made: dict[str, Any] = json.loads(answer)
        return made


class Notifications(Esimhooks):
    """The same, but that an event is a notification of a provider: usage in bytes, with an id of its own."""

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return a notification that raises `esim.data_updated`; there is no way to send several at once."""
        content = {
            "esimTranNo": f"{target['account']}-{number % target['esims']}",
            "totalVolume": 10**12,
            "remain": 10**12 - number - 2,
        }
        body = {"notifyType": "DATA_USAGE", "notifyId": f"{target['account']}-{number}", "content": content}
        return Request(target["inbound"], {"content-type": "application/json"}, json.dumps(body).encode())

    def ids(self, request: Request, answer: bytes) -> list[str]:
        """Return the events that the answer names: none where the notification is only stored."""
        named: list[str] = json.loads(answer).get("events", [])
        return named
