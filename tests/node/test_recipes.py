"""The recipes for Node: each starts as it says, is graded by `check-receiver`, is killed, and works off what was left."""

import asyncio
from pathlib import Path

import pytest

from api import eventually
from esimhooks import EventType, open_inbox
from esimhooks.signing import new_secret
from esimhooks.vocabulary.examples import example_of
from examples.example_process import ROOT, example, passes_every_check

FOLDER = ROOT / "examples" / "node"
NEXT = ROOT / "examples" / "next"
RECIPES: dict[str, list[str | Path]] = {
    "express": ["node", FOLDER / "express.js"],
    "hono": ["node", FOLDER / "hono.js"],
    "lambda": ["node", FOLDER / "lambda_local.js"],
    "nest": ["node", FOLDER / "nest" / "build" / "main.js"],
    "next": ["node", NEXT / "node_modules" / "next" / "dist" / "bin" / "next", "start", NEXT, "-H", "127.0.0.1"],
}
POSTGRES_ONLY = {"next"}

pytestmark = [pytest.mark.slow(reason="starts a Node process twice"), pytest.mark.timeout(120)]


@pytest.fixture
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.getfixturevalue("name") in POSTGRES_ONLY:
        return str(request.getfixturevalue("empty_database"))
    return f"sqlite:///{tmp_path / 'inbox.db'}"


@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_passes_every_check_and_works_off_what_a_kill_has_left(
    name: str, inbox: str, tmp_path: Path
) -> None:
    secret = new_secret()
    environment = {"ESIMHOOKS_WEBHOOK_SECRET": secret, "ESIMHOOKS_INBOX": inbox, "PORT": "0"}
    environment |= {"NODE_ENV": "production", "NEXT_TELEMETRY_DISABLED": "1"}

    with example(RECIPES[name], tmp_path / "output", environment) as running:
        await running.started()
        await asyncio.to_thread(passes_every_check, f"{running.url}/webhooks/esim", secret)
    with open_inbox(inbox) as opened:  # killed, and the inbox is what the Python package reads
        assert opened.stats().events > 20

    with example(RECIPES[name], tmp_path / "again", environment) as again:
        await again.started()
        try:
            await eventually(lambda: _is_worked_off(inbox), within_s=75)  # leases of the killed end first
        except TimeoutError:
            with open_inbox(inbox) as opened:
                pytest.fail(f"{opened.stats()}, {opened.dead_letters()}\n{again.printed()}")
        assert f"esim.activated {example_of(EventType.ACTIVATED).data.id}" in running.printed() + again.printed()


async def _is_worked_off(inbox: str) -> bool:
    with open_inbox(inbox) as opened:
        stats = opened.stats()
    return stats.done > 0 and stats.waiting + stats.running + stats.dead == 0
