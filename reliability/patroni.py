"""PostgreSQL kept by Patroni with etcd: two members, one of them the synchronous standby of the other, each in a namespace.

A folder and the campaign's network come in. Started here from Debian's programs (`postgresql`, `patroni`, `etcd-server`);
Patroni says which member is the primary, over HTTP. What befalls them stands in `faults`.
"""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from esimhooks.server.store.system_account import account_for
from reliability.network import DATABASE, Network
from reliability.postgres import NAME, Postgres
from reliability.processes import GaveUp, launched, run, until

MEMBERS = ("member-1", "member-2")
PROGRAMS = ("etcd", "patroni")
READY_S = 120.0
ANSWER_S = 1.0
TTL_S, LOOP_S, RETRY_S = 20, 2, 5
CONFIG: dict[str, Any] = {
    "scope": NAME,
    "etcd3": {"host": f"{DATABASE}:2379"},
    "bootstrap": {
        "dcs": {
            "ttl": TTL_S,
            "loop_wait": LOOP_S,
            "retry_timeout": RETRY_S,
            "synchronous_mode": True,
            "primary_start_timeout": 0,
            "master_start_timeout": 0,
            "postgresql": {
                "use_pg_rewind": True,
                "parameters": {
                    "fsync": "on",
                    "synchronous_commit": "on",
                    "max_connections": 100,
                    "max_locks_per_transaction": 128,
                    "shared_buffers": "128MB",
                    "tcp_user_timeout": 8000,
                    "wal_sender_timeout": "8s",
                    "wal_receiver_timeout": "8s",
                },
            },
        },
        "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
    },
}


class Member:
    """One server with its Patroni, at an address of the database's network."""

    def __init__(self, name: str, work: Path, network: Network) -> None:
        self.name = name
        self.address = network.connect(name).replace("10.213.2.", "10.213.1.")
        self.data = work / name
        self._inside = network.inside(name)
        self._log = work / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, programs: Path) -> None:
        """Start Patroni, which starts or makes the server."""
        self.data.mkdir(exist_ok=True)
        account = account_for(self.data / "server")
        account.own(self.data)
        config = self.data / "patroni.json"
        config.write_text(json.dumps(self._config(programs)), encoding="utf-8")
        account.own(config)
        user = ("setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
        known = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(self.data)}
        self._process = launched((*self._inside, *user, "patroni", str(config)), self._log, env=known)

    def kill(self, *, server_only: bool = False) -> None:
        """Kill the server with all its processes, and Patroni with it, as a power cut does, unless `server_only`."""
        family = [one for one in psutil.process_iter(["cmdline"]) if self._is_server(one)]
        with suppress(psutil.Error):
            if self._process is not None and not server_only:
                family.insert(0, psutil.Process(self._process.pid))
        for one in family:
            with suppress(psutil.Error):
                for child in (*one.children(recursive=True), one):
                    with suppress(psutil.Error):
                        child.send_signal(signal.SIGKILL)
        if self._process is not None and not server_only:
            self._process.wait()

    def state(self) -> dict[str, Any]:
        """Return what Patroni says of itself, empty where it does not answer."""
        with suppress(OSError, ValueError):
            request = urllib.request.Request(f"http://{self.address}:8008/patroni")
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - our own
                found: dict[str, Any] = json.loads(answer.read())
                return found
        return {}

    def is_synchronous_standby(self) -> bool:
        """Whether etcd names it as the synchronous standby: only such a one is promoted, whatever the primary says of it."""
        with suppress(OSError):
            url = f"http://{self.address}:8008/synchronous"
            with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
                return bool(answer.status == HTTPStatus.OK)
        return False

    def _is_server(self, process: psutil.Process) -> bool:
        words = process.info["cmdline"] or []
        return str(self.data / "server") in words

    def _config(self, programs: Path) -> dict[str, Any]:
        access = [
            f"host all all {DATABASE}/24 trust",
            f"host replication all {DATABASE}/24 trust",
            "local all all trust",
        ]
        login = {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"}}
        return CONFIG | {
            "name": self.name,
            "restapi": {"listen": f"{self.address}:8008", "connect_address": f"{self.address}:8008"},
            "postgresql": {
                "listen": f"{self.address}:5432",
                "connect_address": f"{self.address}:5432",
                "data_dir": str(self.data / "server"),
                "bin_dir": str(programs),
                "pgpass": str(self.data / "pgpass"),
                "authentication": login,
                "pg_hba": access,
                "parameters": {"unix_socket_directories": str(self.data)},
            },
        }


class Cluster(Postgres):
    """The members and the etcd that they agree by. It is made once, and started again where it was killed."""

    def __init__(self, work: Path, network: Network) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if missing or not servers:
            raise GaveUp("patroni, etcd-server and postgresql are needed: apt-get install them")
        super().__init__(work / "etcd", revived_by_node=False)
        self.members = [Member(name, work, network) for name in MEMBERS]
        self._programs = servers[-1]
        self._work = work
        self._network = network
        self._etcd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for nodes: all members, of which the primary is wanted."""
        hosts = ",".join(f"{one.address}:5432" for one in self.members)
        return f"postgresql://{NAME}@{hosts}/{NAME}?target_session_attrs=read-write&connect_timeout=3"

    @property
    def ready(self) -> bool:
        """Whether there is a primary with a synchronous standby."""
        return self.primary() is not None and self._has_standby()

    def primary(self, *, but_not: Member | None = None) -> Member | None:
        """Return the member that takes writes, None where none does."""
        for one in self.members:
            state = one.state() if one is not but_not else {}
            if state.get("role") in ("master", "primary") and state.get("state") == "running":
                return one
        return None

    async def promoted(self, *, but_not: Member) -> Member:
        """Return another member once it has become the primary. Raises `GaveUp`."""
        await until(lambda: self.primary(but_not=but_not) is not None, "a promotion", within_s=READY_S)
        found = self.primary(but_not=but_not)
        if found is None:
            raise GaveUp("the new primary went away again")
        return found

    async def whole(self) -> None:
        """Return once there is a primary with a synchronous standby. Raises `GaveUp`."""
        await until(lambda: self.ready, "a synchronous standby", within_s=READY_S)

    def switch_over(self, old: Member, new: Member) -> None:
        """Have the standby become the primary in an orderly way."""
        body = json.dumps({"leader": old.name, "candidate": new.name}).encode()
        request = urllib.request.Request(
            f"http://{old.address}:8008/switchover", data=body, headers={"content-type": "application/json"}
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=READY_S):  # noqa: S310 - our own
            pass

    def cut(self, member: Member) -> None:
        """Pull the member's cable: packets vanish without an error."""
        self._network.cut(member.name)

    def mend(self, member: Member) -> None:
        """Plug it in again."""
        self._network.mend(member.name)

    def restart(self, member: Member) -> None:
        """Start a member that was killed."""
        member.start(self._programs)

    async def make(self) -> None:
        """Make the cluster with login and database."""
        await self.start()
        primary = self.primary()
        if primary is None:
            raise GaveUp("there is no primary")
        psql = (str(self._programs / "psql"), "-h", primary.address, "-U", "postgres", "-c")
        run(*psql, f"CREATE ROLE {NAME} LOGIN")
        run(*psql, f"CREATE DATABASE {NAME} OWNER {NAME}")

    async def start(self) -> None:
        """Start etcd and the members. Raises `GaveUp`."""
        self.data.mkdir(exist_ok=True)
        where = f"http://{DATABASE}:2379"
        options = ("--data-dir", str(self.data), "--listen-client-urls", where, "--advertise-client-urls", where)
        self._etcd = launched(("etcd", *options), self._work / "etcd.log")
        for one in self.members:
            one.start(self._programs)
        await self.whole()

    async def kill(self) -> None:
        """Kill all there is."""
        for one in self.members:
            one.kill()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()

    def _has_standby(self) -> bool:
        return any(one.is_synchronous_standby() for one in self.members)
