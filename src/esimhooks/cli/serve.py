"""The commands that run or change an installation on this machine: `serve`, `migrate`, `rotate-encryption`, `backup`, `restore`.

What the command line says goes into `Settings` before environment and file. The server is imported when it is needed:
commands that only ask one start without loading it, and without its packages.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import DataDir, path, web_address

if TYPE_CHECKING:
    from esimhooks.server.app.node import Running
    from esimhooks.server.app.settings import Settings

LOOPBACK = "127.0.0.0/8,::1/128"
DAY_S = 86_400


class Development(Struct):
    """What `serve --dev` has made in its data folder: an account and a test key of it."""

    account: str
    key: str


def serve(
    *,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLES", help="all, or some of api,dispatcher,scheduler.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=0, max=65_535, help="Port to listen on.")
    ] = None,
    data_dir: DataDir = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="For development: with an account, a test key and a line to paste.")
    ] = False,
    forward: Annotated[
        str | None,
        typer.Option("--forward", metavar="URL", help="With --dev: URL on this machine to send webhooks to."),
    ] = None,
) -> None:
    """Run the server.

    SIGTERM or Ctrl-C stops it after the work in flight, a second one at once. With --dev it has its own data folder and may
    deliver to this machine; keys and secret are the same at every start.
    """
    if forward is not None and not dev:
        raise typer.BadParameter(
            "--forward needs --dev; otherwise create an endpoint with `esimhooks endpoints create`"
        )
    if forward is not None:
        web_address(forward, option="--forward")
    import uvloop  # noqa: PLC0415 - see above

    settings = settings_of(roles=role, host=host, port=port, data_dir=data_dir, dev=dev)
    uvloop.run(_develop(settings, forward) if dev else _serve(settings))


def migrate(*, data_dir: DataDir = None) -> None:
    """Migrate the database to this version.

    `serve` does it automatically for the embedded one.
    """
    from esimhooks.server.app import prepare  # noqa: PLC0415 - see above

    asyncio.run(prepare.migrate(settings_of(data_dir=data_dir)))
    output.say("the database is up to date")


def rotate_encryption(*, data_dir: DataDir = None) -> None:
    """Encrypt everything with the newest key, so that older ones can be removed.

    Put the new key in front of the old one in ESIMHOOKS_ENCRYPTION_KEY and restart every node, then run this with the same
    setting. It may be interrupted and run again.
    """
    from esimhooks.server.app import backup as of_the_server  # noqa: PLC0415 - as above

    done = asyncio.run(of_the_server.rotate_encryption(settings_of(data_dir=data_dir)))
    output.say(f"{done} values were re-encrypted: only the first key of ESIMHOOKS_ENCRYPTION_KEY is needed from now on")


def stop_on_signals(stop: asyncio.Event, *, force_on_second: bool) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; must run on the event loop.

    With `force_on_second` a second one ends the process at once.
    """
    loop = asyncio.get_running_loop()
    seen: list[signal.Signals] = []

    def take(number: signal.Signals) -> None:
        if seen and force_on_second:
            # Nothing is lost: what was answered is committed, and the next start takes over the database.
            os._exit(128 + number)
        seen.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number)


def settings_of(*, dev: bool = False, **given: Any) -> "Settings":
    """Read the settings and name variables that look like one and are none, as a misspelt one would have no effect."""
    from esimhooks.server.app.settings import Settings  # noqa: PLC0415 - see above

    for name, hint in Settings.unknown_variables().items():
        output.note(f"{name} is not a setting and has no effect: {hint}")
    read = Settings.read(**given)
    if not dev:
        return read
    if given.get("data_dir") is None and Settings.origins()["data_dir"] == "default":
        given["data_dir"] = read.data_dir.with_name(f"{read.data_dir.name}-dev")
    return Settings.read(**given, allow_networks=None if read.allow_networks else LOOPBACK)


async def _serve(settings: "Settings") -> None:
    from esimhooks.server.app import processes  # noqa: PLC0415 - see above

    def announce(running: "Running") -> None:
        output.say(f"esimhooks serves {running.url} as {', '.join(sorted(settings.roles))}")
        if running.data_dir is not None:
            output.say(f"data folder: {running.data_dir}")
        if running.admin_key_is_new:
            output.copyable(f"operator's key, shown only once: {running.admin_key}")

    stop = asyncio.Event()
    stop_on_signals(stop, force_on_second=True)
    await processes.serve(settings, stop, on_started=announce)
    output.say("esimhooks has stopped")


async def _develop(settings: "Settings", forward: str | None) -> None:
    from esimhooks.server.app.node import running  # noqa: PLC0415 - see above

    stop = asyncio.Event()
    stop_on_signals(stop, force_on_second=True)
    async with running(settings, stop) as node:
        made = await asyncio.to_thread(_prepare_account, node, settings.data_dir)
        secret = await asyncio.to_thread(_secret_of_endpoint, Client(node.url, made.key), forward) if forward else ""
        link = await asyncio.to_thread(_sign_in_link, node, made)
        _announce_development(node, made, link, forward, secret)
        await stop.wait()
    output.say("esimhooks has stopped")


def _prepare_account(node: "Running", folder: Path) -> Development:
    """Return the account and key of the starts before, or new ones where there are none or they were deleted."""
    file = folder / "development.json"
    try:
        made = msgspec.json.decode(file.read_bytes(), type=Development)
        Client(node.url, made.key).get(path("endpoints"), limit=1)
    except (OSError, msgspec.DecodeError, Failed):
        operator = Client(node.url, node.admin_key)
        account = operator.post(path("accounts"), {"name": "Development"}).as_(dict[str, Any])["id"]
        body = {"mode": "test", "name": "development"}
        key = operator.post(path("accounts", account, "keys"), body).as_(dict[str, Any])["key"]
        made = Development(account=account, key=key)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(msgspec.json.encode(made))
    return made


def _secret_of_endpoint(merchant: Client, url: str) -> str:
    """Return the secret of the endpoint of this address, made where there is none."""
    endpoints = merchant.every(path("endpoints"), dict[str, Any])
    found = next((one["id"] for one in endpoints if one["url"] == url), None)
    if found is None:
        return str(merchant.post(path("endpoints"), {"url": url}).as_(dict[str, Any])["secret"])
    return str(merchant.get(path("endpoints", found, "secret")).as_(dict[str, Any])["secret"])


def _sign_in_link(node: "Running", made: Development) -> str:
    """Return a link that signs in to the dashboard once."""
    lasting = {"mode": "test", "expiresIn": DAY_S}
    links = path("accounts", made.account, "portal-links")
    return str(Client(node.url, node.admin_key).post(links, lasting).as_(dict[str, Any])["url"])


def _announce_development(node: "Running", made: Development, link: str, forward: str | None, secret: str) -> None:
    output.say(f"esimhooks serves {node.url} for development; Ctrl-C stops it")
    output.say(f"data folder: {node.data_dir or 'of its own database'}")
    output.copyable(f"open the dashboard, signed in (works once): {link}")
    output.copyable(f"dashboard: {node.url}/sign-in")
    output.copyable(f"  sign in with: {made.key}")
    output.copyable(f"  or as the operator: {node.admin_key}")
    if forward:
        output.copyable(f"webhooks go to {forward}")
        output.copyable(f"  signed with: {secret}")
    else:
        output.say("there is no endpoint yet: start with --forward URL, or run `esimhooks listen` next to it")
    output.say(f"paste this in another terminal, then `{output.program()} trigger esim.activated`:")
    output.copyable(f"  export ESIMHOOKS_URL={node.url} ESIMHOOKS_API_KEY={made.key}")


File = Annotated[Path, typer.Argument(metavar="FILE", help="A dump in PostgreSQL's custom format.")]


def backup(file: File, *, data_dir: DataDir = None) -> None:
    """Back up the database to a file, whether a server is running or not.

    The backup is useless without the encryption key (ESIMHOOKS_ENCRYPTION_KEY, or encryption.key in the data folder), which is
    not in it. Keep both, in different places.
    """
    from esimhooks.server.app import backup as of_the_server  # noqa: PLC0415 - the server is loaded where it is needed

    asyncio.run(of_the_server.backup(settings_of(data_dir=data_dir), file))
    output.say(
        f"backup written to {file} ({file.stat().st_size / 1_048_576:.1f} MB); keep the encryption key somewhere else"
    )


def restore(file: File, *, data_dir: DataDir = None) -> None:
    """Load a backup into an empty database.

    That is the embedded one of a new data folder, or the one in ESIMHOOKS_DATABASE_URL. Needs the encryption key that the
    database was encrypted with.
    """
    from esimhooks.server.app import backup as of_the_server  # noqa: PLC0415 - the server is loaded where it is needed

    asyncio.run(of_the_server.restore(settings_of(data_dir=data_dir), file))
    output.say("the database is restored and up to date: start `esimhooks serve`")
