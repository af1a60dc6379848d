"""The vocabulary stays light: a receiver that imports it gets msgspec and nothing else."""

import json
import subprocess
import sys

from patience import patience_s

SCRIPT = """
import json, pkgutil, sys
from importlib import import_module
import esimhooks.vocabulary as vocabulary
for module in pkgutil.iter_modules(vocabulary.__path__):
    import_module(f"esimhooks.vocabulary.{module.name}")
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(script: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=patience_s()
    )
    return set(json.loads(done.stdout))


def test_the_vocabulary_imports_msgspec_and_the_standard_library_only() -> None:
    before = modules_after("import json, sys; print(json.dumps(sorted(sys.modules)))")
    imported = modules_after(SCRIPT) - before

    foreign = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    ours = {name for name in imported if name.startswith("esimhooks.")}

    assert foreign - {"typing_extensions"} == {"esimhooks", "msgspec"}, "msgspec takes typing_extensions where it is"
    assert "esimhooks.vocabulary.schemas" in ours
    assert all(name == "esimhooks.vocabulary" or name.startswith("esimhooks.vocabulary.") for name in ours)
