"""Rows of a tenant for tests of the API: an endpoint, an eSIM, an event and its delivery, made over the API itself."""

from msgspec import Struct

from api import Api, Json, eventually

ICCIDS = (f"89000000000000{number:05d}" for number in range(100_000))


class Rows(Struct, frozen=True):
    """One tenant with one row of every kind, by the names that paths give them; `query` acts for it."""

    account: str
    key: str
    query: str
    ids: dict[str, str]


async def an_esim(operator: Api, account: str, mode: str, **fields: Json) -> Json:
    """Hand in an update that makes an eSIM; return its result."""
    update = {
        "transactionId": next(ICCIDS),
        "iccid": next(ICCIDS),
        "esimStatus": "IN_USE",
        "ac": "LPA:1$smdp.example.com$CODE-0001",
    } | fields
    body = {"account": account, "mode": mode, "updates": [update]}
    [result] = (await operator.post("/v1/updates", body, status=200))["results"]
    return result


async def rows_of(operator: Api, account: str, mode: str, webhook_url: str) -> Rows:
    """Make one row of every kind for an account in a mode."""
    key = await operator.post(f"/v1/accounts/{account}/keys", {"mode": mode, "name": "ci", "webhookUrl": webhook_url})
    esim = await an_esim(operator, account, mode)
    query = f"account={account}&mode={mode}"

    async def delivered() -> Json:
        found = (await operator.get(f"/v1/deliveries?{query}&status=delivered"))["data"]
        return found[0] if found else None

    delivery = await eventually(delivered)
    body = {"from": "2020-01-01T00:00:00Z"}
    recovery = await operator.post(f"/v1/endpoints/{key['endpoint']['id']}/recover?{query}", body, status=202)
    requery = await operator.post(f"/v1/esims/requery?{query}", {}, status=202)
    ids = {
        "requery_id": requery["id"],
        "recovery_id": recovery["id"],
        "account_id": account,
        "key_id": key["id"],
        "endpoint_id": key["endpoint"]["id"],
        "esim_id": esim["esim"],
        "event_id": esim["events"][0],
        "delivery_id": delivery["id"],
    }
    return Rows(account, key["key"], query, ids)


async def pages(api: Api, path: str, *, limit: int) -> list[list[Json]]:
    """Return all pages of a list, read one after the other."""
    found: list[list[Json]] = []
    cursor = ""
    while True:
        page = await api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        found.append(page["data"])
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"
