"""What the tests of the command line share: a server to ask, an environment that names it, and running a command."""

from collections.abc import Iterator

import pytest

from cli.canned import CannedServer, Done, Invoke
from esimhooks.cli.main import run

KEY = "esim_test_0123456789"


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as listening:
        yield listening


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, server: CannedServer, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run one command in this process as the entry point does, against `server` unless the environment is changed."""
    monkeypatch.setenv("ESIMHOOKS_URL", server.url)
    monkeypatch.setenv("ESIMHOOKS_API_KEY", KEY)

    def invoked(*words: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            run(words)
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, printed.out, printed.err)

    return invoked
