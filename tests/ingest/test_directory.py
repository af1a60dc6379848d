"""Which eSIM of an order an answer means, where only some of them are known by name."""

from datetime import UTC, datetime
from uuid import UUID

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.ingest.directory import Directory
from esimhooks.server.store.batch_reads import Scope
from esimhooks.vocabulary.statuses import EsimStatus, Mode

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDER, ACCOUNT = new_id(), new_id()


def an_esim(*, key: str | None = None) -> Esim:
    return Esim(
        id=new_id(),
        account_id=ACCOUNT,
        mode=Mode.TEST,
        created_at=NOW,
        updated_at=NOW,
        provider="upstream",
        transaction_id="t-1",
        order_id=ORDER,
        esim_tran_no=key,
    )


def found(esims: list[Esim]) -> UUID | None:
    answer = Update(identity=Identity(iccid="8900000000000000001"), esim_status=EsimStatus.CREATED)
    esim = Directory(esims).find(Scope(provider="upstream"), answer, order_id=ORDER)
    return None if esim is None else esim.id


def test_an_iccid_alone_goes_to_the_slot_that_is_free_and_not_to_an_esim_with_a_key() -> None:
    keyed, free = an_esim(key="K1"), an_esim()

    assert found([keyed, free]) == free.id
    assert found([free, keyed]) == free.id


def test_an_iccid_alone_means_the_only_esim_of_its_order() -> None:
    keyed = an_esim(key="K1")

    assert found([keyed]) == keyed.id


def test_where_all_have_keys_an_iccid_alone_means_nobody_knows_which() -> None:
    assert found([an_esim(key="K1"), an_esim(key="K2")]) is None
