"""The samples of docs/receiving.md run as they stand, one after the other."""

import re
from pathlib import Path
from typing import Any

import pytest

from esimhooks import EventType, Webhook
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.examples import example_of

TEXT = (Path(__file__).parents[2] / "docs" / "receiving.md").read_text(encoding="utf-8")


def test_the_samples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    samples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    body = encode(example_of(EventType.ACTIVATED))
    secret = re.findall(r"whsec_[\w+/=]+", TEXT)[0]
    names: dict[str, Any] = {"body": body, "headers": Webhook(secret).sign(body, message_id="evt_1")}

    for sample in samples:
        exec(compile(sample, "docs/receiving.md", "exec"), names)
    names["receiver"].close()

    printed = capsys.readouterr().out
    assert len(samples) == 5
    assert f"esim.activated {example_of(EventType.ACTIVATED).data.id}" in printed
    assert "InboxStats(events=1" in printed
    assert Path("inbox.db").exists()
