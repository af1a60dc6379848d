"""An inbox in PostgreSQL that is empty before a test, and gone after it."""

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def empty_inbox(postgres: str) -> Iterator[str]:
    yield postgres
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS esimhooks_runs, esimhooks_inbox")
