"""Every published webhook of eSIM Access, and exactly what it becomes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef, OrderUpdate
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.providers.esimaccess_parse import parse
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

PAYLOADS = Path(__file__).parent / "payloads"


def at(*parts: int) -> datetime:
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def wrong_luhn(shown: str) -> Doubt:
    return Doubt("iccid", f"iccid {shown}: the Luhn check digit is wrong")


EXPECTED = {
    "CHECK_HEALTH": Notification(
        kind="CHECK_HEALTH", own_id="459bd1e4a65069714092e90944f286a0", occurred_at=at(2026, 4, 22, 11, 31, 33)
    ),
    "DATA_USAGE-10-2025": Notification(
        kind="DATA_USAGE",
        own_id="f852828b0b5940be9cd655b1d659aa2d",
        occurred_at=at(2025, 7, 21, 10, 57, 28),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="81119661169097",
                    order_no="B03548137548819",
                    transaction_id="unique_id_from_partner",
                    iccid="8943283897496639279",
                ),
                occurred_at=at(2025, 7, 21, 10, 57, 28),
                total_bytes=53687091200,
                used_bytes=48335585458,
                usage_at=at(2025, 7, 21, 9, 38, 25),
            ),
        ),
    ),
    "DATA_USAGE-50": Notification(
        kind="DATA_USAGE",
        own_id="6bc49a5e2aa2097a0981d5abbe662454",
        occurred_at=at(2026, 4, 22, 17, 21, 59),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="01060907008213",
                    order_no="B85113012576783",
                    transaction_id="1109460995301-7-TH_62_08",
                    iccid="89851567489877046110",
                ),
                occurred_at=at(2026, 4, 22, 17, 21, 59),
                total_bytes=21474836480,
                used_bytes=10741066164,
                usage_at=at(2026, 4, 22, 15, 53, 3),
            ),
        ),
    ),
    "ESIM_STATUS-cancel-2025": Notification(
        kind="ESIM_STATUS",
        own_id="3929a9cff1b838bb9d27079ba90274a0",
        occurred_at=at(2025, 8, 9, 0, 23, 45),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="79147028473122",
                    order_no="B64966145798886",
                    transaction_id="b09705b8a86622762d6fac00cc1a5d47",
                    iccid="89859087738963212966",
                ),
                occurred_at=at(2025, 8, 9, 0, 23, 45),
                esim_status=EsimStatus.CANCEL,
                smdp_status=SmdpStatus.RELEASED,
            ),
        ),
        doubts=(wrong_luhn("...2966"),),
    ),
    "ESIM_STATUS-help-querystring": Notification(
        kind="ESIM_STATUS",
        updates=(
            Update(
                identity=Identity(
                    order_no="B23122613010998",
                    transaction_id="ord_658adb14bcebb413862417",
                    iccid="8943108170000828413",
                ),
                esim_status=EsimStatus.IN_USE,
                smdp_status=SmdpStatus.INSTALLED,
            ),
        ),
    ),
    "ESIM_STATUS-in_use": Notification(
        kind="ESIM_STATUS",
        own_id="10ab2d103b5788e49aa01dceebf8ba7c",
        occurred_at=at(2026, 4, 22, 17, 27, 44),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="25073009120698",
                    order_no="B93256553059011",
                    transaction_id="6085648153845-4-ES_42_17",
                    iccid="8910976397021003890",
                ),
                occurred_at=at(2026, 4, 22, 17, 27, 44),
                esim_status=EsimStatus.IN_USE,
                smdp_status=SmdpStatus.ENABLED,
            ),
        ),
        doubts=(wrong_luhn("...3890"),),
    ),
    "ORDER_STATUS-2025-minimal": Notification(
        kind="ORDER_STATUS", order=OrderUpdate(ref=OrderRef(order_no="B97318499280574"))
    ),
    "ORDER_STATUS": Notification(
        kind="ORDER_STATUS",
        own_id="557212fa7f6f6de4452f139b1a6359f4",
        occurred_at=at(2026, 4, 22, 17, 16, 34),
        order=OrderUpdate(ref=OrderRef(order_no="B82153381781441", transaction_id="7411146984093-4-TR_83_76")),
    ),
    "SMDP_EVENT-download-2025": Notification(
        kind="SMDP_EVENT",
        own_id="8fde987c96fb413272f7ef452be6055c",
        occurred_at=at(2025, 9, 11, 13, 28, 9),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="31295499262644",
                    order_no="B77923719699121",
                    transaction_id="06905277311006-8-6",
                    iccid="8997019512789563395",
                ),
                occurred_at=at(2025, 9, 11, 13, 28, 9),
                esim_status=EsimStatus.CREATED,
                smdp_status=SmdpStatus.DOWNLOADED,
                eid="89049032441217199317443115730672",
            ),
        ),
        doubts=(wrong_luhn("...3395"),),
    ),
    "SMDP_EVENT-enabled": Notification(
        kind="SMDP_EVENT",
        own_id="7c3ba77e77a5037543175ba1116f6d2e",
        occurred_at=at(2026, 4, 22, 17, 29, 40),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="51055224638772",
                    order_no="B43750324191653",
                    transaction_id="6398467545271-8-GR_7_3",
                    iccid="8910172652573867503",
                ),
                occurred_at=at(2026, 4, 22, 17, 29, 40),
                esim_status=EsimStatus.IN_USE,
                smdp_status=SmdpStatus.ENABLED,
                smdp_sequence=113,
                eid="89049032928658130957704843380532",
            ),
        ),
        doubts=(wrong_luhn("...7503"),),
    ),
    "VALIDITY_USAGE-2025-minimal": Notification(
        kind="VALIDITY_USAGE",
        updates=(
            Update(
                identity=Identity(order_no="B97318499280574", transaction_id="Your_txn_id", iccid="894354472883562879"),
                cause=Cause.VALIDITY,
                validity_days=1,
                total_days=30,
                expire_at=at(2024, 1, 11, 8, 10, 19),
            ),
        ),
        doubts=(wrong_luhn("...2879"),),
    ),
    "VALIDITY_USAGE": Notification(
        kind="VALIDITY_USAGE",
        own_id="d08567bffcbf69ad11180360f2414c45",
        occurred_at=at(2026, 4, 22, 17, 13, 54),
        updates=(
            Update(
                identity=Identity(
                    esim_tran_no="37064145631509",
                    order_no="B73737249976084",
                    transaction_id="1278423763682-7-JP_7_43_IIJ",
                    iccid="8981769900058130717",
                ),
                cause=Cause.VALIDITY,
                occurred_at=at(2026, 4, 22, 17, 13, 54),
                validity_days=1,
                total_days=30,
                expire_at=at(2026, 4, 23, 17, 13, 19),
            ),
        ),
        doubts=(wrong_luhn("...0717"),),
    ),
}


def raw_body(payload: Path) -> bytes:
    document = json.loads(payload.read_text())
    return (document["body_raw"] if "body_raw" in document else json.dumps(document["body"])).encode()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_webhook_becomes_exactly_these_facts(name: str) -> None:
    body = raw_body(PAYLOADS / f"esimaccess-{name}.json")

    found = parse(InboundRequest(method="POST", path="", query="", headers={}, body=body, peer="127.0.0.1"))

    assert found == EXPECTED[name]


def test_every_published_webhook_is_expected_here() -> None:
    webhooks = {
        path.stem.removeprefix("esimaccess-")
        for path in PAYLOADS.glob("esimaccess-*.json")
        if json.loads(path.read_text())["_fixture"]["kind"] == "webhook"
    }

    assert webhooks == set(EXPECTED)
