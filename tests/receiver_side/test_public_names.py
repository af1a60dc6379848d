"""The public names of `esimhooks`, and that importing them stays light."""

import json
import subprocess
import sys

import esimhooks
from patience import patience_s

PUBLIC = [
    "DeadLetter",
    "Esim",
    "EsimStatus",
    "Event",
    "EventType",
    "FieldChange",
    "Inbox",
    "InboxStats",
    "InboxUnavailable",
    "InvalidSecretError",
    "Message",
    "MissingExtraError",
    "Mode",
    "Receiver",
    "Retrying",
    "SmdpStatus",
    "VerificationFailure",
    "Webhook",
    "WebhookVerificationError",
    "__version__",
    "open_inbox",
]

SHOWN = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded_by(statement: str) -> set[str]:
    script = statement + SHOWN
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=patience_s()
    )
    return set(json.loads(done.stdout))


def test_the_public_names_are_these() -> None:
    assert esimhooks.__all__ == PUBLIC
    assert [name for name in PUBLIC if not hasattr(esimhooks, name)] == []


def test_verifying_loads_msgspec_and_neither_asyncio_nor_drivers() -> None:
    added = loaded_by("from esimhooks import Webhook") - loaded_by("pass")

    foreign = {name.partition(".")[0] for name in added} - sys.stdlib_module_names
    assert foreign - {"typing_extensions"} == {"esimhooks", "msgspec"}
    assert not added & {"asyncio", "sqlite3", "psycopg", "cryptography", "ssl", "logging"}


def test_importing_the_package_loads_nothing_else() -> None:
    added = loaded_by("import esimhooks") - loaded_by("pass")

    assert {name for name in added if name.startswith("esimhooks.")} == set()
