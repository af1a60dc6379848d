"""A provider's API over real HTTP for tests: what it answers is set by path, its requests are kept."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class FakeProvider:
    """Answers by `METHOD /path?query`; what is not set is 404. `requests` has what came, with headers and body."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    def says(self, call: str, answer: Any, *, status: int = 200) -> None:
        """Set what a call is answered from now on."""
        self.answers[call] = (status, answer)

    def calls(self) -> list[str]:
        """Return the calls, in order."""
        return [call for call, _, _ in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        call = f"{request.method} {request.path_qs}"
        self.requests.append((call, dict(request.headers), await request.read()))
        status, answer = self.answers.get(call, (404, {"message": "not found"}))
        return web.json_response(answer, status=status)


@asynccontextmanager
async def fake_provider() -> AsyncIterator[FakeProvider]:
    """Run one on a port of its own."""
    fake = FakeProvider()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()
