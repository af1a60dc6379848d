"""The recipes of docs/receiving.md: each starts as it says, is graded by `check-receiver`, and calls its handler."""

import asyncio
import sys
from pathlib import Path

import pytest

from api import eventually
from esimhooks import EventType, open_inbox
from esimhooks.signing import new_secret
from esimhooks.vocabulary.examples import example_of
from examples.example_process import example, passes_every_check

BIN = Path(sys.executable).parent
FOLDER = Path("examples/receivers")
RECIPES: dict[str, list[str | Path]] = {
    "fastapi": [BIN / "uvicorn", "--app-dir", FOLDER, "fastapi_app:app", "--port", "0"],
    "asgi": [BIN / "uvicorn", "--app-dir", FOLDER, "asgi_app:receiver", "--port", "0"],
    "flask": [BIN / "flask", "--app", FOLDER / "flask_app.py", "run", "--port", "0"],
    "django": [sys.executable, FOLDER / "django_app.py", "runserver", "127.0.0.1:0", "--noreload"],
}


@pytest.mark.slow(reason="starts a server as a process and sends it more than a hundred requests")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_passes_every_check_and_calls_its_handler(name: str, tmp_path: Path) -> None:
    secret, inbox = new_secret(), f"sqlite:///{tmp_path / 'inbox.db'}"
    environment = {"ESIMHOOKS_WEBHOOK_SECRET": secret, "ESIMHOOKS_INBOX": inbox}

    with example(RECIPES[name], tmp_path / "output", environment) as running:
        await running.started()
        await asyncio.to_thread(passes_every_check, f"{running.url}/webhooks/esim", secret)

        async def worked_off() -> bool:
            with open_inbox(inbox) as opened:
                stats = opened.stats()
            return stats.done > 0 and stats.waiting + stats.running == 0

        await eventually(worked_off)
        assert f"esim.activated {example_of(EventType.ACTIVATED).data.id}" in running.printed()
