"""An account as a file: settings, the file and its key come in; each line but the first is one part, encrypted.

The key of the file is its own, as two installations have different ones. It is made beside the file where there is none,
both readable by the owner only. A line that was changed, left out or put elsewhere does not decrypt.
"""

import base64
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec import Struct

from esimhooks.server.app import keys
from esimhooks.server.app.backup import address_beside_server
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken, Undecryptable
from esimhooks.server.domain.ids import new_id
from esimhooks.server.manage import account_move
from esimhooks.server.manage.account_move import End, Part
from esimhooks.server.store import migrate
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.installation import check_canary_only

CONNECTIONS = 3


class _Head(Struct, frozen=True):
    """The first line. `file` binds the other lines to it."""

    file: UUID
    format: int = 1
    kind: str = "esimhooks account"


async def export_account(
    settings: Settings, account_id: UUID, file: Path, key_file: Path, *, waiting: Callable[[int], None]
) -> End:
    """Freeze the account and write all of it into the file; it stays frozen, unless this fails.

    Raises `Broken`, `Refused` (404) and `NotNow`.
    """
    _require_new(file)
    async with AsyncExitStack() as stack:
        database = await _database(settings, stack)
        is_new = await account_move.freeze_account(database, account_id, waiting=waiting)
        try:
            cipher = Cipher([keys.load_or_create(key_file, new_key)[0]])
            async with aclosing(account_move.parts_of(database, account_id)) as parts:
                return await _write(parts, file, cipher)
        except BaseException:
            if is_new:
                await account_move.unfreeze_account(database, account_id)
            raise


async def import_account(settings: Settings, file: Path, key_file: Path) -> End:
    """Store the account of the file, or nothing. Raises `Broken` and `NotNow`."""
    cipher = _cipher_of(file, key_file)
    async with AsyncExitStack() as stack:
        database = await _database(settings, stack)
        async with aclosing(_read(file, cipher)) as parts:
            return await account_move.import_account(database, parts)


async def unfreeze_account(settings: Settings, account_id: UUID) -> None:
    """Let a frozen account go on here. Raises `Refused` (404, 409) and `NotNow`."""
    async with AsyncExitStack() as stack:
        await account_move.unfreeze_account(await _database(settings, stack), account_id)


async def _database(settings: Settings, stack: AsyncExitStack) -> Database:
    dsn = await address_beside_server(settings, stack)
    await migrate.check_current(dsn)
    cipher = Cipher(keys.encryption_keys(settings))
    database = await connect(dsn, cipher, connections=CONNECTIONS, pooled=settings.database_pooled)
    stack.push_async_callback(database.close)
    async with database.session() as db:
        await check_canary_only(db)
    return database


def _require_new(file: Path) -> None:
    if file.exists():
        raise Broken(f"{file} already exists")


def _cipher_of(file: Path, key_file: Path) -> Cipher:
    for one in (file, key_file):
        if not one.is_file():
            raise Broken(f"{one}: there is no such file")
    return Cipher([key_file.read_text(encoding="ascii").strip()])


async def _write(parts: AsyncGenerator[Part, None], file: Path, cipher: Cipher) -> End:
    """Write a file that appears once it is whole."""
    head, end = _Head(new_id()), End({})
    draft = file.with_name(f"{file.name}.new")
    draft.touch(mode=0o600)
    draft.chmod(0o600)
    try:
        with draft.open("wb") as written:
            written.write(msgspec.json.encode(head) + b"\n")
            number = 0
            async for part in parts:
                clear = zlib.compress(msgspec.json.encode(part))
                written.write(base64.b64encode(cipher.encrypt(clear, row=_associated_data(head, number))) + b"\n")
                number += 1
                end = part if isinstance(part, End) else end
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return end


async def _read(file: Path, cipher: Cipher) -> AsyncGenerator[Part, None]:
    with file.open("rb") as lines:
        try:
            head = msgspec.json.decode(lines.readline(), type=_Head)
            for number, line in enumerate(lines):
                clear = cipher.decrypt(base64.b64decode(line), row=_associated_data(head, number))
                part: Part = msgspec.json.decode(zlib.decompress(clear), type=Part)
                yield part
        except Undecryptable as error:
            raise Broken(f"{file} was changed, or encrypted with another key") from error
        except (ValueError, zlib.error) as error:
            raise Broken(f"{file} is not an exported account: {error}") from error


def _associated_data(head: _Head, number: int) -> str:
    return f"account file.{head.format}.{head.file}.{number}"
