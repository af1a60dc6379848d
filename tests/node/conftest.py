"""A database of PostgreSQL without the tables of an inbox."""

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    yield postgres
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS effects, esimhooks_runs, esimhooks_inbox, esimhooks_schema")
