"""Sessions of the dashboard: a caller in, a token out; later the token in, whose it is out. Shared by all nodes."""

import hashlib
import secrets

from esimhooks.server.domain.account import DashboardSession
from esimhooks.server.domain.audit import Action
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.store import keys
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database

TOKEN_BYTES = 32


class Sessions:
    """Opens, finds and ends keys. Raises `NotNow` where the database does not answer."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, session: DashboardSession, *, whose: Tenant | None) -> str:
        """Return the token of a new session, of a tenant or of an operator (None); only its digest is stored."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        async with self._database.transaction() as db:
            await keys.start_session(db, _digest(token), session, now=self._clock())
            await note(db, Action.DASHBOARD_SIGN_IN, "dashboard", whose=whose)
        return token

    async def find(self, token: str, *, by_person: bool) -> DashboardSession | None:
        """Return whose the session is, or None; what a page asks for by itself does not keep it alive."""
        now = self._clock()
        async with self._database.session() as db:
            found = await keys.find_session(db, _digest(token), now=now)
            if found is not None and by_person:
                await keys.note_session_use(db, _digest(token), now=now)
            return found

    async def end(self, token: str) -> None:
        """End the session."""
        async with self._database.session() as db:
            await keys.end_session(db, _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
