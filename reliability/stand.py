"""The stand: the server under test as an operator would run it, with what can be done to it.

Three variants: `nodes` (one that takes in and sends, two dispatchers and a scheduler on a PostgreSQL of their own),
`embedded` (one node that starts its PostgreSQL), and `patroni` (two nodes of all roles on a primary with a standby). What
takes in and sends has several processes. Nodes that end by themselves are started again, as systemd would.
"""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

from reliability import network
from reliability.clock import Clock
from reliability.disk import SmallDisk
from reliability.lines import Kind
from reliability.nodes import PROGRAM, Node, environment
from reliability.patroni import Cluster
from reliability.postgres import OwnPostgres, Postgres
from reliability.processes import GaveUp
from reliability.state import State

ROLES = {"api": "api,dispatcher", "dispatcher-1": "dispatcher", "dispatcher-2": "dispatcher", "scheduler": "scheduler"}
PROCESSES = 2
"""Of each node that takes in and sends."""
CHECK_EVERY_S = 0.5


class Stand:
    """Nodes and their database. `host` is where the API and the receiver listen."""

    def __init__(self, state: State) -> None:
        self.work = Path(state.work)
        self.network = network.Network() if state.isolated else None
        self.host = network.OUTSIDE if self.network else "127.0.0.1"
        self.disk = SmallDisk(self.work / "disk") if state.isolated else None
        self.clocks: dict[str, Clock] = {}
        self.nodes: list[Node] = []
        self._state = state
        self._embedded = state.options.variant == "embedded"
        data = (self.disk.folder if self.disk else self.work) / "data"
        self.cluster: Cluster | None = None
        self.own: OwnPostgres | Cluster
        self.postgres: Postgres
        if state.options.variant == "patroni":
            if self.network is None:
                raise GaveUp("a cluster needs namespaces of its own, and so root")
            self.cluster = Cluster(self.work, self.network)
            self.own = self.postgres = self.cluster
            for name in ("node-1", "node-2"):
                self._add(name, "all", self._settings(name, self.host) | {"database_url": self.cluster.url})
        elif self._embedded:
            data.mkdir(exist_ok=True)
            self.postgres = Postgres(data / "postgres", revived_by_node=True)
            settings = self._settings("server", self.host) | {"data_dir": str(data)}
            self._add("server", "all", settings)
        else:
            address = network.DATABASE if self.network else None
            self.own = OwnPostgres(data, self.work / "postgres.log", address=address)
            self.postgres = self.own
            for name, roles in ROLES.items():
                settings = self._settings(name, self.host) | {"database_url": self.own.url}
                self._add(name, roles, settings)

    @property
    def url(self) -> str:
        """The address of the API."""
        node = self.nodes[0]
        return f"http://{node.address or self.host}:{self._state.api_port}"

    @property
    def dispatchers(self) -> list[Node]:
        """Nodes that send."""
        return [node for node in self.nodes if node.dispatches]

    @property
    def families(self) -> list[Node]:
        """Nodes of several processes."""
        return [node for node in self.nodes if node.processes > 1]

    def kinds(self) -> frozenset[Kind]:
        """Return the faults that can be made here."""
        if self.cluster is not None:
            return frozenset({Kind.FAILOVER, Kind.ISOLATION, Kind.SWITCHOVER})
        possible = {Kind.KILL, Kind.POWER, Kind.DATABASE_KILL, Kind.BACKEND_KILL, Kind.DATABASE_RESTART, Kind.ROLLING}
        if self.families:
            possible |= {Kind.CHILD_KILL, Kind.PARENT_KILL}
        if len(self.dispatchers) > 1:
            possible.add(Kind.PAUSE)
        if self.clocks:
            possible.add(Kind.CLOCK)
        if self.network is not None and not self._embedded:
            possible.add(Kind.NETWORK)
        if self.disk is not None:
            possible.add(Kind.DISK)
        return frozenset(possible)

    async def start(self) -> None:
        """Start everything; the first time, make the database. Raises `GaveUp`."""
        if not self._embedded:
            if self.own.data.exists():
                await self.own.start()
            else:
                await self.own.make()
            await self._migrate()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            await node.started()

    async def stop(self) -> None:
        """End everything, the nodes by SIGTERM; what does not end is killed."""
        for node in self.nodes:
            try:
                await node.stop()
            except GaveUp:
                node.kill()
        await self.postgres.kill()

    async def watch(self, on_exit: Callable[[Node], None]) -> None:
        """Start nodes again that end by themselves, until cancelled; `on_exit` is called before."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            for node in self.nodes:
                if node.wanted and node.exit_code is not None:
                    on_exit(node)
                    node.start()

    def _settings(self, name: str, host: str) -> dict[str, str]:
        folder = self.work / name
        folder.mkdir(exist_ok=True)
        return {
            "data_dir": str(folder),
            "host": host,
            "port": str(self._state.api_port),
            "admin_key": self._state.admin_key,
            "encryption_key": self._state.encryption_key,
            "allow_networks": f"127.0.0.0/8,{network.EVERYWHERE}",
            "usage_interval": "0",
            "log_level": "warning",
        }

    def _add(self, name: str, roles: str, settings: dict[str, str]) -> None:
        address = self.network.connect(name) if self.network else ""
        more: dict[str, str] = {}
        # libfaketime breaks time.sleep, which only the embedded PostgreSQL needs, and leaves files in /dev/shm.
        if self.network and not self._embedded:
            clock = Clock(self.work / f"{name}.clock")
            more = clock.environment()
            if more:
                self.clocks[name] = clock
        self.nodes.append(
            Node(
                name,
                settings=settings | ({"host": address} if address else {}),
                roles=roles,
                processes=PROCESSES if self.cluster is None and roles in ("all", "api,dispatcher") else 1,
                output=self.work / f"{name}.log",
                address=address,
                wrapper=self.network.inside(name) if self.network else (),
                more_environment=more,
            )
        )

    async def _migrate(self) -> None:
        settings = self._settings("migrate", self.host) | {"database_url": self.own.url}
        command = (*PROGRAM, "migrate")
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment(settings), capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            raise GaveUp(f"esimhooks migrate: {done.stderr.strip()}")
