"""Ten thousand canary values on all ways through a real process, normal and failing: none is written down.

Looked at: the log in both forms at level debug, PostgreSQL's own log, metrics, traces, and every answer that refuses.
"""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from aiohttp import ClientSession

from api import Answer, Api, a_merchant, eventually
from esimhooks.server.store.embedded import EmbeddedPostgres
from receiver import Receiver, raw
from system.canaries import Canaries
from system.node_process import NodeProcess, postgres_processes

pytestmark = [
    pytest.mark.slow(
        reason="a process and a PostgreSQL of its own are taken through all ways to fail, with 10,000 values"
    ),
    pytest.mark.timeout(400),
]
ADMIN_KEY = "CNRYADMINADMINAA-an-operator-key-of-forty-characters"
CANARIES = 10_000
BATCH = 250

UNITS = (
    "database.refused",
    "delivery.attempted",
    "notification.taken_in",
    "order.refused",
    "request.failed",
    "request.not_now",
)
"""The log lines that must be among what is searched."""

SPANS = ("POST /v1/updates", "POST /providers/", "commit intake", "send esim.", "5xx")
"""What must be among the traces."""


class Scene:
    """A process with its own PostgreSQL, an upstream provider, receivers, a collector, and what the process answered."""

    def __init__(self, folder: Path, node: NodeProcess, http: Receiver, api: Api, collector: Receiver) -> None:
        self.folder = folder
        self.collector = collector
        self.node = node
        self.http = http
        self.api = api
        self.canaries = Canaries(seed=20261125)
        self.refused: list[str] = []
        self.canaries.made.add(ADMIN_KEY[:16])

    async def say(self, method: str, path: str, body: Any = None, *, key: str = ADMIN_KEY, **headers: str) -> Answer:
        """Send a request; bytes are sent as they are. What refuses is kept."""
        async with self.api.as_key(key) as api:
            if isinstance(body, bytes):
                named = {"content_type": "application/json"} | headers
                answer = await api.raw(method, path, body, **named)
            else:
                answer = await api.call(method, path, body, **headers)
        if answer.status >= 400:
            self.refused.append(json.dumps(answer.body) + json.dumps(answer.headers))
        return answer

    def written(self) -> dict[str, str]:
        """Return everything that was written down: by the process, by PostgreSQL, in refusals, and in traces."""
        files = [self.folder / "node.log", self.folder / "postgres-start.log", *self.folder.glob("postgres/log/*")]
        spans = b"\n".join(request.body for request in self.collector.received).decode(errors="replace")
        return {file.name: file.read_text(errors="replace") for file in files} | {
            "answers": "\n".join(self.refused),
            "traces": spans,
        }


@pytest.fixture(params=["json", "console"])
async def scene(request: pytest.FixtureRequest, collector: Receiver) -> AsyncIterator[Scene]:
    # Not pytest's tmp_path: PostgreSQL does not run as root, and its own user cannot pass that folder.
    with tempfile.TemporaryDirectory(prefix="esimhooks-canaries-") as name:
        folder = Path(name)
        settings = {
            "data_dir": name,
            "port": "0",
            "admin_key": ADMIN_KEY,
            "allow_networks": "127.0.0.0/8",
            "retry_schedule": "0,1,1",
            "rate_limit_key": "0",
            "rate_limit_address": "0",
            "tries_address": "0",
            "log_format": request.param,
            "log_level": "debug",
        }
        node = NodeProcess(settings, folder / "node.log")
        try:
            await node.start()
            async with Receiver() as http, Api(node.url, ADMIN_KEY) as api:
                yield Scene(folder, node, http, api, collector)
        finally:
            node.clear_up()
            for process in postgres_processes(folder):
                process.kill()


async def receivers_that_leak(scene: Scene) -> tuple[str, str]:
    """An account with endpoints that answer well, echo secrets, break the protocol; return it and a key."""
    word = scene.canaries.word
    merchant = await a_merchant(scene.api, webhook_url=scene.http.url("/good"))
    secrets = json.dumps([scene.canaries.esim() for _ in range(20)]).encode()
    scene.http.answer("/echo", status=500, headers={"x-token": word(), "location": f"/{word()}"}, body=secrets)
    scene.http.answer("/odd", script=[raw(b"HTTP/9.9 " + word().encode() + b" \r\n\r\n" + secrets)])
    for path in ("/echo", "/odd", f"/{word()}?token={word()}"):
        headers = {"x-api-token": word(), "authorization": f"Basic {word()}"}
        made = await scene.say(
            "POST", "/v1/endpoints", {"url": scene.http.url(path), "headers": headers}, key=merchant.key
        )
        assert made.status == 201, made
    return merchant.account, merchant.key


async def updates(scene: Scene, account: str, number: int) -> int:
    """Hand in valid updates."""
    rows = [
        {"transactionId": scene.canaries.word(), "esimStatus": "IN_USE"} | scene.canaries.esim() for _ in range(number)
    ]
    body = {"account": account, "mode": "test", "updates": rows}
    answer = await scene.say("POST", "/v1/updates", body)
    if answer.status == 200:
        assert {one["outcome"] for one in answer.body["results"]} == {"applied"}
    return answer.status


async def deliveries_that_fail(scene: Scene, account: str, key: str) -> None:
    """See deliveries to their bad end, few enough that no lane is put to rest meanwhile."""
    assert await updates(scene, account, 1) == 200

    async def failed() -> bool:
        found = await scene.say("GET", "/v1/deliveries?status=failed", key=key)
        return len(found.body["data"]) >= 2

    await eventually(failed, within_s=60)


async def bad_updates(scene: Scene, account: str) -> None:
    """Hand in what cannot be: values of the wrong kind in every field, unknown fields, bytes that are no JSON."""
    for name, value in scene.canaries.esim().items():
        for bad in (
            [value],
            {"x": value},
            int(scene.canaries.number(15)),
            f"{value}\t{scene.canaries.word()}",
            value * 300,
        ):
            body = {
                "account": account,
                "mode": "test",
                "updates": [{"transactionId": "t", "esimStatus": "IN_USE", name: bad}],
            }
            await scene.say("POST", "/v1/updates", body)
    for name in ("pin", "puk", "unheardOf"):
        await scene.say(
            "POST", "/v1/updates", {"updates": [{name: scene.canaries.word()}], name: scene.canaries.word()}
        )
    whole = json.dumps({"updates": [scene.canaries.esim()]}).encode()
    for broken in (
        whole[:-2],
        whole + whole,
        whole.replace(b'"iccid"', b'"eid"'),
        b"\xff" + whole,
        whole + b"\x00",
        b"[" + whole,
    ):
        for path in ("/v1/updates", "/v1/accounts", "/v1/orders"):
            await scene.say("POST", path, broken)
    await scene.say("POST", "/v1/updates", whole, content_type=f"text/{scene.canaries.word()}")
    for path in ("esims", "orders", "accounts", "notifications", f"{scene.canaries.word()}", "event-types"):
        await scene.say("GET", f"/v1/{path}/{scene.canaries.word()}?x={scene.canaries.word()}")
    for name in ("iccid", "transactionId", "orderNo", "status", "cursor", "limit", "unheardOf"):
        await scene.say("GET", f"/v1/esims?account={account}&mode=test&{name}={scene.canaries.number(19)}")
        await scene.say("GET", f"/v1/esims?account={account}&mode=test&{name}={quote(scene.canaries.word() + chr(0))}")


async def bad_callers(scene: Scene) -> None:
    """Call with keys and tokens that are none, and sign in with them."""
    for kind in ("live", "test", "admin"):
        await scene.say("GET", "/v1/esims", key=f"esim_{kind}_{scene.canaries.word()}")
    await scene.say("GET", "/v1/esims", x_api_key=scene.canaries.word())
    await scene.say(
        "GET", "/v1/esims", authorization=f"Basic {scene.canaries.word()}", cookie=f"a={scene.canaries.word()}"
    )
    await scene.say("POST", f"/providers/upstream/{scene.canaries.word()}", json.dumps(scene.canaries.esim()).encode())
    await scene.say("GET", f"/qr/esim_01jd3v8k5fe8ya3q8r0m2n6x7c/{scene.canaries.word()}.png")
    key = {"key": scene.canaries.word()}
    async with ClientSession() as visitor, visitor.post(f"{scene.node.url}/sign-in", data=key) as answer:
        scene.refused.append(await answer.text())


async def a_provider(scene: Scene, account: str) -> None:
    """A provider that echoes secrets in every way to fail, queried for orders; notifications good and bad."""
    word = scene.canaries.word
    credentials = {"accessCode": word(), "secretKey": word()}
    body = {"kind": "esimaccess", "baseUrl": scene.http.url("/up"), "credentials": credentials}
    inbound = (await scene.say("PUT", "/v1/providers/upstream", body)).body["inboundUrl"].removeprefix(scene.node.url)
    wrong = {
        "success": True,
        "errorCode": None,
        "obj": {"esimList": [{"iccid": [one], **scene.canaries.esim()} for one in [word()]]},
    }
    refusal = {
        "success": False,
        "errorCode": "200008",
        "errorMsg": f"{' '.join(credentials.values())} {scene.canaries.number(19)} LPA:1$x.example${word()} whsec_{word()}",
        "obj": scene.canaries.esim(),
    }
    for number, (status, text) in enumerate(
        [
            (500, json.dumps(refusal)),
            (200, json.dumps(wrong)),
            (200, f"<{word()}"),
            (302, word()),
            (200, json.dumps(refusal)),  # to the end: all that failed before is queried again
        ]
    ):
        for path in ("/api/v1/open/esim/query", "/api/v1/open/esim/usage/query"):
            scene.http.answer(f"/up{path}", status=status, headers={"location": f"/{word()}"}, body=text.encode())
        order = {
            "account": account,
            "mode": "test",
            "provider": "upstream",
            "transactionId": word(),
            "packageCode": "CKH1",
        }
        made = await scene.say("POST", "/v1/orders", order | {"orderNo": f"B{number}", "quantity": 1})
        await scene.say("POST", f"/v1/esims/{made.body['esims'][0]['id']}/requery?account={account}&mode=test")
        await notifications(scene, inbound, f"B{number}")
    await scene.say("PUT", "/v1/providers/other", body | {"kind": word(), "credentials": {word(): [word()]}})
    await scene.say("PUT", "/v1/providers/other", body | {"baseUrl": f"http://user:{word()}@127.0.0.1:1/{word()}"})


async def notifications(scene: Scene, inbound: str, order_no: str) -> None:
    """Send what a provider may send, and what it may not."""
    content = {"orderNo": order_no, "pin": scene.canaries.word(), "puk": scene.canaries.word(), **scene.canaries.esim()}
    for kind in ("ORDER_STATUS", "ESIM_STATUS", "SMDP_EVENT", "DATA_USAGE", scene.canaries.word()):
        notification = {
            "notifyType": kind,
            "notifyId": scene.canaries.word(),
            "content": content | {"esimStatus": "CANCEL"},
        }
        await scene.say("POST", inbound, json.dumps(notification).encode())
        await scene.say("POST", inbound, json.dumps(notification | {"content": [content]}).encode())
        await scene.say("POST", inbound, json.dumps(notification).encode()[:-3])
    form = f"notifyType=ESIM_STATUS&content[iccid]={scene.canaries.number(19)}&content[ac]={scene.canaries.word()}"
    await scene.say("POST", inbound, form.encode(), content_type="application/x-www-form-urlencoded")
    await scene.say("POST", f"{inbound}?{form}", b"")


async def a_broken_database(scene: Scene, account: str) -> None:
    """The database refuses rows and says which, fails as no database of ours does, lacks a table, and is killed."""
    admin = await asyncpg.connect(EmbeddedPostgres(scene.folder).address)
    await admin.execute("ALTER TABLE esims ADD CONSTRAINT none_at_all CHECK (length(iccid) < 5) NOT VALID")
    assert await updates(scene, account, 3) in (500, 503)
    await admin.execute("ALTER TABLE esims DROP CONSTRAINT none_at_all")
    await admin.execute(
        """
        CREATE FUNCTION none_at_all() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'none at all'; END $$;
        CREATE TRIGGER none_at_all BEFORE INSERT ON esims FOR EACH ROW EXECUTE FUNCTION none_at_all();
        """
    )
    assert await updates(scene, account, 3) == 500
    await admin.execute("DROP FUNCTION none_at_all CASCADE")
    for table in ("esims", "events", "notifications"):
        await admin.execute(f"ALTER TABLE {table} RENAME TO gone")
        assert await updates(scene, account, 3) in (500, 503)
        await admin.execute(f"ALTER TABLE gone RENAME TO {table}")
    await admin.close()
    for process in postgres_processes(scene.folder):
        process.kill()
    assert await updates(scene, account, 3) in (200, 503)  # it is revived at once

    async def works_again() -> bool:
        return await updates(scene, account, 1) == 200

    await eventually(works_again, within_s=60)


async def test_no_canary_is_written_down(scene: Scene) -> None:
    account, key = await receivers_that_leak(scene)
    await deliveries_that_fail(scene, account, key)
    await bad_updates(scene, account)
    await bad_callers(scene)
    await a_provider(scene, account)
    await a_broken_database(scene, account)
    while len(scene.canaries.made) < CANARIES:
        assert await updates(scene, account, BATCH) == 200

    async def all_logged() -> bool:
        log = scene.written()["node.log"]
        return all(unit in log for unit in UNITS)

    await eventually(all_logged, within_s=60)
    async with (
        ClientSession(headers={"x-api-key": ADMIN_KEY}) as session,
        session.get(f"{scene.node.url}/metrics") as answer,
    ):
        metrics = await answer.text()
    scene.node.terminate()
    await scene.node.exit_code()  # at its end it hands over its last spans
    written = scene.written() | {"metrics": metrics}

    assert "esimhooks_http_request_duration_seconds" in written["metrics"]
    assert [name for name in SPANS if name not in written["traces"]] == []
    leaks = {where: sorted(scene.canaries.in_it(text))[:5] for where, text in written.items()}
    assert {where: found for where, found in leaks.items() if found} == {}


def test_canaries_are_found_where_they_are() -> None:
    canaries = Canaries(seed=1)
    esim = canaries.esim()

    assert len(canaries.made) == len(esim)
    assert canaries.in_it(json.dumps(esim).lower()) == canaries.made
    assert canaries.in_it(f"x{esim['iccid']}9") == {esim["iccid"]}
    assert canaries.in_it("nothing 8943000000123456785") == set()
