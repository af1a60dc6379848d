"""What is installed is whole: the wheel carries the dashboard's templates and static files, and every migration."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
WANTED = (".html", ".css", ".js", ".sql", ".LICENSE", ".typed")


@pytest.mark.slow(reason="builds the wheel")
@pytest.mark.timeout(60)
def test_the_wheel_carries_all_that_the_server_reads(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    [wheel] = tmp_path.glob("*.whl")
    source = ROOT / "src"
    wanted = {str(path.relative_to(source)) for path in source.rglob("*") if path.name.endswith(WANTED)}
    assert any(name.endswith("/templates/layout.html") for name in wanted)
    assert wanted - set(ZipFile(wheel).namelist()) == set()
