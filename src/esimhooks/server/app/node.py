"""The composition root: settings come in, a running node goes out. Only `app` imports every package."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession, DummyCookieJar

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.buckets import Buckets, SharedBuckets
from esimhooks.server.api.installation import Installation, services
from esimhooks.server.api.limits import LoginThrottle, RateLimit
from esimhooks.server.app import server
from esimhooks.server.app.asgi import application
from esimhooks.server.app.connections import Connections
from esimhooks.server.app.prepare import Prepared, endpoint_defaults, prepare
from esimhooks.server.app.server import WebServer
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.app.supervisor import Supervisor
from esimhooks.server.delivery.dispatcher import Dispatcher, DispatcherConfig
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.lease_manager import LeaseConfig
from esimhooks.server.delivery.node_lanes import NodeLanes
from esimhooks.server.delivery.results import ResultWriter
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.ingest.fan_out import FanOuts
from esimhooks.server.ingest.inbound import Intake, Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.ingest.store_first import Bounds, StoreFirst
from esimhooks.server.jobs.background import BackgroundJobs
from esimhooks.server.jobs.backlog import Backlog
from esimhooks.server.jobs.due_work import DueWork
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.jobs.retention import Retention
from esimhooks.server.jobs.scheduler import QueueMetrics, Scheduler
from esimhooks.server.jobs.stored_notifications import StoredNotifications
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.streams import Streams
from esimhooks.server.observe import tracing
from esimhooks.server.observe.metrics import MetricsPort
from esimhooks.server.observe.refused import Refusals
from esimhooks.server.providers.registry import build
from esimhooks.server.runtime.health import Health, Siblings
from esimhooks.server.runtime.loop import Loop, Wake
from esimhooks.server.runtime.notifier import Notifier
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.database_clock import DatabaseClock
from esimhooks.server.store.due_work import Work
from esimhooks.server.store.encryption import Cipher

CONNECTIONS, MIN_CONNECTIONS = 12, 5
DISPATCHER_PAUSE_S = 1.0
"""The longest between its rounds while the database is away: others take it for dead where it does not report soon after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A node that takes requests. `admin_key_is_new` where it was made at this start and must be shown once."""

    url: str
    admin_key: str
    admin_key_is_new: bool
    data_dir: Path | None


@asynccontextmanager
async def running(settings: Settings, stop: asyncio.Event | None = None) -> AsyncIterator[Running]:
    """Run a node in this process while the context lasts, then drain it: no new work, finish, write, release.

    `stop` is set should the node end by itself. Raises `Broken` where it cannot start.
    """
    async with AsyncExitStack() as stack:
        prepared, loops = await prepare(settings, stack)
        listening = server.bind_socket(settings.host, settings.port) if Role.API in settings.roles else None
        if settings.metrics_port is not None:
            stack.callback(MetricsPort(settings.host, settings.metrics_port).close)
        yield await stack.enter_async_context(
            working(settings, prepared, stop or asyncio.Event(), listening=listening, more_loops=loops)
        )


@asynccontextmanager
async def working(
    settings: Settings,
    prepared: Prepared,
    stop: asyncio.Event,
    *,
    listening: socket.socket | None,
    more_loops: Sequence[Loop] = (),
    siblings: Siblings | None = None,
) -> AsyncIterator[Running]:
    """Work on an installation that is prepared while the context lasts, then drain; beside `siblings`, if any."""
    async with AsyncExitStack() as stack:
        if (end_traces := tracing.begin()) is not None:
            stack.push_async_callback(asyncio.to_thread, end_traces)
        cipher = Cipher(prepared.encryption_keys)
        processes = siblings.slot.processes if siblings and siblings.slot else 1
        max_connections = settings.database_connections or connections_of(processes)
        database = await connect(prepared.dsn, cipher, connections=max_connections, pooled=settings.database_pooled)
        stack.push_async_callback(database.close)
        session = ClientSession(cookie_jar=DummyCookieJar(), trust_env=False)
        stack.push_async_callback(session.close)
        sender = Sender(
            Gate(settings.allow_networks),
            proxy=settings.egress_proxy.get_secret_value() if settings.egress_proxy else None,
        )
        stack.push_async_callback(sender.close)
        node = _Node(settings, prepared, database, session, sender, siblings or Siblings())
        yield await stack.enter_async_context(node.running(stop, listening, more_loops))


class _Node:
    """The objects of one node, and the order in which they start and end."""

    def __init__(
        self,
        settings: Settings,
        prepared: Prepared,
        database: Database,
        session: ClientSession,
        sender: Sender,
        siblings: Siblings,
    ) -> None:
        self._settings = settings
        self._prepared = prepared
        self._database = database
        self._clock = DatabaseClock(database)
        self._sender = sender
        self._connected = ProviderClients(
            database, lambda config, pace: build(config, session, pace), clock=self._clock
        )
        self._policy = EmitPolicy(
            thresholds=settings.thresholds,
            usage_interval_s=settings.usage_interval_s,
            public_url=settings.base_url if settings.public_url or settings.port else None,
        )
        self._streams = Streams(database)
        self._dispatch_wake = Wake(self._streams.wake)
        self._notifier = Notifier(database, _listen_address(settings, prepared.dsn), wake=self._dispatch_wake)
        self._due = Wake(self._dispatch_wake, self._notifier.wake)
        self._backlog_wake = Wake()
        self._recovery_wake = Wake()
        self._requery_wake = Wake()
        self._fan_out_wake = Wake()
        self._doubts_wake = Wake()
        self._wakes = Wakes(
            due=self._due,
            backlog=self._backlog_wake,
            fan_out=self._fan_out_wake,
            doubts=self._doubts_wake,
            streams=self._streams.wake,
        )
        self._results = ResultWriter(database, clock=self._clock, due=self._due)
        self._dispatcher = self._make_dispatcher() if Role.DISPATCHER in settings.roles else None
        self._requery = Requery(self._connected, policy=self._policy, wakes=self._wakes)
        self._jobs_wake = Wake(self._recovery_wake, self._requery_wake)
        self._jobs = BackgroundJobs(database, self._requery, policy=self._policy, clock=self._clock, wakes=self._wakes)
        self._slot = siblings.slot
        self._node_lanes = None
        if self._dispatcher is not None and siblings.slot is not None and Role.API in settings.roles:
            self._node_lanes = NodeLanes(self._dispatcher, siblings.slot)
        self._stored_wake = Wake()
        bounds = Bounds(
            begins_at=settings.store_first, rows=settings.store_first_rows, age_s=settings.store_first_age_s
        )
        self._store_first = StoreFirst(database, bounds, wake=self._stored_wake)
        self._intake = Intake(
            database,
            self._connected,
            policy=self._policy,
            wakes=self._wakes,
            lanes=self._node_lanes or self._dispatcher,
            store_first=self._store_first,
        )
        self._health = Health(database, siblings)

    @asynccontextmanager
    async def running(
        self, stop: asyncio.Event, listening: socket.socket | None, more_loops: Sequence[Loop]
    ) -> AsyncIterator[Running]:
        """Run all loops, and the web server where there is a socket for it, while the context lasts."""
        with suppress(NotNow):  # its loop reads it again
            await self._clock.read()
        web = self._web(listening) if listening else None
        supervisor = self._supervisor(more_loops)
        async with self._node_lanes or nullcontext(), asyncio.TaskGroup() as group:
            loops = group.create_task(supervisor.run(), name="supervisor")
            loops.add_done_callback(lambda _: stop.set())
            served = group.create_task(web.run(), name="web") if web else None
            if web:
                await web.wait_until_started()
            try:
                yield Running(
                    url=url_of(self._settings, listening),
                    admin_key=self._prepared.admin_key,
                    admin_key_is_new=self._prepared.admin_key_is_new,
                    data_dir=None if self._settings.database_url else self._settings.data_dir,
                )
            finally:
                self._health.draining = True
                if web and served:
                    web.stop()
                    await asyncio.wait([served])
                supervisor.stop()

    def _web(self, listening: socket.socket) -> WebServer:
        clock, settings, refusals = self._clock, self._settings, Refusals()
        connections = Connections(
            max_connections=settings.connections,
            # Behind a proxy all connections come from its address; it is the one to count them.
            max_per_address=None if settings.trusted_proxies else settings.connections_address,
            refusals=refusals,
        )
        installation = Installation(
            clock=clock,
            keys_limit=RateLimit(settings.rate_limit_key, scope="key", buckets=self._buckets("keys")),
            wakes=(self._due, self._backlog_wake, self._fan_out_wake, self._jobs_wake),
            brand=settings.brand,
            thresholds=settings.thresholds,
            public_url=url_of(settings, listening),
            metrics_token=token.get_secret_value() if (token := settings.metrics_token) else None,
            frame_origins=settings.frame_origins,
            show_components=settings.show_components,
            data_folder=settings.data_dir,
        )
        authenticator = Authenticator(
            self._database,
            admin_key=self._prepared.admin_key,
            trusted_proxies=settings.trusted_proxies,
            clock=clock,
            addresses=RateLimit(settings.rate_limit_address, scope="address", buckets=self._buckets("addresses")),
            throttle=LoginThrottle(
                tries_per_minute=settings.tries_address, refusals=refusals, buckets=self._buckets("tries")
            ),
        )
        rules = EndpointRules(
            defaults=endpoint_defaults(settings),
            check_url=Gate(settings.allow_networks).check_url,
            clock=clock,
            brand=settings.brand,
        )
        all_services = services(
            authenticator,
            installation,
            rules,
            self._connected,
            self._database,
            self._health,
            self._intake,
            self._requery,
            self._streams,
        )
        return WebServer(application(all_services), listening, connections=connections)

    def _buckets(self, what: str) -> Buckets | None:
        """Return the buckets that the processes of the node share; None where it is only one."""
        if self._slot is None:
            return None
        return SharedBuckets(self._slot.folder / f"{what}.buckets", secret=self._slot.folder.name.encode())

    def _supervisor(self, more_loops: Sequence[Loop]) -> Supervisor:
        roles, dispatcher = self._settings.roles, self._dispatcher
        intake, storing, results = self._intake.commits, self._store_first.commits, self._results.commits
        return Supervisor(
            jobs=[
                *(self._scheduler_loops() if Role.SCHEDULER in roles else []),
                *self._notifier.loops(),
                Loop("clock", self._clock.read),
                Loop("queue figures", QueueMetrics(self._database, clock=self._clock).refresh),
                *more_loops,
                *([self._node_lanes.loop()] if self._node_lanes else []),
            ],
            intake=[
                Loop("intake", intake.commit_waiting, wake=intake.wake),
                Loop("storing", storing.commit_waiting, wake=storing.wake),
                Loop("streams", self._streams.wake_readers, wake=self._streams.wake),
            ]
            if Role.API in roles
            else [],
            dispatching=Loop(
                "dispatcher", dispatcher.dispatch, wake=self._dispatch_wake, max_pause_s=DISPATCHER_PAUSE_S
            )
            if dispatcher
            else None,
            dispatcher=dispatcher,
            results=Loop("outcomes", results.commit_waiting, wake=results.wake) if dispatcher else None,
        )

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self._database,
            self._sender,
            self._results,
            clock=self._clock,
            wake=self._dispatch_wake,
            config=DispatcherConfig(
                max_in_flight=self._settings.max_in_flight,
                max_in_flight_lane=self._settings.max_in_flight_lane,
                brand=self._settings.brand,
                leases=LeaseConfig(backend=(lambda: self._notifier.backend) if self._notifier.listens else None),
            ),
        )

    def _scheduler_loops(self) -> list[Loop]:
        backlog = Backlog(self._database, self._connected, policy=self._policy, clock=self._clock, wakes=self._wakes)
        stored = StoredNotifications(self._database, self._connected, policy=self._policy, wakes=self._wakes)
        scheduler = Scheduler(
            self._database,
            self._connected,
            policy=self._policy,
            clock=self._clock,
            wakes=self._wakes,
            retention_days=self._settings.retention_days,
        )
        fan_outs = FanOuts(self._database, due=self._due)
        retention = Retention(
            self._database, days=self._settings.retention_days, audit_days=self._settings.audit_days, clock=self._clock
        )
        by_work = {
            Work.BACKLOG: Loop("backlog", backlog.process_due, wake=self._backlog_wake),
            Work.STORED: Loop("stored notifications", stored.process_due, wake=self._stored_wake),
            Work.REQUERIES: Loop("requeries", self._jobs.process_due_requeries, wake=self._requery_wake),
            Work.RECOVERIES: Loop("recoveries", self._jobs.process_due_recoveries, wake=self._recovery_wake),
            Work.FAN_OUTS: Loop("fan-out", fan_outs.process_due, wake=self._fan_out_wake),
            Work.EXPIRY: Loop("expiry", scheduler.expire),
            Work.PENDING_USAGE: Loop("pending usage", scheduler.emit_pending_usage),
            Work.ORDER_POLLS: Loop("order polls", scheduler.poll_orders),
        }
        due_work = DueWork(self._database, {work: loop.wake for work, loop in by_work.items()})
        return [
            *by_work.values(),
            Loop("backlog queries", backlog.run_queries, endless=True),
            Loop("due work", due_work.wake_due),
            Loop("usage polls", scheduler.poll_usage),
            Loop("provider doubts", scheduler.report_doubts, wake=self._doubts_wake),
            Loop("provider silence", scheduler.check_for_silence),
            Loop("provider troubles", scheduler.report_troubles),
            Loop("partitions", scheduler.make_partitions),
            Loop("overdue deliveries", scheduler.fail_overdue),
            Loop("endpoint health", scheduler.report_health),
            Loop("tidying", scheduler.clean_up),
            Loop("retention", retention.drop_old_days),
        ]


def connections_of(processes: int) -> int:
    """Return how many connections to the database each process of a node may open."""
    return max(MIN_CONNECTIONS, min(CONNECTIONS, 2 * CONNECTIONS // processes))


def url_of(settings: Settings, listening: socket.socket | None) -> str:
    """Return the address of a node, with the port that was taken where 0 was set."""
    port = int(listening.getsockname()[1]) if listening else settings.port
    return settings.model_copy(update={"port": port}).base_url


def _listen_address(settings: Settings, dsn: str) -> str | None:
    """Return where to listen, None where that is impossible: a pooler in transaction mode stands between."""
    if settings.listen_url is not None:
        return settings.listen_url.get_secret_value()
    return None if settings.database_pooled else dsn
