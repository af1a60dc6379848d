"""Takes the pictures of the dashboard that README.md shows, docs/images/dashboard-*.png, with chromium.

A server of its own takes the updates of a shop's day (`shop_day`) and sends webhooks to receivers on this machine, one of
which fails. Nobody waits for a day, so events with their deliveries are then put back, in the database, to the moments at
which the updates say that they happened. Nothing else is edited; only the pictures are left behind.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import ClientSession, web
from playwright.async_api import Page

from esimhooks.server.app.keys import encryption_keys
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.ids import made_at
from esimhooks.server.store.database import Database, Session, connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher
from tools.chromium import a_chromium
from tools.shop_day import ANSWERS, ENDPOINTS, Json, updates

PLACE = Path(__file__).parents[1] / "docs" / "images"
BUSY_MS = 40_000
SETTLED_S = 60


async def main() -> None:
    """Let the shop live and take its pictures."""
    for name in [name for name in os.environ if name.startswith("ESIMHOOKS_")]:
        del os.environ[name]  # an installation that the environment describes is not to be touched
    with tempfile.TemporaryDirectory(prefix="esimhooks-pictures-", ignore_cleanup_errors=True) as folder:
        settings = Settings.read(
            data_dir=folder, port=0, allow_networks="127.0.0.0/8", usage_interval=0, rate_limit_key=0, log_level="error"
        )
        async with running(settings) as node, receivers() as address:
            async with ClientSession(node.url, headers={"authorization": f"Bearer {node.admin_key}"}) as operator:
                key, esim = await lived(operator, address)
            database = await connect(EmbeddedPostgres(Path(folder)).address, Cipher(encryption_keys(settings)))
            await wait_until_applied(database)
            async with database.transaction() as db:
                await put_back(db)
            await database.close()
            async with a_window() as page:
                await photograph(page, node.url, key, esim)


@asynccontextmanager
async def receivers() -> AsyncIterator[str]:
    """Run the shop's receivers on a free port and yield their address."""

    async def answer(request: web.Request) -> web.Response:
        after_s, status, body = ANSWERS[request.path]
        await asyncio.sleep(after_s)  # slow on purpose
        return web.json_response(body, status=status, headers={"server": "nginx"})

    async def undated(_: web.Request, response: web.StreamResponse) -> None:
        del response.headers["date"]  # it would show now, not when it happened

    application = web.Application()
    application.router.add_post("/{path}", answer)
    application.on_response_prepare.append(undated)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def lived(operator: ClientSession, address: str) -> tuple[str, str]:
    """Make the merchant and submit its day; return its key, and the id of its first eSIM."""
    account = (await posted(operator, "/v1/accounts", {"name": "Acme Travel"}))["id"]
    made = await posted(operator, f"/v1/accounts/{account}/keys", {"mode": "live", "name": "Back office"})
    for endpoint in ENDPOINTS:
        body = endpoint | {"url": address + endpoint["url"]}
        await posted(operator, f"/v1/endpoints?account={account}&mode=live", body)
    esims = {}
    for update in updates(datetime.now(UTC)):
        body = {"account": account, "mode": "live", "updates": [update]}
        [result] = (await posted(operator, "/v1/updates", body))["results"]
        esims[update["transactionId"]] = result["esim"]
    return made["key"], esims[min(esims)]


async def posted(operator: ClientSession, path: str, body: Json) -> Any:
    """Return the answer of the API. Raises `ClientResponseError` where it refuses."""
    async with operator.post(path, json=body, raise_for_status=True) as answer:
        return await answer.json()


async def wait_until_applied(database: Database) -> None:
    """Return once no delivery waits any more. Raises `TimeoutError`."""
    async with asyncio.timeout(SETTLED_S), database.session() as db:
        while await db.conn.fetchval("SELECT count(*) FROM queue"):  # noqa: ASYNC110 - what is waited for is in a database
            await asyncio.sleep(0.1)


async def put_back(db: Session) -> None:
    """Put events, deliveries and attempts back to when it happened. Needs a transaction.

    Their ids hold the time, and what is encrypted is bound to its id.
    """
    events = await db.conn.fetch("SELECT id, happened_at, sealed_body FROM events")
    by = {row["id"]: row["happened_at"] - made_at(row["id"]) for row in events}
    event_of = dict(await db.conn.fetch("SELECT id, event_id FROM deliveries"))

    def encrypted_anew(row: Any, table: str, new: UUID) -> bytes:
        return db.cipher.encrypt(
            db.cipher.decrypt(row["sealed_body"], row=f"{table}.body.{row['id']}"), row=f"{table}.body.{new}"
        )

    for row in await db.conn.fetch("SELECT id, delivery_id, sealed_body FROM attempts"):
        back = by[event_of[row["delivery_id"]]]
        new = moved(row["id"], back)
        await db.conn.execute(
            "UPDATE attempts SET id = $2, delivery_id = $3, started_at = started_at + $4, sealed_body = $5 WHERE id = $1",
            *(row["id"], new, moved(row["delivery_id"], back), back, encrypted_anew(row, "attempts", new)),
        )
    for delivery, event in event_of.items():
        await db.conn.execute(
            "UPDATE deliveries SET id = $2, event_id = $3, finished_at = finished_at + $4 WHERE id = $1",
            *(delivery, moved(delivery, by[event]), moved(event, by[event]), by[event]),
        )
    for row in events:
        new = moved(row["id"], by[row["id"]])
        encrypted = encrypted_anew(row, "events", new)
        await db.conn.execute("UPDATE events SET id = $2, sealed_body = $3 WHERE id = $1", row["id"], new, encrypted)
    await db.conn.execute(
        """
        UPDATE lanes l SET failing_since = found.first_at, failed_at = found.last_at FROM (
            SELECT d.endpoint_id, min(a.started_at) AS first_at, max(a.started_at) AS last_at
            FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE a.outcome <> '2xx' GROUP BY 1
        ) found WHERE l.endpoint_id = found.endpoint_id AND l.failing_since IS NOT NULL
        """
    )
    await db.conn.execute(  # a notification comes in before its event is made
        "UPDATE notifications n SET received_at = e.happened_at - interval '5 ms' FROM events e WHERE e.notification_id = n.id"
    )


def moved(value: UUID, by: timedelta) -> UUID:
    """Return the UUIDv7 with another time in it."""
    return UUID(int=value.int + (by // timedelta(milliseconds=1) << 80))


@asynccontextmanager
async def a_window() -> AsyncIterator[Page]:
    """Lend a window in the light scheme."""
    async with a_chromium() as chromium:
        page = await chromium.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.set_default_timeout(BUSY_MS)
        yield page


async def photograph(page: Page, url: str, key: str, esim: str) -> None:
    """Sign in as the merchant and take the pictures."""
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("figure canvas").wait_for()
    failure = page.locator("section", has_text="Latest given up").get_by_role("link").first
    delivery = await failure.get_attribute("href")
    await page.screenshot(path=PLACE / "dashboard-overview.png")
    await page.goto(f"{url}/endpoints")
    await page.get_by_role("link", name="Shop, old address").click()
    await page.locator("figure canvas").wait_for()
    await page.screenshot(path=PLACE / "dashboard-endpoint.png")
    await page.goto(f"{url}/esims/{esim}")
    await page.locator(".story .event").first.wait_for()
    await page.screenshot(path=PLACE / "dashboard-esim.png")
    await page.goto(f"{url}{delivery}")
    await page.locator(".advice", has_text="(500)").wait_for()
    await page.screenshot(path=PLACE / "dashboard-delivery.png")


if __name__ == "__main__":
    asyncio.run(main())
