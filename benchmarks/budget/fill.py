"""A database with a history: accounts, endpoints, eSIMs, and events, deliveries and attempts of many days, by COPY.

Everything goes in as the server would have left it, encrypted too, so that its pages can be opened. Chance is seeded: the
same size gives the same history, which ends at `now`.
"""

import json
import os
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import first_id_of, made_at, new_id
from esimhooks.server.store.deliveries import response_row
from esimhooks.server.store.encryption import Cipher
from esimhooks.server.store.partitions import TABLES, partition_name
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import EsimStatus, Mode

DAYS = 10
NAMES = ("Acme Travel", "Nomad Mobile", "Polar Roaming")
TYPES = dict(zip(EventType, (120, 120, 450, 200, 15, 50, 40, 5), strict=True))
"""How often each event is raised, of 1000."""
STATUSES = dict(zip(EsimStatus, (1, 9, 5, 45, 1, 1, 1, 15, 5, 10, 6, 1), strict=True))
"""How many eSIMs of 100 have each status."""
ENDED = {"delivered": 9650, "failed": 200, "stopped": 50, "cancelled": 50, "pending": 50}
"""How deliveries stand, of 10 000."""
TENANTS = ((0, Mode.LIVE, 60, 10), (1, Mode.LIVE, 30, 6), (2, Mode.LIVE, 8, 3), (0, Mode.TEST, 2, 1))
"""Account, mode, share of the events, and number of endpoints."""
SMALL_SHARE = 0.005
"""Of each of the many small accounts, which have one endpoint."""
FAILING_EACH = 20
"""Which of the small accounts have an endpoint that fails: more than the first page names."""
REQUEST = json.dumps({"method": "POST", "path": "", "query": "", "headers": {}, "peer": "192.0.2.7"})


COLUMNS = {
    "accounts": "id name created_at updated_at",
    "providers": "name kind sealed_credentials settings sealed_token created_at updated_at",
    "endpoints": "id account_id mode url name retry_schedule timeout_s max_in_flight enabled created_at updated_at",
    "lanes": "endpoint_id account_id failures failing_since failure_outcome failure_status failed_at",
    "esims": "id account_id mode created_at updated_at transaction_id order_no esim_tran_no package_name iccid status "
    "total_bytes used_bytes sequence",
    "events": "id account_id mode esim_id type happened_at sealed_body",
    "deliveries": "id account_id mode event_id event_type esim_id endpoint_id status attempts finished_at outcome "
    "status_code",
    "attempts": "id account_id delivery_id number started_at duration_ms outcome status_code response_headers sealed_body",
    "queue": "delivery_id account_id endpoint_id event_id event_type esim_id due_at attempts attempts_this_round started_at",
    "notifications": "id source received_at kind outcome request sealed_body",
}
GROWING = ("events", "deliveries", "attempts", "queue", "notifications")


class Size(Struct, frozen=True):
    """How much history there is."""

    esims: int
    deliveries: int
    notifications: int
    accounts: int


class History(Struct, frozen=True):
    """What a filled database holds: the busiest tenant, its busiest and its quietest endpoint, one of its eSIMs."""

    tenant: Tenant
    busy: UUID
    quiet: UUID
    esim: UUID
    begins: datetime
    now: datetime


class Whose(Struct, frozen=True):
    """Whose event it is, and about which eSIM."""

    tenant: Tenant
    endpoints: Sequence[UUID]
    esim: UUID


class Writer:
    """Puts the rows of one history in."""

    def __init__(self, conn: asyncpg.Connection, cipher: Cipher, *, now: datetime, size: Size) -> None:
        self._conn, self._cipher, self._now, self._size = conn, cipher, now, size
        self._chance = random.Random(1)  # noqa: S311 - a history is no secret
        self._begins = (now - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
        self._bodies = {kind: encode(example_of(kind)) for kind in EventType}
        small = ((account, Mode.LIVE, SMALL_SHARE, 1) for account in range(len(NAMES), size.accounts))
        self._plan = (*TENANTS, *small)
        self._shares = list(accumulate(share for _, _, share, _ in self._plan))

    async def write(self) -> None:
        """Write the whole history and gather the planner's statistics."""
        await self._conn.execute("SET synchronous_commit = off")
        await self._partitions()
        tenants, endpoints = await self._tenants()
        esims = [await self._esims(tenant, *of) for tenant, of in zip(tenants, self._plan, strict=True)]
        for day in range(DAYS + 1):
            await self._day(day, tenants, endpoints, esims)
            print(f"day {day + 1} of {DAYS + 1}", flush=True)
        await self._conn.execute("VACUUM ANALYZE")

    async def _partitions(self) -> None:
        for table in TABLES:
            for days in range(DAYS + 1):
                day = self._begins + timedelta(days=days)
                bounds = f"FROM ('{first_id_of(day)}') TO ('{first_id_of(day + timedelta(days=1))}')"
                name = partition_name(table, day)
                await self._conn.execute(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES {bounds}")

    async def _tenants(self) -> tuple[list[Tenant], list[list[UUID]]]:
        accounts = [new_id() for _ in range(self._size.accounts)]
        tenants = [Tenant(accounts[account], mode) for account, mode, _, _ in self._plan]
        endpoints = [[new_id() for _ in range(number)] for _, _, _, number in self._plan]
        names = [*NAMES, *(f"Shop {number}" for number in range(len(NAMES), len(accounts)))]
        rows = [(one, name, self._begins, self._begins) for one, name in zip(accounts, names, strict=True)]
        await self._copy("accounts", rows)
        encrypted = [self._cipher.encrypt(b"{}", row=f"providers.{what}.upstream") for what in ("credentials", "token")]
        await self._copy(
            "providers", [("upstream", "generic", encrypted[0], "{}", encrypted[1], self._begins, self._begins)]
        )
        made = [
            (
                one,
                tenant.account_id,
                tenant.mode.value,
                f"http://127.0.0.1:9/{number}",
                f"Shop {number}",
                [0, 60, 300],
                5.0,
                20,
                True,
                self._begins,
                self._begins,
            )
            for tenant, ids in zip(tenants, endpoints, strict=True)
            for number, one in enumerate(ids)
        ]
        await self._copy("endpoints", made)
        failing = {ids[0] for ids in endpoints[len(TENANTS) :: FAILING_EACH]}
        since, hour_ago = self._now - timedelta(hours=2), self._now - timedelta(hours=1)
        lanes = [
            (one, tenant.account_id, *((9, since, "5xx", 503, hour_ago) if one in failing else (0, *[None] * 4)))
            for tenant, ids in zip(tenants, endpoints, strict=True)
            for one in ids
        ]
        await self._copy("lanes", lanes)
        return tenants, endpoints

    async def _esims(self, tenant: Tenant, account: int, mode: Mode, share: float, _: int) -> list[UUID]:
        number_of = max(1, int(self._size.esims * share / self._shares[-1]))
        statuses = self._chance.choices(list(STATUSES), list(STATUSES.values()), k=number_of)
        label = f"{account:04d}{mode.value[0]}"
        rows = []
        for number, status in enumerate(statuses):
            at, known = self._moment(self._begins, DAYS * 86_400), f"{label}{number:09d}"
            names = (f"t-{known}", f"B{known}", f"K{known}", "Europe 5 GB 30 days", f"8952{account:04d}{number:011d}")
            rows.append(
                (_id(at), tenant.account_id, tenant.mode.value, at, at, *names, status.value, 5 * 2**30, number, 3)
            )
        rows.sort()
        await self._copy("esims", rows)
        return [row[0] for row in rows]

    async def _day(self, day: int, tenants: list[Tenant], endpoints: list[list[UUID]], esims: list[list[UUID]]) -> None:
        begins = self._begins + timedelta(days=day)
        length = min(86_400.0, (self._now - begins).total_seconds())
        part = length / (self._now - self._begins).total_seconds()
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in GROWING}
        while len(rows["deliveries"]) < self._size.deliveries * part:
            [index] = self._chance.choices(range(len(tenants)), cum_weights=self._shares)
            whose = Whose(tenants[index], endpoints[index], self._chance.choice(esims[index]))
            self._event(rows, whose, self._moment(begins, length))
        for _ in range(int(self._size.notifications * part)):
            rows["notifications"].append(self._notification(self._moment(begins, length)))
        for table in GROWING:
            await self._copy(table, sorted(rows[table], key=_first))

    def _event(self, rows: dict[str, list[tuple[Any, ...]]], about: Whose, at: datetime) -> None:
        event, [kind] = _id(at), self._chance.choices(list(TYPES), list(TYPES.values()))
        body = self._cipher.encrypt(self._bodies[kind], row=f"events.body.{event}")
        whose, esim, endpoints = (about.tenant.account_id, about.tenant.mode.value), about.esim, about.endpoints
        rows["events"].append((event, *whose, esim, kind.value, at, body))
        # The last endpoint of each is a quiet one; the first gets most.
        wanting = self._chance.sample(
            endpoints[:-1] or endpoints, k=min(len(endpoints), self._chance.choice((1, 1, 2)))
        )
        for endpoint in wanting if self._chance.random() > 0.0005 else [endpoints[-1]]:
            [status] = self._chance.choices(list(ENDED), list(ENDED.values()))
            self._delivery(rows, (*whose, event, kind.value, esim, endpoint), at, status)

    def _delivery(
        self, rows: dict[str, list[tuple[Any, ...]]], named: tuple[Any, ...], at: datetime, status: str
    ) -> None:
        delivery, account = _id(at), named[0]
        tries = 3 if status in ("failed", "pending") else 2 if self._chance.random() < 0.03 else 1
        for number in range(1, tries + 1):
            started = at + timedelta(milliseconds=5 * number)
            attempt, good = _id(started), status == "delivered" and number == tries
            took, answer = self._chance.randrange(20, 900), (("2xx", 200) if good else ("5xx", 503))
            body = self._cipher.encrypt(b"", row=response_row(attempt))
            rows["attempts"].append((attempt, account, delivery, number, started, took, *answer, "[]", body))
        ended = None if status == "pending" else at + timedelta(milliseconds=self._chance.randrange(40, 4000))
        rows["deliveries"].append((delivery, *named, status, tries, ended, *answer))
        if status == "pending":
            due = self._now + timedelta(hours=self._chance.randrange(1, 9))
            rows["queue"].append((delivery, account, named[5], named[2], named[3], named[4], due, tries, tries, at))

    def _notification(self, at: datetime) -> tuple[Any, ...]:
        note = _id(at)
        [outcome] = self._chance.choices(
            ("applied", "unchanged", "duplicate", "unmatched", "invalid"), (80, 15, 4, 1, 0.1)
        )
        encrypted = self._cipher.encrypt(b'{"notifyType": "DATA_USAGE"}', row=f"notifications.body.{note}")
        return (note, "upstream", at, "DATA_USAGE", outcome, REQUEST, encrypted)

    def _moment(self, begins: datetime, length: float) -> datetime:
        return begins + timedelta(milliseconds=self._chance.randrange(int(length * 1000)))

    async def _copy(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        await self._conn.copy_records_to_table(table, records=rows, columns=COLUMNS[table].split())


def _id(at: datetime) -> UUID:
    """Return a new UUIDv7 of that time."""
    random_bits = int.from_bytes(os.urandom(10))
    return UUID(
        int=first_id_of(at).int | 7 << 76 | (random_bits >> 62 & 0xFFF) << 64 | 2 << 62 | random_bits & (1 << 62) - 1
    )


def _first(row: tuple[Any, ...]) -> Any:
    return row[0]


async def history_of(conn: asyncpg.Connection) -> History:
    """Look into a filled database."""
    tenant = await conn.fetchrow("SELECT account_id, mode FROM deliveries GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1")
    rows = await conn.fetch(
        "SELECT endpoint_id FROM deliveries WHERE account_id = $1 AND mode = $2 GROUP BY 1 ORDER BY count(*) DESC",
        *tenant,
    )
    newest = await conn.fetchrow(
        "SELECT id, esim_id FROM events WHERE account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT 1", *tenant
    )
    now = made_at(newest["id"])
    return History(
        tenant=Tenant(tenant["account_id"], Mode(tenant["mode"])),
        busy=rows[0]["endpoint_id"],
        quiet=rows[-1]["endpoint_id"],
        esim=newest["esim_id"],
        begins=now - timedelta(days=DAYS),
        now=now,
    )
