"""A merchant with a little history: eSIMs that live, deliveries that arrive, and one endpoint that is gone."""

from msgspec import Struct

from api import Api, Json, a_merchant, eventually
from receiver import Receiver

ICCIDS = (f"8952{number:015d}" for number in range(1_000_000))
LIFE = (
    {"esimStatus": "PENDING"},
    {"esimStatus": "CREATED", "smdpStatus": "RELEASED"},
    {"esimStatus": "IN_USE", "smdpStatus": "ENABLED", "dataUsage": 12.5},
    {"esimStatus": "IN_USE", "dataUsage": 530.0},
    {"esimStatus": "IN_USE", "dataUsage": 810.25},
)
ACTIVATION = "LPA:1$smdp.example$K2-1234ABCD-5678EFGH"


class History(Struct, frozen=True):
    """Ids of rows of one account; `query` acts for it."""

    account: str
    key: str
    query: str
    esim: str
    event: str
    endpoint: str
    """The one that is gone."""
    shop: str
    recovery: str
    failed: str
    delivered: str
    notification: str


async def update(operator: Api, account: str, **fields: Json) -> Json:
    """Hand in an update of one eSIM; return its result."""
    body = {"account": account, "mode": "test", "updates": [fields]}
    [result] = (await operator.post("/v1/updates", body, status=200))["results"]
    return result


async def a_life(operator: Api, account: str, **fields: Json) -> Json:
    """Let an eSIM live until most of its volume is used; return the result of its last update."""
    iccid = next(ICCIDS)
    known = {"transactionId": f"order-{iccid[-6:]}", "iccid": iccid, "totalVolume": 1024, "ac": ACTIVATION} | fields
    for step in LIFE:
        result = await update(operator, account, **known, **step)
    return result


async def first_delivery(operator: Api, query: str, status: str) -> str:
    """Return the newest delivery with that status, waiting for it."""

    async def found() -> Json:
        rows = (await operator.get(f"/v1/deliveries{query}&status={status}"))["data"]
        return rows[0]["id"] if rows else None

    delivery: str = await eventually(found)
    return delivery


async def a_history(operator: Api, receiver: Receiver) -> History:
    """Make the merchant, its endpoints and three eSIMs."""
    receiver.answer("/gone", status=410, body=b'{"error": "this shop has closed"}')
    merchant = await a_merchant(operator, webhook_url=receiver.url("/hooks"))
    query = f"?account={merchant.account}&mode=test"
    results = [
        await a_life(operator, merchant.account, orderNo=f"B{number}", packageName=name)
        for number, name in enumerate(("Italy 1 GB 7 days", "Japan 1 GB 15 days"))
    ]
    gone = {"url": receiver.url("/gone"), "name": "Old shop", "eventTypes": ["esim.activated"]}
    endpoint = await operator.post(f"/v1/endpoints{query}", gone)
    results.append(await a_life(operator, merchant.account, orderNo="B9", packageName="Europe 1 GB 30 days"))
    for number in range(2):
        await update(operator, merchant.account, transactionId=f"many-{number}", orderNo="B-many")
    recovery = await operator.post(
        f"/v1/endpoints/{merchant.endpoint}/recover{query}", {"from": "2020-01-01T00:00:00Z"}, status=202
    )
    failed = await first_delivery(operator, query, "stopped")
    [note] = (await operator.get("/v1/notifications?limit=1"))["data"]
    return History(
        account=merchant.account,
        key=merchant.key,
        query=query,
        esim=results[-1]["esim"],
        event=results[-1]["events"][0],
        endpoint=endpoint["id"],
        shop=str(merchant.endpoint),
        recovery=recovery["id"],
        failed=failed,
        delivered=await first_delivery(operator, query, "delivered"),
        notification=note["id"],
    )
