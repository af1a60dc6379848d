"""`esimhooks accounts export`, `import` and `unfreeze`: an account moves between two installations as a file.

They work on the database of ESIMHOOKS_DATABASE_URL, or of the data folder, with its encryption key.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from esimhooks.cli import output
from esimhooks.cli.options import DataDir

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As acc_...")]
File = Annotated[Path, typer.Argument(metavar="FILE")]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="The key of the file, by default FILE.key.")
]


def export(account: AccountId, file: File, *, key_file: KeyFile = None, data_dir: DataDir = None) -> None:
    """Write all of an account into an encrypted file, and freeze it.

    From then on what comes for it is answered 503, nothing is sent, and reading goes on, until it is deleted here or
    `accounts unfreeze` lets it go on. The key is made beside the file where there is none: move the two apart.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same
    from esimhooks.server.domain.ids import Prefix, parse_id  # noqa: PLC0415 - the same

    def waiting(count: int) -> None:
        output.note(f"{count} in flight: waiting for what their receivers answer")

    account_id, key = parse_id(Prefix.ACCOUNT, account), key_file or _key_of(file)
    settings = settings_of(data_dir=data_dir)
    end = asyncio.run(account_file.export_account(settings, account_id, file, key, waiting=waiting))
    output.say(f"{account} is frozen, and all of it is in {file} ({_counts(end.counts)}); the key is {key}")
    output.note("import it, let traffic go there, then delete the account here")


def import_(file: File, *, key_file: KeyFile = None, data_dir: DataDir = None) -> None:
    """Store the account of a file: all of it, or nothing.

    Its webhooks go on with the secrets that its receivers know, its API keys are good here. The account must be frozen or
    deleted where it comes from, or both send.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same

    end = asyncio.run(account_file.import_account(settings_of(data_dir=data_dir), file, key_file or _key_of(file)))
    output.say(f"the account is here: {_counts(end.counts)}")


def unfreeze(account: AccountId, *, data_dir: DataDir = None) -> None:
    """Let a frozen account go on here, where it was not imported anywhere else: both would send."""
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same
    from esimhooks.server.domain.ids import Prefix, parse_id  # noqa: PLC0415 - the same

    asyncio.run(account_file.unfreeze_account(settings_of(data_dir=data_dir), parse_id(Prefix.ACCOUNT, account)))
    output.say(f"{account} goes on here")


def _key_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.key")


def _counts(counts: Mapping[str, int]) -> str:
    shown = {"esims": "eSIMs", "endpoints": "endpoints", "events": "events", "queue": "deliveries under way"}
    return ", ".join(f"{counts.get(table, 0)} {name}" for table, name in shown.items())
