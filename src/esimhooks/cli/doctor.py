"""`esimhooks doctor`: what is wrong with an installation, and how to fix it. It changes nothing.

Settings, or the address and key of a server, come in; each check is printed as ok, warn or fail. On this machine the
checks are those of the server's `app`; of a server elsewhere, all that its API shows.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import typer
from msgspec import Struct
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.messages import Denied, Failed
from esimhooks.cli.options import AsReport, DataDir
from esimhooks.server.domain.advice import Finding, Health, fail, ok, warn
from esimhooks.server.domain.errors import Broken
from esimhooks.version import __version__

STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"}
WARN_SKEW_S, FAIL_SKEW_S = 3.0, 60.0
"""The server gives its time in whole seconds; receivers refuse what is 300 s old or new."""
DISPATCH_S, SLOW_S = 5.0, 60.0
"""Deliveries that are due are sent within a second or two; a dispatcher that has just started is not counted yet."""
JOURNAL = {
    "waiting": "their provider does not answer, or has no credentials: `esimhooks notifications list --outcome waiting`",
    "invalid": "`esimhooks notifications list --outcome invalid` says why each could not be read",
    "unmatched": "they are of no order: `esimhooks notifications list --outcome unmatched`",
}
ONLY_HERE = "settings, keys and disk are checked by `esimhooks doctor --local` on the server's machine"


class Setting(Struct, frozen=True):
    """One setting as it is in force, secrets hidden, and where it comes from."""

    name: str
    value: str
    origin: str


class Report(Struct, frozen=True):
    """What `--json` prints. `about` is the address of a server, or `this installation`."""

    about: str
    version: str
    healthy: bool
    checks: list[Finding]
    settings: list[Setting]


def doctor(
    *,
    data_dir: DataDir = None,
    local: Annotated[
        bool, typer.Option("--local", help="Check this installation even if ESIMHOOKS_URL names a server.")
    ] = False,
    as_json: AsReport = False,
) -> None:
    """Check an installation: settings, database, clock, keys, disk and providers.

    With ESIMHOOKS_URL and ESIMHOOKS_API_KEY it checks that server; otherwise the installation that the settings describe,
    running or not, including providers' credentials. Each problem comes with a fix. Exits with 1 if a check fails.
    """
    url, key = (os.environ.get(name, "").strip() for name in ("ESIMHOOKS_URL", "ESIMHOOKS_API_KEY"))
    if url and key and not local and data_dir is None:
        about, examined = url, _Examined(list(_server(Client(url, key))), [])
    else:
        about, examined = "this installation", _installation(data_dir)
    healthy = all(one.health is not Health.FAIL for one in examined.checks)
    report = Report(about, __version__, healthy, examined.checks, examined.settings)
    if as_json:
        output.json(report)
    else:
        _show(report)
    raise typer.Exit(int(not healthy))


class _Examined(NamedTuple):
    checks: list[Finding]
    settings: list[Setting]


def _installation(data_dir: Any) -> _Examined:
    from esimhooks.server.app.checkup import examine  # noqa: PLC0415 - commands that only ask a server need none
    from esimhooks.server.app.settings import LogFormat, LogLevel, Settings  # noqa: PLC0415 - the same
    from esimhooks.server.observe import log  # noqa: PLC0415 - the same

    log.configure(log_format=LogFormat.CONSOLE, level=LogLevel.ERROR)
    try:
        read = Settings.read(data_dir=data_dir)
    except Broken as error:
        return _Examined([fail("settings", part, "correct what is named") for part in str(error).split("; ")], [])
    origins = Settings.origins()
    if data_dir is not None:
        origins["data_dir"] = "--data-dir"
    settings = [Setting(name, value, origins[name]) for name, value in read.shown().items()]

    async def collected() -> list[Finding]:
        return [finding async for finding in examine(read)]

    return _Examined(asyncio.run(collected()), settings)


def _server(client: Client) -> Iterator[Finding]:
    """Yield what the API shows; the rest is left out where the server does not answer or the key is not good."""
    try:
        alive = client.get("/healthz")
    except Failed as error:
        yield fail("server", str(error), "start it, or correct ESIMHOOKS_URL")
        return
    yield ok("server", f"{client.url} answers{_version(client)}")
    yield _clock(alive.date)
    try:
        client.get("/readyz")
    except Failed as error:
        yield fail("ready", str(error), f"it may be stopping; {ONLY_HERE}")
    else:
        yield ok("ready", "its database answers and is up to date")
    try:
        client.get("/v1/accounts", limit=1)
    except Denied as error:
        if error.status != 403:
            fix = "set ESIMHOOKS_API_KEY to a key of this server that is not revoked or expired"
            yield fail("key", str(error), fix)
            return
        yield ok("key", "a merchant's key")
        yield from _answered("endpoints", _endpoints(client))
        return
    except Failed as error:
        yield fail("key", str(error), "look at the server's log")
        return
    yield ok("key", "an operator's key")
    for check, findings in (("providers", _providers), ("notifications", _journal), ("queue", _queue)):
        yield from _answered(check, findings(client))


def _answered(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings, and that the server did not answer where that is so."""
    try:
        yield from findings
    except Failed as error:
        yield fail(check, str(error), "look at the server's log")


def _version(client: Client) -> str:
    try:
        version = client.get("/openapi.json").as_(dict[str, Any])["info"]["version"]
    except (Failed, KeyError):
        return ""
    return f", version {version}" if version == __version__ else f", version {version} (this is {__version__})"


def _clock(date: str) -> Finding:
    try:
        skew_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return ok("clock", "the server does not say what time it is")
    seen = f"the server's is within {WARN_SKEW_S:g} s of this machine's"
    if abs(skew_s) < WARN_SKEW_S:
        return ok("clock", seen)
    seen = f"the server's is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    fix = "synchronise both clocks (chrony or systemd-timesyncd): receivers refuse what is 300 s off"
    return fail("clock", seen, fix) if abs(skew_s) >= FAIL_SKEW_S else warn("clock", seen, fix)


def _providers(client: Client) -> Iterator[Finding]:
    stored = client.page("/v1/providers", dict[str, Any])
    if not stored:
        yield warn("providers", "none is connected", "`esimhooks providers put NAME` connects one")
    for one in stored:
        check, host = f"provider {one['name']}", urlsplit(one["inboundUrl"]).hostname or ""
        seen = f"{one['kind']}, credentials: {', '.join(one['credentialsSet']) or 'none'}"
        if host in ("localhost", "::1") or host.startswith("127."):
            fix = "set ESIMHOOKS_PUBLIC_URL at the server to the https address under which providers reach it"
            yield warn(check, f"{seen}; it was given an address of the server's machine ({host})", fix)
        else:
            yield ok(check, seen)


def _journal(client: Client) -> Iterator[Finding]:
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    found = {
        outcome: len(client.page("/v1/notifications", dict[str, Any], outcome=outcome, **{"from": since}))
        for outcome in JOURNAL
    }
    for outcome, number in found.items():
        if number:
            many = "100 or more" if number == 100 else str(number)
            yield warn("notifications", f"{many} of the last day are {outcome}", JOURNAL[outcome])
    if not any(found.values()):
        yield ok("notifications", "none of the last day waits, is invalid or unmatched")


def _queue(client: Client) -> Iterator[Finding]:
    text = client.get("/metrics").body.decode(errors="replace")
    figures = {name: float(value) for name, value in re.findall(r"^esimhooks_(\w+) ([0-9.e+]+)$", text, re.MULTILINE)}
    pending, waited_s = figures.get("deliveries_pending", 0), figures.get("oldest_due_seconds", 0)
    seen = f"deliveries waiting {pending:.0f}, the oldest that is due for {waited_s:.0f} s"
    if waited_s > DISPATCH_S and figures.get("dispatchers", 1) < 1:
        yield fail("queue", f"{seen}: no dispatcher is alive", "start a server in the role dispatcher")
    elif waited_s > SLOW_S:
        fix = "run more dispatchers, or look for errors in the log of those there are"
        yield warn("queue", seen, fix)
    else:
        yield ok("queue", seen)
    failed = re.findall(r'^esimhooks_loop_failures_total\{loop="([^"]+)"\} [1-9]', text, re.MULTILINE)
    if failed:
        yield warn("background work", f"rounds have failed of: {', '.join(sorted(failed))}", "look at the log")


def _endpoints(client: Client) -> Iterator[Finding]:
    endpoints = client.page("/v1/endpoints", dict[str, Any])
    if not endpoints:
        yield warn("endpoints", "none: nothing is sent", "`esimhooks endpoints create --url https://...`")
    for one in endpoints:
        yield _endpoint(one, client.get(f"/v1/endpoints/{one['id']}/stats").as_(dict[str, Any])["lane"])
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    if client.page("/v1/deliveries", dict[str, Any], status="failed", limit=1, **{"from": since}):
        fix = "`esimhooks deliveries list --status failed` lists them, `esimhooks recover` sends them again"
        yield warn("deliveries", "some of the last day have failed for good", fix)
    else:
        yield ok("deliveries", "none of the last day has failed for good")


def _endpoint(endpoint: dict[str, Any], lane: dict[str, Any]) -> Finding:
    check, url = f"endpoint {endpoint['id']}", endpoint["url"]
    if not endpoint["enabled"]:
        fix = f"fix the receiver, then `esimhooks endpoints enable {endpoint['id']}`"
        return warn(check, f"{url} is disabled: {endpoint['disabledReason']}", fix)
    if lane["failuresInARow"]:
        seen = f"{url}: failures in a row {lane['failuresInARow']}, deliveries waiting {lane['pending']}"
        return warn(check, seen, "`esimhooks deliveries list --status pending` and `show` say what it answers")
    return ok(check, f"{url} is enabled, deliveries waiting {lane['pending']}")


def _show(report: Report) -> None:
    screen = output.screen()
    screen.print(Text(f"esimhooks {report.version}, {report.about}", style="bold"), soft_wrap=True)
    for setting in report.settings:
        origin = "" if setting.origin == "default" else f"  ({setting.origin})"
        line = f"  {setting.name:24} {output.printable(setting.value) or '-'}{origin}"
        for part in output.wrapped(line, output.room(screen), below=" " * 27):
            screen.print(Text(part, style="dim"), soft_wrap=True)
    for one in report.checks:
        first, *rest = output.wrapped(f"{one.check}: {output.printable(one.seen)}", output.room(screen) - 6)
        screen.print(Text(f"{one.health:6}", style=STYLES[one.health]).append(first, style="default"), soft_wrap=True)
        fix = output.wrapped(output.printable(one.fix), output.room(screen) - 6) if one.fix else []
        for style, part in [*(("", part) for part in rest), *(("italic", part) for part in fix)]:
            screen.print(Text(f"      {part}", style=style), soft_wrap=True)
    count = {health: sum(one.health is health for one in report.checks) for health in Health}
    screen.print(Text(", ".join(f"{number} {health}" for health, number in count.items() if number), style="bold"))
    if not report.settings and report.about != "this installation":
        output.note(ONLY_HERE)
