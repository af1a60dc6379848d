"""The address of the database: every spelling that people are handed, and no piece of a password in what is reported of it."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.store.address import parse
from esimhooks.server.store.database import connect, connection
from esimhooks.server.store.encryption import Cipher, new_key
from reserved_port import ReservedPort


@pytest.mark.parametrize(
    ("text", "dsn", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db", "postgresql://h/db"),
        ("postgres://u@h:5433/db", "postgres://u@h:5433/db", "postgres://h:5433/db"),
        ("postgresql://u:p%2Fq@h/db", "postgresql://u:p%2Fq@h/db", "postgresql://h/db"),
        ("postgresql://u:a/b#c?d@h:1/db", "postgresql://u:a%2Fb%23c%3Fd@h:1/db", "postgresql://h:1/db"),
        ("postgresql://u:a@b@h/db?sslmode=require", "postgresql://u:a%40b@h/db?sslmode=require", "postgresql://h/db"),
        ("postgresql://u:p@a:1,b:2/db", "postgresql://u:p@a:1,b:2/db", "postgresql://a:1,b:2/db"),
        ("postgresql://u@[::1]:5/db", "postgresql://u@[::1]:5/db", "postgresql://[::1]:5/db"),
        (
            "postgresql://u@/db?host=/tmp&port=5",
            "postgresql://u@/db?host=%2Ftmp&port=5",
            "postgresql:///tmp:5/db",
        ),
        (
            "postgresql://u:p@h/db?sslmode=require&channel_binding=require&connect_timeout=3",
            "postgresql://u:p@h/db?sslmode=require",
            "postgresql://h/db",
        ),
    ],
)
def test_an_address_is_handed_on_and_shown_without_its_secret(text: str, dsn: str, shown: str) -> None:
    address = parse(text)

    assert (address.dsn, address.shown) == (dsn, shown)
    assert parse(dsn).dsn == dsn
    assert parse("postgresql://h/db?connect_timeout=3").connect_timeout_s == 3


PASSWORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="%="), min_size=6)


@given(password=PASSWORDS)
def test_whatever_is_in_a_password_is_not_shown_and_reaches_the_driver(password: str) -> None:
    address = parse(f"postgresql://user:{password}@host:5432/database")

    assert address.shown == "postgresql://host:5432/database"
    assert address.location == "host:5432"
    assert address.dsn.endswith("@host:5432/database")


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:secret@h/db",
        "postgresql:u:secret@h",
        "postgresql://u:secret@h:port/db",
        "postgresql://u:secret@h:99999/db",
        "postgresql://u:secret@a:1,b:x/db",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:secret@h/db#x",
        "postgresql://u:secret@h/db?connect_timeout=soon",
        "",
    ],
)
def test_what_is_no_address_is_one_line_without_a_piece_of_the_secret(text: str) -> None:
    with pytest.raises(Broken) as caught:
        parse(text)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(Broken, match="--database-url") as refused:
        Settings.read(database_url=text or "nothing")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("query", ["?sslmode=disable", "?target_session_attrs=any&application_name=x", "?keepalives=1"])
async def test_nobody_at_any_of_the_hosts_is_reported_with_host_and_port(query: str) -> None:
    with ReservedPort() as one, ReservedPort() as other:
        address = f"postgresql://u:se#cret@127.0.0.1:{one.number},127.0.0.1:{other.number}/db{query}"
        with pytest.raises(NotNow, match=rf"127\.0\.0\.1:{one.number},127\.0\.0\.1:{other.number}"):
            async with connection(address):
                pass


async def test_a_database_is_reached_with_parameters_of_libpq(postgres: str) -> None:
    more = "&application_name=shop&connect_timeout=5&keepalives_idle=30&channel_binding=prefer&options=-c%20geqo%3Doff"
    async with connection(postgres + more) as conn:
        assert await conn.fetchval("SHOW geqo") == "off"
    database = await connect(postgres + more, Cipher([new_key()]))
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_parameter_that_the_server_refuses_is_reported_with_its_message(postgres: str) -> None:
    with pytest.raises(Broken, match="no_such_parameter"):
        async with connection(postgres + "&no_such_parameter=1"):
            pass


async def test_a_new_connection_asks_for_no_type_that_the_process_knows(migrated: str) -> None:
    queries: list[str] = []
    for _ in range(2):
        queries.clear()
        pool = await connect(migrated, Cipher([new_key()]), connections=1)
        async with pool.session() as db:
            with db.conn.query_logger(lambda record: queries.append(record.query)):
                assert await db.conn.fetchval("SELECT $1::uuid[]", [UUID(int=1)]) == [UUID(int=1)]
        await pool.close()

    assert queries == ["SELECT $1::uuid[]"]
