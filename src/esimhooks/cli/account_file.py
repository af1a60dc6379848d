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

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id, acc_...")]
File = Annotated[Path, typer.Argument(metavar="FILE")]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="File with its key, by default FILE.key.")
]


def export(account: AccountId, file: File, *, key_file: KeyFile = None, data_dir: DataDir = None) -> None:
    """Write an account into an encrypted file, and freeze it.

    While it is frozen, changes and notifications get 503, nothing is sent, and reads work, until it is deleted here or
    released with `accounts unfreeze`. If the key file does not exist, it is created: transfer the two separately.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same
    from esimhooks.server.domain.ids import Prefix, parse_id  # noqa: PLC0415 - the same

    def waiting(count: int) -> None:
        output.note(f"waiting for the answers to {count} requests in flight")

    account_id, key = parse_id(Prefix.ACCOUNT, account), key_file or _key_of(file)
    settings = settings_of(data_dir=data_dir)
    end = asyncio.run(account_file.export_account(settings, account_id, file, key, waiting=waiting))
    output.say(f"{account} is frozen and exported to {file} ({_counts(end.counts)}); its key is in {key}")
    output.note("now import it, switch the traffic, then delete the account here")


def import_(file: File, *, key_file: KeyFile = None, data_dir: DataDir = None) -> None:
    """Import an exported account, completely or not at all.

    Its endpoint secrets and API keys stay valid. The account must be frozen or deleted where it comes from, or both
    installations send.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same

    end = asyncio.run(account_file.import_account(settings_of(data_dir=data_dir), file, key_file or _key_of(file)))
    output.say(f"the account is imported: {_counts(end.counts)}")


def unfreeze(account: AccountId, *, data_dir: DataDir = None) -> None:
    """Unfreeze an account that was not imported elsewhere.

    If it was, both installations would send.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import account_file  # noqa: PLC0415 - the same
    from esimhooks.server.domain.ids import Prefix, parse_id  # noqa: PLC0415 - the same

    asyncio.run(account_file.unfreeze_account(settings_of(data_dir=data_dir), parse_id(Prefix.ACCOUNT, account)))
    output.say(f"{account} is active again")


def _key_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.key")


def _counts(counts: Mapping[str, int]) -> str:
    shown = {"esims": "eSIMs", "endpoints": "endpoints", "events": "events", "queue": "deliveries under way"}
    return ", ".join(f"{counts.get(table, 0)} {name}" for table, name in shown.items())
