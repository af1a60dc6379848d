"""Probe."""
from api import Api, a_merchant, eventually
from receiver import Receiver
async def test_a_thing(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    async with operator.as_key(merchant.key) as m:
        e = await m.post("/v1/test-events", {"event": "esim.created"})
        await receiver.wait_for(1)
        async def f(): return (await m.get(f"/v1/deliveries?event={e['id']}&status=delivered"))["data"]
        print(await eventually(f))
