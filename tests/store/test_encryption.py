"""Secrets at rest: bound to their row, opened by the right key only, and nowhere readable in the database's files."""

import io
from base64 import b64encode

import pytest

from api import Api, Json, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken
from esimhooks.server.store import providers
from esimhooks.server.store.database import Database, Session, connect
from esimhooks.server.store.encryption import Cipher, new_key

OLD, NEW = new_key(), new_key()
ROW = "esims.credentials.1"


def test_an_encrypted_value_is_decrypted_in_its_own_row() -> None:
    cipher = Cipher([OLD])

    assert cipher.decrypt(cipher.encrypt(b"LPA:1$host$1", row=ROW), row=ROW) == b"LPA:1$host$1"


def test_the_same_value_is_never_encrypted_to_the_same_bytes() -> None:
    cipher = Cipher([OLD])

    assert cipher.encrypt(b"secret", row=ROW) != cipher.encrypt(b"secret", row=ROW)


def test_a_value_that_was_moved_to_another_row_cannot_be_decrypted() -> None:
    cipher = Cipher([OLD])

    with pytest.raises(Broken, match=r"esims\.credentials\.2 cannot be decrypted: .* moved here from another row"):
        cipher.decrypt(cipher.encrypt(b"secret", row=ROW), row="esims.credentials.2")


@pytest.mark.parametrize("index", [0, 1, 5, 16, 17, -1])
def test_a_value_of_which_one_bit_was_changed_cannot_be_decrypted(index: int) -> None:
    cipher = Cipher([OLD])
    encrypted = bytearray(cipher.encrypt(b"secret", row=ROW))

    encrypted[index] ^= 1

    with pytest.raises(Broken, match=r"(cannot be decrypted|does not hold)"):
        cipher.decrypt(bytes(encrypted), row=ROW)


@pytest.mark.parametrize("length", [0, 4, 10, 20])
def test_a_value_that_was_cut_cannot_be_decrypted(length: int) -> None:
    cipher = Cipher([OLD])

    with pytest.raises(Broken):
        cipher.decrypt(cipher.encrypt(b"secret", row=ROW)[:length], row=ROW)


def test_a_wrong_key_is_named_as_the_cause() -> None:
    encrypted = Cipher([OLD]).encrypt(b"secret", row=ROW)

    with pytest.raises(Broken, match="encrypted with a key that ESIMHOOKS_ENCRYPTION_KEY does not hold"):
        Cipher([NEW]).decrypt(encrypted, row=ROW)


def test_while_keys_are_rotated_the_newest_encrypts_and_all_decrypt() -> None:
    before = Cipher([OLD]).encrypt(b"before", row=ROW)
    rotating = Cipher([NEW, OLD])
    after = rotating.encrypt(b"after", row=ROW)

    assert rotating.decrypt(before, row=ROW) == b"before"
    assert rotating.decrypt(after, row=ROW) == b"after"
    assert Cipher([NEW]).decrypt(after, row=ROW) == b"after"
    with pytest.raises(Broken):
        Cipher([OLD]).decrypt(after, row=ROW)


@pytest.mark.parametrize("keys", [[], [""], ["short"], [b64encode(b"1" * 31).decode()], [OLD, "!"]])
def test_what_is_no_key_is_refused_and_not_repeated(keys: list[str]) -> None:
    with pytest.raises(Broken, match="ESIMHOOKS_ENCRYPTION_KEY: expected") as broken:
        Cipher(keys)

    assert "short" not in str(broken.value)


async def test_a_node_with_a_wrong_key_does_not_start(settings: Settings, operator: Api) -> None:
    strange = settings.model_copy(update={"encryption_key": Settings.read(encryption_key=NEW).encryption_key})

    with pytest.raises(Broken, match="ESIMHOOKS_ENCRYPTION_KEY"):
        async with running(strange):
            pass


async def test_a_node_with_a_new_key_before_the_old_one_reads_what_was_there(settings: Settings, migrated: str) -> None:
    body: Json = {"kind": "esimaccess", "credentials": {"accessCode": "code-1"}}
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        before = await operator.put("/v1/providers/old", body)
    keys = Settings.read(encryption_key=NEW).encryption_key + settings.encryption_key

    rotating = settings.model_copy(update={"encryption_key": keys})
    async with running(rotating) as node, Api(node.url, node.admin_key) as operator:
        after = await operator.get("/v1/providers/old")
        await operator.put("/v1/providers/new", body)

    assert after["inboundUrl"].rpartition("/")[2] == before["inboundUrl"].rpartition("/")[2]
    pool = await connect(migrated, Cipher([NEW]), connections=1)
    async with pool.session() as db:
        found = await providers.find(db, "new")
        assert found is not None
        assert found.credentials == {"accessCode": "code-1"}
        with pytest.raises(Broken):
            await providers.find(db, "old")
    await pool.close()


async def test_rows_that_were_swapped_in_the_database_are_not_read(operator: Api, database: Database) -> None:
    for name in ("one", "two"):
        await operator.put(f"/v1/providers/{name}", {"kind": "esimaccess", "credentials": {"accessCode": name}})

    async with database.transaction() as db:
        await db.conn.execute(
            "UPDATE providers p SET sealed_credentials = o.sealed_credentials FROM providers o WHERE o.name <> p.name"
        )
        with pytest.raises(Broken, match=r"providers\.credentials\.one"):
            await providers.find(db, "one")


async def bytes_of_all_tables(db: Session) -> bytes:
    """Return every row of every table as PostgreSQL has it in binary."""
    tables = await db.conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    assert len(tables) > 10
    whole = io.BytesIO()
    for table in tables:
        await db.conn.copy_from_query(f"SELECT * FROM {table['tablename']}", output=whole, format="binary")
    return whole.getvalue()


async def test_nothing_that_must_stay_secret_is_readable_in_the_database(operator: Api, database: Database) -> None:
    merchant = await a_merchant(operator, webhook_url="http://127.0.0.1:9/hook")
    provider = await operator.put(
        "/v1/providers/upstream",
        {"kind": "esimaccess", "credentials": {"accessCode": "ACCESS-5C1", "secretKey": "SECRET-5C1"}},
    )
    esim = {
        "transactionId": "t-1",
        "esimStatus": "CREATED",
        "iccid": "8943000000000000014",
        "ac": "LPA:1$smdp.example.com$MATCHING-5C1",
        "qrCodeUrl": "https://example.com/QRCODE-5C1.png",
        "shortUrl": "https://example.com/SHORT-5C1",
    }
    applied = {"transactionId": "t-1", "ac": "LPA:1$smdp.example.com$HELD-5C1"}
    unmatched = {"esimTranNo": "unknown", "ac": "LPA:1$smdp.example.com$UNMATCHED-5C1"}
    invalid = {"transactionId": "t-1", "ac": "LPA:1$smdp.example.com$INVALID-5C1", "dataUsage": -1}
    body = {"account": merchant.account, "mode": "test", "updates": [esim, applied, unmatched, invalid]}
    results = (await operator.post("/v1/updates", body, status=200))["results"]
    assert [result["outcome"] for result in results] == ["applied", "applied", "unmatched", "invalid"]

    async with database.session() as db:
        whole = await bytes_of_all_tables(db)

    assert b"8943000000000000014" in whole, "the search itself does not work"
    secrets = [
        *["ACCESS-5C1", "SECRET-5C1", "MATCHING-5C1", "QRCODE-5C1", "SHORT-5C1", "HELD-5C1", "UNMATCHED-5C1"],
        *["INVALID-5C1", merchant.key, (merchant.secret or "").removeprefix("whsec_")],
        provider["inboundUrl"].rpartition("/")[2],
    ]
    assert [secret for secret in secrets if not secret or secret.encode() in whole] == []
    assert "LPA:" not in str([result.get("detail") for result in results])
