"""The keys of an installation: those that are set, otherwise those that are made at first start in the data folder.

In come settings, out go secrets. A made key is on disk, mode 600, before it is used.
"""

import os
from collections.abc import Callable
from pathlib import Path

from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.account import new_key
from esimhooks.server.domain.errors import Broken
from esimhooks.server.store.encryption import new_key as new_encryption_key


def encryption_keys(settings: Settings) -> list[str]:
    """Return the keys that encrypt secrets at rest, newest first. Raises `Broken` where a database of one's own has none."""
    if settings.encryption_key:
        return [key.get_secret_value() for key in settings.encryption_key]
    if settings.database_url is not None:
        raise Broken(
            "ESIMHOOKS_ENCRYPTION_KEY is needed with a database of your own: 32 bytes in base64, "
            "as `openssl rand -base64 32` makes them, the same on all nodes"
        )
    key, _ = load_or_create(settings.data_dir / "encryption.key", new_encryption_key)
    return [key]


def admin_key(settings: Settings) -> tuple[str, bool]:
    """Return the operator's first key, and whether it was made just now and must be shown once."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value(), False
    return load_or_create(settings.data_dir / "admin.key", lambda: new_key(None))


def load_or_create(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """Return the secret in the file, made (mode 600) where there is none yet, and whether it is new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.read_text(encoding="ascii").strip(), False
    except FileNotFoundError:
        secret = make()
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        return secret, True
