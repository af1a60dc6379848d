"""Inboxes that are empty before a test, and gone after it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest


@pytest.fixture
def empty_inbox(postgres: str) -> Iterator[str]:
    yield postgres
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS esimhooks_schema, esimhooks_runs, esimhooks_inbox, welcomed, effects, orphans, parents"
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an inbox, in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'inbox.db'}"
    return str(request.getfixturevalue("empty_inbox"))
