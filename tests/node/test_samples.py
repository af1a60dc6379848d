"""The samples in TypeScript: those of docs/ and of the package's README, compiled against the package as it is built."""

import subprocess
from pathlib import Path

import pytest

from docs.samples import FENCE
from examples.example_process import ROOT

PACKAGE = ROOT / "sdk" / "typescript"
PAGES = ("docs/receiving-node.md", "sdk/typescript/README.md")
READERS_OWN = """
declare const app: { use(path: string, listener: unknown): void };
declare interface Client { query(text: string): Promise<unknown> }
"""


@pytest.mark.slow(reason="starts a compiler")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", PAGES)
def test_the_samples_of_a_page_compile(page: str, tmp_path: Path) -> None:
    samples = [found["text"] for found in FENCE.finditer((ROOT / page).read_text()) if found["language"] == "ts"]
    for number, text in enumerate(samples):
        (tmp_path / f"sample{number}.ts").write_text(READERS_OWN + text + "\nexport {};\n")
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "esimhooks").symlink_to(PACKAGE)
    words: list[str | Path] = [
        PACKAGE / "node_modules" / ".bin" / "tsc",
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
    ]
    words += ["--typeRoots", PACKAGE / "node_modules" / "@types", "--types", "node"]

    done = subprocess.run(
        [*words, *sorted(tmp_path.glob("*.ts"))], cwd=tmp_path, capture_output=True, check=False, text=True
    )

    assert samples
    assert done.returncode == 0, done.stdout
