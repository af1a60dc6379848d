"""Adapters of other webhook senders, for whoever has them running: `python -m benchmarks.outside` measures one.

Each must deliver what is posted as JSON with our own id in it, by which the receiver knows it again: their ids and headers
differ. All were written against their published APIs.
"""

import json
import re
from typing import Any

from benchmarks.outside.adapter import Target
from benchmarks.outside.wire import Request, Wire

EVENT_TYPE = "esim.data_updated"
ID = re.compile(rb'"bench_id": ?"([^"]+)"')
FILLER = "x" * 400
"""With it an event is about as large as one of ours."""


class _Peer:
    """What the adapters share: a key, JSON requests, and events that carry their own id."""

    def __init__(self, key: str) -> None:
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._made = 0

    async def _post(self, wire: Wire, path: str, body: object, *, method: str = "POST") -> dict[str, Any]:
        status, content = await wire.post(self._request(path, body), method=method)
        if status >= 300:
            raise RuntimeError(f"{path}: expected 2xx, got {status}: {content[:200]!r}")
        answer: dict[str, Any] = json.loads(content or b"{}")
        return answer

    def _request(self, path: str, body: object) -> Request:
        return Request(path, self._headers, json.dumps(body).encode())

    def _name(self) -> str:
        self._made += 1
        return f"bench-{self._made}"

    @staticmethod
    def _data(target: Target, number: int) -> dict[str, object]:
        return {"bench_id": f"{target['name']}-{number}", "number": number, "filler": FILLER}

    def ids(self, request: Request, answer: bytes) -> list[str]:
        """Return the ids of the events that were posted."""
        return [found.decode() for found in ID.findall(request.body)]


class Svix(_Peer):
    """The open-source Svix server: an application for each endpoint. `key` is a token made by `svix-server jwt generate`."""

    async def create_endpoint(self, wire: Wire, url: str) -> Target:
        """Make an application with one endpoint."""
        name = self._name()
        app = (await self._post(wire, "/api/v1/app/", {"name": name}))["id"]
        await self._post(wire, f"/api/v1/app/{app}/endpoint/", {"url": url, "version": 1})
        return {"name": name, "app": app}

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return one message."""
        body = {"eventType": EVENT_TYPE, "payload": self._data(target, number)}
        return self._request(f"/api/v1/app/{target['app']}/msg/", body)


class Outpost(_Peer):
    """Outpost: a tenant for each endpoint. `key` is its API_KEY, and EVENT_TYPE one of its topics."""

    async def create_endpoint(self, wire: Wire, url: str) -> Target:
        """Make a tenant with one destination."""
        name = self._name()
        await self._post(wire, f"/api/v1/tenants/{name}", {}, method="PUT")
        destination = {"type": "webhook", "topics": ["*"], "config": {"url": url}}
        await self._post(wire, f"/api/v1/tenants/{name}/destinations", destination)
        return {"name": name}

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return one event to publish."""
        body = {"tenant_id": target["name"], "topic": EVENT_TYPE, "data": self._data(target, number)}
        return self._request("/api/v1/publish", body)


class WebhookX(_Peer):
    """WebhookX: a type of event for each endpoint; its admin API makes the endpoints, its proxy takes the events."""

    async def create_endpoint(self, wire: Wire, url: str) -> Target:
        """Make an endpoint, and with the first one the source of all events."""
        name = self._name()
        if self._made == 1:
            await self._post(wire, "/workspaces/default/sources", {"path": "/", "methods": ["POST"]})
        body = {"request": {"url": url, "method": "POST"}, "events": [name]}
        await self._post(wire, "/workspaces/default/endpoints", body)
        return {"name": name}

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return one event for the proxy."""
        return self._request("/", {"event_type": target["name"], "data": self._data(target, number)})


class Convoy(_Peer):
    """Convoy, a project of outgoing webhooks. `key` is `project:API key`."""

    def __init__(self, key: str) -> None:
        project, _, secret = key.partition(":")
        super().__init__(secret)
        self._project = f"/api/v1/projects/{project}"

    async def create_endpoint(self, wire: Wire, url: str) -> Target:
        """Make an endpoint that is subscribed to everything."""
        name = self._name()
        made = await self._post(wire, f"{self._project}/endpoints", {"name": name, "url": url})
        endpoint = made["data"]["uid"]
        subscription = {"name": name, "endpoint_id": endpoint, "filter_config": {"event_types": ["*"]}}
        await self._post(wire, f"{self._project}/subscriptions", subscription)
        return {"name": name, "endpoint": endpoint}

    def event(self, target: Target, number: int, *, count: int = 1) -> Request:
        """Return one event for the endpoint."""
        body = {"endpoint_id": target["endpoint"], "event_type": EVENT_TYPE, "data": self._data(target, number)}
        return self._request(f"{self._project}/events", body)
