"""What an assistant may look at over the Model Context Protocol, and change where that is allowed: tools around the API.

Arguments of tools come in, JSON as the API answers goes out, shortened, and without activation codes: they are credentials.
Every call is made with the key of whoever calls.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from esimhooks.cli.client import Client
from esimhooks.cli.messages import Denied, Failed
from esimhooks.cli.options import path
from esimhooks.server.domain.advice import advise
from esimhooks.server.domain.delivery import OutcomeClass

ROWS = 20
HIDDEN = frozenset({"ac", "qrCodeUrl", "shortUrl", "secret", "authorization"})
ID = re.compile(r"[a-z]+_[0-9a-z]{26}")
NUMBERS = ("iccid", "transactionId", "orderNo")

Json = dict[str, Any]
AnyId = Annotated[str, Field(description="an id such as evt_..., dlv_..., esim_..., ep_..., ntf_..., ord_...")]
EndpointId = Annotated[str, Field(description="an endpoint's id, ep_...")]
Account = Annotated[str | None, Field(description="with an operator's key: the account to look into, acc_...")]
Mode = Annotated[str | None, Field(description="with an operator's key: live (default) or test")]
Tool = Callable[..., Json]
Headers = Mapping[str, str] | None
"""Those of the caller's request; None over stdio."""


class ServerClient:
    """One server, called with one key; what it refuses is the answer to the assistant, instead of a failure of the tool."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, *parts: str, **query: object) -> Json:
        """Ask for something. Raises `ToolError`."""
        with _refusals_reported():
            return self._client.get(path(*parts), **query).as_(Json)

    def rows(self, *parts: str, **query: object) -> list[Json]:
        """Ask for the first rows of a list. Raises `ToolError`."""
        with _refusals_reported():
            return self._client.page(path(*parts), Json, **query)

    def post(self, *parts: str, body: Json | None = None) -> Json:
        """Make or start something. Raises `ToolError`."""
        with _refusals_reported():
            return self._client.post(path(*parts), body).as_(Json)


@contextmanager
def _refusals_reported() -> Iterator[None]:
    try:
        yield
    except Denied as error:
        raise ToolError("; ".join(error.in_fields())) from None
    except (Failed, typer.BadParameter, UnicodeEncodeError) as error:
        raise ToolError(str(error)) from None


class Clients:
    """Asks the server at `url` with the key that `key_of` finds for the caller."""

    def __init__(self, url: str, key_of: Callable[[Headers], str]) -> None:
        self._url = url
        self._key_of = key_of

    def __call__(self, context: Context, account: str | None = None, mode: str | None = None) -> ServerClient:
        """Return the server as the caller of the tool sees it. Raises `ToolError` where no key came."""
        with _refusals_reported():
            key = self._key_of(context.headers)
            return ServerClient(Client(self._url, key, tenant={"account": account, "mode": mode}))


class ReadTools:
    """Tools that only read."""

    def __init__(self, clients: Clients) -> None:
        self._client = clients

    def tools(self) -> list[Tool]:
        """Return the tools; their names, arguments and docstrings are what an assistant is shown."""
        return [
            self.find,
            self.trace,
            self.endpoints,
            self.why_failing,
            self.what_waits,
            self.events,
            self.event_catalogue,
            self.journal,
            self.dry_run,
        ]

    def find(
        self,
        context: Context,
        query: Annotated[str, Field(description="an id, ICCID, transaction id or order number")],
        account: Account = None,
        mode: Mode = None,
    ) -> Json:
        """Find what belongs to an id, an ICCID, a transaction id or an order number."""
        if ID.fullmatch(query):
            return self.trace(context, query, account, mode)
        client = self._client(context, account, mode)
        for number in NUMBERS:
            found = client.rows("esims", limit=ROWS, **{number: query})
            if found:
                return hide_credentials({"foundBy": number, "esims": found})
        return {"foundBy": None, "esims": []}

    def trace(self, context: Context, any_id: AnyId, account: Account = None, mode: Mode = None) -> Json:
        """Show the chain around any id: the provider's notification, the eSIM, its events, deliveries and attempts."""
        return hide_credentials(self._client(context, account, mode).get("trace", any_id))

    def endpoints(self, context: Context, account: Account = None, mode: Mode = None) -> Json:
        """List the endpoints (webhook URLs), with whether each is enabled and why not."""
        return hide_credentials({"endpoints": self._client(context, account, mode).rows("endpoints")})

    def why_failing(self, context: Context, endpoint: EndpointId, account: Account = None, mode: Mode = None) -> Json:
        """Explain why deliveries to an endpoint fail: its state, recent failed attempts, and what to do about each."""
        client = self._client(context, account, mode)
        about = client.get("endpoints", endpoint)
        stats = client.get("endpoints", endpoint, "stats")
        states = ("failed", "pending", "stopped")
        rows = [
            one
            for state in states
            for one in client.rows("deliveries", endpoint=endpoint, status=state, limit=5)
            if one["attemptCount"]
        ]
        failures = [_failure(client.get("deliveries", one["id"])) for one in rows[:5]]
        state = {name: about[name] for name in ("id", "url", "enabled", "disabledReason", "timeout", "retrySchedule")}
        return hide_credentials({"endpoint": state, "stats": stats, "failures": failures})

    def what_waits(self, context: Context, account: Account = None, mode: Mode = None) -> Json:
        """List what is waiting to be delivered: per endpoint how much, since when, and what blocks it."""
        client = self._client(context, account, mode)
        waiting = []
        for one in client.rows("endpoints"):
            lane = client.get("endpoints", one["id"], "stats", hours=1)["lane"]
            if lane["pending"]:
                waiting.append(
                    {name: one[name] for name in ("id", "url", "enabled", "disabledReason")} | {"lane": lane}
                )
        return hide_credentials({"endpoints": waiting})

    def events(
        self,
        context: Context,
        esim: Annotated[str | None, Field(description="only those of this eSIM, esim_...")] = None,
        type: Annotated[str | None, Field(description="as esim.activated")] = None,  # noqa: A002 - the API's word
        account: Account = None,
        mode: Mode = None,
    ) -> Json:
        """List recent events, newest first."""
        rows = self._client(context, account, mode).rows("events", esim=esim, type=type, limit=ROWS)
        return hide_credentials({"events": rows})

    def event_catalogue(
        self,
        context: Context,
        event: Annotated[str | None, Field(description="as esim.activated; leave it out for all")] = None,
    ) -> Json:
        """Explain all event types, or one with its example and schema."""
        client = self._client(context)
        if event is None:
            return {"events": client.rows("event-types")}
        return client.get("event-types", event)

    def journal(
        self,
        context: Context,
        source: Annotated[str | None, Field(description="a provider's name, or updates")] = None,
        outcome: Annotated[str | None, Field(description="as applied, invalid, unmatched, waiting")] = None,
        esim: Annotated[str | None, Field(description="only those about this eSIM, esim_...")] = None,
    ) -> Json:
        """For operators: list recent notifications from providers and their outcomes."""
        rows = self._client(context).rows("notifications", source=source, outcome=outcome, esim=esim, limit=ROWS)
        return hide_credentials({"notifications": rows})

    def dry_run(
        self,
        context: Context,
        provider: Annotated[str, Field(description="the provider's name")],
        document: Annotated[
            str | None, Field(description="a mapping as TOML; leave it out for the one that is stored")
        ] = None,
        last: Annotated[int, Field(description="how many of its newest notifications", ge=1, le=100)] = ROWS,
    ) -> Json:
        """For operators: try a mapping on a provider's recent notifications before storing it; nothing is changed."""
        body = {"last": last} | ({} if document is None else {"document": document})
        return hide_credentials(self._client(context).post("providers", provider, "dry-run", body=body))


class WriteTools:
    """Tools that change something; they are there only where the person who starts the server says so."""

    def __init__(self, clients: Clients) -> None:
        self._client = clients

    def tools(self) -> list[Tool]:
        """Return the tools."""
        return [self.resend_event, self.retry_delivery, self.enable_endpoint, self.trigger]

    def resend_event(
        self,
        context: Context,
        event: Annotated[str, Field(description="the event's id, evt_...")],
        account: Account = None,
        mode: Mode = None,
    ) -> Json:
        """Send an event again, to all subscribed endpoints."""
        return self._client(context, account, mode).post("events", event, "resend", body={})

    def retry_delivery(
        self,
        context: Context,
        delivery: Annotated[str, Field(description="the delivery's id, dlv_...")],
        account: Account = None,
        mode: Mode = None,
    ) -> Json:
        """Send a delivery again; one that is still pending is attempted now."""
        return hide_credentials(self._client(context, account, mode).post("deliveries", delivery, "retry"))

    def enable_endpoint(
        self, context: Context, endpoint: EndpointId, account: Account = None, mode: Mode = None
    ) -> Json:
        """Enable an endpoint; what is queued is sent."""
        return hide_credentials(self._client(context, account, mode).post("endpoints", endpoint, "enable"))

    def trigger(
        self, context: Context, event: Annotated[str, Field(description="as esim.activated")], account: Account = None
    ) -> Json:
        """Raise a test event of a test eSIM, in mode test."""
        mode = None if account is None else "test"
        return self._client(context, account, mode).post("test-events", body={"event": event})


def hide_credentials(answer: Json) -> Json:
    """Return an answer without credentials: their members stay, as `(hidden)`."""
    return dict(_hide(answer))


def _hide(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: "(hidden)" if name in HIDDEN and one else _hide_headers(name, one) for name, one in value.items()}
    return [_hide(one) for one in value] if isinstance(value, list) else value


def _hide_headers(name: str, value: Any) -> Any:
    """The headers that a merchant has set are credentials as often as not."""
    if name == "headers" and isinstance(value, Mapping):
        return dict.fromkeys(value, "(hidden)")
    return _hide(value)


def _failure(delivery: Json) -> Json:
    last = delivery["attempts"][-1] if delivery["attempts"] else None
    known = {name: delivery[name] for name in ("id", "event", "eventType", "status", "attemptCount", "nextAttemptAt")}
    if last is None:
        return known
    advice = advise(OutcomeClass(last["outcome"]), status_code=last["statusCode"], error=last["error"])
    answer = {name: last.get(name) for name in ("startedAt", "outcome", "statusCode", "error", "durationMs")}
    return known | {
        "lastAttempt": answer,
        "what": advice.what,
        "todo": advice.todo,
        "answer": last.get("responseBody", "")[:500],
    }
