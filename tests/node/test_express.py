"""The recipe for Express: started as it says, graded by `check-receiver`. Run by `make test-typescript`."""

import asyncio
from pathlib import Path

import pytest

from esimhooks import EventType
from esimhooks.signing import new_secret
from esimhooks.vocabulary.examples import example_of
from examples.example_process import example, passes_every_check


@pytest.mark.slow(reason="starts a Node process and sends it more than a hundred requests")
@pytest.mark.timeout(60)
async def test_the_express_recipe_passes_every_check_and_works_on_what_it_kept(tmp_path: Path) -> None:
    secret, inbox = new_secret(), tmp_path / "inbox"
    environment = {"ESIMHOOKS_WEBHOOK_SECRET": secret, "INBOX_FOLDER": str(inbox), "PORT": "0"}

    with example(["node", "examples/express/receiver.js"], tmp_path / "output", environment) as running:
        await running.started()
        await asyncio.to_thread(passes_every_check, f"{running.url}/webhooks/esim", secret)

        assert f"esim.activated {example_of(EventType.ACTIVATED).data.id}" in running.printed()
    assert all(kept.name.startswith(("evt_", "msg_")) and "." not in kept.name for kept in inbox.iterdir())
