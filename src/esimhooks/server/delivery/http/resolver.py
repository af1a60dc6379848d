"""Host names into addresses that may be dialled.

Comes in: a name. Goes out: all its addresses, or a refusal of the whole name if one of them is out of bounds: otherwise
its owner could choose which answer is used. Nothing is remembered; lookups of one name that overlap are made once.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from weakref import WeakValueDictionary

from esimhooks.server.delivery.http.exchange import Exchange, Stage
from esimhooks.server.delivery.http.gate import Gate

Lookup = Callable[[str], Sequence[str]]
"""Returns the addresses of a name, or raises `socket.gaierror`. Runs in a thread of its own, may block."""

THREADS = 64
"""Name servers that do not answer block a thread for up to half a minute each, also when nobody waits for it any longer."""
SHARE_OF_OWNER = THREADS // 8
"""Whoever has many names that are not answered leaves threads to the others."""

TRUSTED_S = 60.0
"""For so long after an answer of any kind our own resolver is taken to work."""

NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

PROBE = "esimhooks.invalid"
"""Never exists (RFC 6761): a resolver that works says so at once."""


def system_lookup(host: str) -> list[str]:
    """Ask the resolver of the system."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _look_up(lookup: Lookup, host: str) -> list[str]:
    """Return what was found; nothing, or a name that cannot even be looked up, is a name that does not exist."""
    try:
        addresses = list(lookup(host))
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "the name cannot be asked for") from error
    if not addresses:
        raise socket.gaierror(socket.EAI_NODATA, "no address")
    return addresses


def _end_turn(turn: asyncio.Semaphore, ended: "asyncio.Future[list[str]]") -> None:
    turn.release()
    if not ended.cancelled():
        ended.exception()  # it is for those who wait for the lookup


class GuardedResolver:
    """Resolves names. `gate` is None where all names are those of the operator (an egress proxy)."""

    def __init__(self, gate: Gate | None, lookup: Lookup) -> None:
        self._gate = gate
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dns")
        self._running: dict[str, Future[list[str]]] = {}
        self._turns = WeakValueDictionary[Hashable, asyncio.Semaphore]()
        self._answered_at = float("-inf")
        self._probing = False

    @property
    def trusted(self) -> bool:
        """Whether our own resolver has answered lately, if only that a name does not exist."""
        return time.monotonic() - self._answered_at < TRUSTED_S

    async def resolve(self, host: str, port: int, exchange: Exchange) -> Sequence[str]:
        """Return the addresses of the name, or raise `GateRefused` where one of them is; `socket.gaierror` without any."""
        loopback = self._gate.loopback() if self._gate and (host == "localhost" or host.endswith(".localhost")) else ()
        addresses = list(loopback)
        if not loopback:
            exchange.stage = Stage.LOOKUP
            exchange.lookup = await self._start(host, exchange.owner)
            # Shielded: others may wait for the same answer. The time limit is that of the whole attempt.
            addresses = await asyncio.shield(asyncio.wrap_future(exchange.lookup))
        if self._gate is not None:
            for address in addresses:
                self._gate.check_address(address, port, plain=exchange.plain, local=exchange.local)
        return addresses

    async def close(self) -> None:
        """Start no further lookups; those that are going on are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def probe_soon(self) -> None:
        """A lookup failed for want of an answer: find out in the background whether our resolver answers at all."""
        if not self._probing:
            self._probing = True
            self._pool.submit(self._probe)

    async def _start(self, host: str, owner: Hashable) -> Future[list[str]]:
        """Return the lookup of a name, begun once its owner has fewer than its share under way."""
        if (running := self._under_way(host)) is not None:
            return running
        turn = self._turns.setdefault(owner, asyncio.Semaphore(SHARE_OF_OWNER))
        await turn.acquire()
        if (running := self._under_way(host)) is not None:
            turn.release()
            return running
        started = self._running[host] = self._pool.submit(self._find, host)
        asyncio.wrap_future(started).add_done_callback(partial(_end_turn, turn))
        return started

    def _under_way(self, host: str) -> Future[list[str]] | None:
        running = self._running.get(host)
        return None if running is None or running.done() else running

    def _find(self, host: str) -> list[str]:
        try:
            addresses = _look_up(self._lookup, host)
        except socket.gaierror as error:
            if error.errno in NO_SUCH_NAME:
                self._answered_at = time.monotonic()
            raise
        else:
            self._answered_at = time.monotonic()
            return addresses
        finally:
            self._running.pop(host, None)

    def _probe(self) -> None:
        with suppress(OSError):
            self._find(PROBE)
        self._probing = False
