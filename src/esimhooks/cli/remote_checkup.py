"""`esimhooks doctor` against a server: a client comes in, findings go out, by the API and nothing else."""

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.messages import Denied, Failed
from esimhooks.server.domain.finding import Finding, doubtful, fine, wrong


class Provider(Struct, rename="camel"):
    """A connected provider."""

    name: str
    kind: str
    inbound_url: str | None = None


class Endpoint(Struct, rename="camel"):
    """An endpoint, as far as its health goes."""

    id: str
    url: str
    enabled: bool = True
    disabled_reason: str | None = None


class Listed(Struct):
    """How many there are, at least."""

    data: list[object]


class Providers(Struct):
    """A list of providers."""

    data: list[Provider]


class Endpoints(Struct):
    """A page of endpoints."""

    data: list[Endpoint]


def examine_server(client: Client) -> list[Finding]:
    """Return the findings; the rest is left out where the server does not answer or the key is not good."""
    try:
        client.get("/healthz")
    except Failed as error:
        return [wrong("server", str(error), "start it, or correct ESIMHOOKS_URL")]
    found = [fine("server", f"{client.url} answers"), _ready(client)]
    try:
        client.get("/v1/accounts", limit=1)
    except Failed as error:
        if isinstance(error, Denied) and error.status == 403:
            return [*found, fine("key", "a merchant's key"), *_merchant(client)]
        mend = "set ESIMHOOKS_API_KEY to a key of this server that is not revoked or expired"
        return [*found, wrong("key", str(error), mend)]
    return [*found, fine("key", "an operator's key"), *_providers(client)]


def _ready(client: Client) -> Finding:
    try:
        client.get("/readyz")
    except Failed as error:
        return wrong("ready", str(error), "run `esimhooks doctor --local` on the server's machine; it may be stopping")
    return fine("ready", "its database answers and is up to date")


def _providers(client: Client) -> list[Finding]:
    try:
        stored = client.get("/v1/providers", limit=100).as_(Providers).data
    except Failed as error:
        return [wrong("providers", str(error), "look at the server's log")]
    if not stored:
        return [doubtful("providers", "none is connected", "`esimhooks providers put NAME` connects one")]
    return [fine("providers", ", ".join(f"{one.name} ({one.kind})" for one in stored))]


def _merchant(client: Client) -> list[Finding]:
    try:
        endpoints = client.get("/v1/endpoints", limit=100).as_(Endpoints).data
        failed = client.get("/v1/deliveries", status="failed", limit=1).as_(Listed).data
    except Failed as error:
        return [wrong("endpoints", str(error), "look at the server's log")]
    if not endpoints:
        return [doubtful("endpoints", "none: nothing is sent", "`esimhooks endpoints create --url https://...`")]
    found = [
        doubtful(f"endpoint {one.id}", f"{one.url} is disabled: {one.disabled_reason}", "mend it, then enable it again")
        for one in endpoints
        if not one.enabled
    ]
    if failed:
        mend = "`esimhooks deliveries list --status failed` lists them; they can be sent again"
        found.append(doubtful("deliveries", "some have failed for good", mend))
    return found or [fine("endpoints", f"{len(endpoints)}, all enabled; no delivery has failed")]
