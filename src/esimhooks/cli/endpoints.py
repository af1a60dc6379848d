"""`esimhooks endpoints`: the URLs that webhooks go to. A new endpoint's secret is printed this once."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client, Json
from esimhooks.cli.options import Account, AsJson, Cursor, InMode, Limit
from esimhooks.cli.values import pair, path, schedule
from esimhooks.server.domain.endpoint import SignatureProfile

app = typer.Typer(help="URLs that webhooks go to.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]

Named = Annotated[str | None, typer.Option("--name", help="What it is called.")]
EventTypes = Annotated[
    list[str] | None, typer.Option("--event-type", metavar="T", help="What it gets, by default all; repeatable.")
]
RetrySchedule = Annotated[
    str | None,
    typer.Option("--retry-schedule", metavar="0,60,300", help="Seconds before each attempt, or a schedule's name."),
]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="S", help="Seconds for an answer, 1-30.")]
MaxInFlight = Annotated[int | None, typer.Option("--max-in-flight", metavar="N", help="Requests at a time, 1-200.")]
RateLimit = Annotated[int | None, typer.Option("--rate-limit", metavar="N", help="Requests a second.")]
Ordering = Annotated[
    str | None, typer.Option("--ordering", metavar="ORDER", help="esim: those of an eSIM one after the other; none.")
]
Headers = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Sent with every request; repeatable.")
]

Profile = Annotated[
    SignatureProfile | None,
    typer.Option("--signature-profile", help="What requests carry beside the standard signature."),
]
Redact = Annotated[
    bool | None,
    typer.Option(
        "--redact-credentials/--no-redact-credentials",
        help="Leave activation codes and QR addresses out, or send them.",
    ),
]
CaCertificate = Annotated[
    Path | None,
    typer.Option(
        "--ca-certificate", metavar="FILE", exists=True, dir_okay=False, help="Authorities to trust besides, PEM."
    ),
]


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    mode: str
    url: str
    event_types: list[str] | None
    enabled: bool
    disabled_reason: str | None
    created_at: str


@app.command("list")
def list_endpoints(
    *,
    limit: Limit = 25,
    cursor: Cursor = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """List endpoints, newest first."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints"), limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show an endpoint."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints", endpoint))
    output.show_one(answer, endpoint, as_json=as_json)


@app.command("create")
def create_endpoint(  # noqa: PLR0913 - each is an option
    *,
    url: Annotated[str, typer.Option("--url", help="Where webhooks go.")],
    name: Named = None,
    event_type: EventTypes = None,
    retry_schedule: RetrySchedule = None,
    timeout: Timeout = None,
    max_in_flight: MaxInFlight = None,
    rate_limit: RateLimit = None,
    ordering: Ordering = None,
    header: Headers = None,
    signature_profile: Profile = None,
    redact_credentials: Redact = None,
    ca_certificate: CaCertificate = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint; its secret is printed this once."""
    body = {"url": url} | _told(
        name=name,
        eventTypes=event_type or None,
        retrySchedule=None if retry_schedule is None else schedule(retry_schedule),
        timeout=timeout,
        maxInFlight=max_in_flight,
        rateLimit=rate_limit,
        ordering=ordering,
        headers=dict(map(pair, header)) if header else None,
        signatureProfile=signature_profile,
        redactCredentials=redact_credentials,
        caCertificate=ca_certificate.read_text(encoding="utf-8") if ca_certificate else None,
    )
    answer = Client.from_environment(account=account, mode=mode).post(path("endpoints"), body)
    output.show_one(answer, "new endpoint, its secret shown this once", as_json=as_json)


@app.command("update")
def update_endpoint(  # noqa: PLR0913 - each is an option
    endpoint: Id,
    *,
    url: Annotated[str | None, typer.Option("--url", help="Where webhooks go from now on.")] = None,
    name: Named = None,
    event_type: EventTypes = None,
    retry_schedule: RetrySchedule = None,
    timeout: Timeout = None,
    max_in_flight: MaxInFlight = None,
    rate_limit: RateLimit = None,
    ordering: Ordering = None,
    header: Headers = None,
    signature_profile: Profile = None,
    redact_credentials: Redact = None,
    ca_certificate: CaCertificate = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="FIELD", help="Back to the default, as rateLimit or headers; repeatable."),
    ] = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint; what is not named stays."""
    body = _told(
        url=url,
        name=name,
        eventTypes=event_type or None,
        retrySchedule=None if retry_schedule is None else schedule(retry_schedule),
        timeout=timeout,
        maxInFlight=max_in_flight,
        rateLimit=rate_limit,
        ordering=ordering,
        headers=dict(map(pair, header)) if header else None,
        signatureProfile=signature_profile,
        redactCredentials=redact_credentials,
        caCertificate=ca_certificate.read_text(encoding="utf-8") if ca_certificate else None,
    )
    client = Client.from_environment(account=account, mode=mode)
    answer = client.call("PATCH", path("endpoints", endpoint), body=body | dict.fromkeys(unset or []))
    output.show_one(answer, endpoint, as_json=as_json)


@app.command("enable")
def enable_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Switch an endpoint on; what waits for it goes out."""
    Client.from_environment(account=account, mode=mode).post(path("endpoints", endpoint, "enable"))
    output.say(f"{endpoint} is enabled")


@app.command("disable")
def disable_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Switch an endpoint off; what waits for it stays."""
    Client.from_environment(account=account, mode=mode).post(path("endpoints", endpoint, "disable"))
    output.say(f"{endpoint} is disabled")


@app.command("test")
def send_example(
    endpoint: Id,
    *,
    event: Annotated[str, typer.Option("--event", metavar="T", help="Whose example to send.")] = "esim.activated",
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Send an endpoint an example, marked mode: test."""
    client = Client.from_environment(account=account, mode=mode)
    answer = client.post(path("endpoints", endpoint, "test"), {"event": event})
    output.show_one(answer, "sent", as_json=as_json)


@app.command("stats")
def show_stats(
    endpoint: Id,
    *,
    hours: Annotated[int, typer.Option("--hours", min=1, max=168, help="How far back.")] = 24,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Show how an endpoint has done, and what waits for it."""
    client = Client.from_environment(account=account, mode=mode)
    answer = client.get(path("endpoints", endpoint, "stats"), hours=hours)
    output.show_one(answer, endpoint, as_json=as_json)


@app.command("secret")
def show_secret(endpoint: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show an endpoint's secret, and the old ones that still sign."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints", endpoint, "secret"))
    output.show_one(answer, f"secret of {endpoint}", as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    endpoint: Id,
    *,
    expire_old_in: Annotated[
        int | None,
        typer.Option("--expire-old-in", metavar="S", min=0, help="Seconds the old one still signs; 0 after a leak."),
    ] = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Replace an endpoint's secret; the old one signs for a day more unless told otherwise."""
    body = {} if expire_old_in is None else {"expireOldIn": expire_old_in}
    client = Client.from_environment(account=account, mode=mode)
    answer = client.post(path("endpoints", endpoint, "rotate-secret"), body)
    output.show_one(answer, f"new secret of {endpoint}", as_json=as_json)


@app.command("delete")
def delete_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Delete an endpoint; what it did not get yet is cancelled."""
    Client.from_environment(account=account, mode=mode).delete(path("endpoints", endpoint))
    output.say(f"{endpoint} is deleted")


def _told(**fields: Json) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value is not None}
