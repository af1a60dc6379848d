"""What the database refuses passes once a person has acted, and is in the log as the defect of ours that it may be."""

import pytest
from structlog.testing import capture_logs

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store.database import Database


async def test_a_misspelt_table_is_logged_as_an_error_and_not_with_every_try(database: Database) -> None:
    with capture_logs() as lines:
        for statement in ("SELECT FROM ebents", "SELECT FROM ebents", "SELECT idd FROM events"):
            with pytest.raises(NotNow, match=r"the database lacks a (table|column) that this server needs"):
                async with database.session() as db:
                    await db.conn.execute(statement)

    logged = [(line["log_level"], line["event"], line["exc_info"].args[0]) for line in lines]
    assert logged == [
        ("error", "database.refused", 'relation "ebents" does not exist'),
        ("error", "database.refused", 'column "idd" does not exist'),
    ]
