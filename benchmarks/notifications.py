"""Notifications of a provider, as fast as 50 connections go: how fast they are taken in, and when all has arrived."""

import json
from typing import Any

from benchmarks.ground import Ground
from benchmarks.outside.adapter import LIVE, Target
from benchmarks.outside.wire import Request, Wire
from benchmarks.scenarios import Figures, Size, spread

CONNECTIONS = 50
ENDPOINTS = 20
ARRIVES_WITHIN_S = 120.0
PROVIDER = "bench"


async def notifications(ground: Ground, size: Size) -> Figures:
    """Usage that a provider pushes, which is not confirmed; each notification raises an event for one endpoint."""
    node = ground.server.start()
    targets = await _targets(ground, node.url)
    load = {"adapter": "notifications", "connections": CONNECTIONS}
    await ground.post(node.url, targets, adapter="notifications", posts=1, first=10**5)
    await ground.post(node.url, targets, **load, seconds=1)
    await ground.arrived_in_time(10**9, within_s=1.0)
    before = ground.server.cpu_s()
    posted = await ground.post(node.url, targets, **load, seconds=max(1, size.seconds // 3), first=10**6)
    arrived = await ground.arrived_in_time(len(posted), within_s=ARRIVES_WITHIN_S)
    after = ground.server.cpu_s()
    began, ended = min(one[1] for one in posted), max(one[2] for one in posted)
    return {
        "taken in/s": len(posted) / ((ended - began) / 1e9),
        **spread("answer", [(answered - due) / 1e6 for _, due, answered, _ in posted]),
        "events/s until all arrived": len(arrived) / ((max(arrived.values()) - began) / 1e9),
        "share arrived": len(arrived) / len(posted),
        "server CPU ms per event": (after[0] - before[0]) / len(posted) * 1e3,
        "PostgreSQL CPU ms per event": (after[1] - before[1]) / len(posted) * 1e3,
    }


async def _targets(ground: Ground, node_url: str) -> list[Target]:
    """Make endpoints, each in an account of its own, whose eSIMs are those of one provider."""
    targets = await ground.targets(node_url, [f"/ok/{index}" for index in range(ENDPOINTS)])
    wire, headers = Wire(node_url), {"authorization": f"Bearer {ground.server.key}", "content-type": "application/json"}

    async def sent(path: str, body: object, *, method: str = "POST") -> Any:
        _, answer = await wire.post(Request(path, headers, json.dumps(body).encode()), method=method)
        return json.loads(answer)

    made = await sent(f"/v1/providers/{PROVIDER}", {"kind": "esimaccess"}, method="PUT")
    for target in targets:
        target["inbound"] = "/providers" + made["inboundUrl"].partition("/providers")[2]
        keys = [f"{target['account']}-{index}" for index in range(target["esims"])]
        updates = [{"esimTranNo": key, "provider": PROVIDER, "dataUsage": 1} for key in keys]
        await sent("/v1/updates", {"account": target["account"], "mode": LIVE, "updates": updates})
    await wire.close()
    return targets
