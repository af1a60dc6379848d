"""The recipes of docs/receiving.md: each starts as it says, is graded by `check-receiver`, is killed and loses nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession

from api import eventually
from esimhooks import EventType, open_inbox
from esimhooks.signing import new_secret
from esimhooks.testing import signed_request
from esimhooks.vocabulary.examples import example_of
from examples.example_process import ROOT, ExampleProcess, example, passes_every_check

BIN = Path(sys.executable).parent
FOLDER = Path("examples/receivers")
DJANGO = FOLDER / "django_project"
UVICORN: list[str | Path] = [BIN / "uvicorn", "--port", "0", "--app-dir"]
FLASK: list[str | Path] = [BIN / "flask", "--app"]
SENT = 20
MIGRATE: list[str | Path] = [sys.executable, DJANGO / "manage.py", "migrate", "--run-syncdb"]


@dataclass
class Recipe:
    """`server`: the command that prints an address. `beside`: what runs beside it; what it prints is looked at, too."""

    server: list[str | Path]
    before: list[str | Path] = field(default_factory=list)
    beside: list[str | Path] = field(default_factory=list)
    path: str = "/webhooks/esim"


RECIPES = {
    "fastapi": Recipe([*UVICORN, FOLDER, "fastapi_app:app"]),
    "starlette": Recipe([*UVICORN, FOLDER, "starlette_app:app"]),
    "litestar": Recipe([*UVICORN, FOLDER, "litestar_app:app"]),
    "asgi": Recipe([*UVICORN, FOLDER, "asgi_app:receiver"]),
    "flask": Recipe([*FLASK, FOLDER / "flask_app.py", "run", "--port", "0"]),
    "celery": Recipe(
        [*FLASK, FOLDER / "celery_app.py", "run", "--port", "0"],
        beside=[BIN / "celery", "--workdir", FOLDER, "--app", "celery_app:celery", "worker", "--concurrency", "2"],
    ),
    "django wsgi": Recipe(
        [sys.executable, DJANGO / "manage.py", "runserver", "127.0.0.1:0", "--noreload"], before=MIGRATE
    ),
    "django asgi": Recipe([*UVICORN, DJANGO, "project:asgi_application"], before=MIGRATE),
    "lambda": Recipe([sys.executable, Path("tests/examples/lambda_gateway.py"), FOLDER]),
}


class Running:
    """A recipe that runs, and what all of its processes have printed."""

    def __init__(self, processes: list[ExampleProcess], path: str) -> None:
        self._processes = processes
        self._path = path

    @property
    def url(self) -> str:
        return self._processes[0].url + self._path

    async def started(self) -> None:
        await self._processes[0].started()

    def printed(self) -> str:
        return "".join(process.printed() for process in self._processes)


@contextmanager
def running(recipe: Recipe, folder: Path, environment: dict[str, str]) -> Iterator[Running]:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(example(command, folder / f"output-{number}", environment))
            for number, command in enumerate([recipe.server, recipe.beside])
            if command
        ]
        yield Running(processes, recipe.path)


def _let_leases_end(inbox: str) -> None:
    """Move on the clock of what was at work when its process was killed."""
    with open_inbox(inbox) as opened, opened._database.writing() as session:
        session.run("UPDATE esimhooks_runs SET due_at = 0 WHERE state = 'running'")


async def _send(url: str, secret: str, count: int) -> list[str]:
    """Send events as fast as they are taken; return their ids."""
    requests = [signed_request(secret, "esim.activated") for _ in range(count)]
    async with ClientSession() as session:

        async def one(number: int) -> int:
            request = requests[number]
            async with session.post(url, data=request.body, headers=request.headers) as answer:
                return answer.status

        assert await asyncio.gather(*(one(number) for number in range(count))) == [200] * count
    return [request.headers["webhook-id"] for request in requests]


@pytest.mark.slow(
    reason="starts servers as processes, sends them more than a hundred requests, kills and restarts them"
)
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_passes_every_check_calls_its_handler_and_loses_nothing_when_it_is_killed(
    name: str, tmp_path: Path
) -> None:
    recipe, secret = RECIPES[name], new_secret()
    inbox = f"sqlite:///{tmp_path / 'inbox.db'}"
    (tmp_path / "queue").mkdir()
    environment = {
        "ESIMHOOKS_WEBHOOK_SECRET": secret,
        "ESIMHOOKS_INBOX": inbox,
        "DJANGO_DATABASE": str(tmp_path / "inbox.db"),
        "CELERY_BROKER": "filesystem://",
        "CELERY_FOLDER": str(tmp_path / "queue"),
    }

    async def worked_off() -> bool:
        with open_inbox(inbox) as opened:
            stats = opened.stats()
        return stats.done > 0 and stats.waiting + stats.running == 0

    if recipe.before:
        await asyncio.to_thread(subprocess.run, recipe.before, cwd=ROOT, env=os.environ | environment, check=True)
    with running(recipe, tmp_path, environment) as server:
        await server.started()
        await asyncio.to_thread(passes_every_check, server.url, secret)
        await eventually(worked_off, within_s=20)

        async def printed() -> bool:
            return f"esim.activated {example_of(EventType.ACTIVATED).data.id}" in server.printed()

        await eventually(printed, within_s=20)
        ids = await _send(server.url, secret, SENT)  # and killed on the spot
    _let_leases_end(inbox)
    with running(recipe, tmp_path, environment) as server:
        await server.started()
        ids += await _send(server.url, secret, 1)
        await eventually(worked_off, within_s=75)
    with open_inbox(inbox) as opened:
        assert opened.dead_letters() == []
        with opened._database.reading() as session:
            done = session.rows("SELECT DISTINCT event_id FROM esimhooks_runs WHERE state = 'done'")
    assert set(ids) <= {event_id for (event_id,) in done}
