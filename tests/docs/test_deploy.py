"""What is deployed with: images are pinned, no password stands in an address, and the container knows whether its node lives."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import Api
from cli.processes import environment
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.version import __version__
from reserved_port import ReservedPort

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def loaded(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


async def healthcheck(**settings: str) -> int | None:
    variables = environment(**{f"ESIMHOOKS_{name}": value for name, value in settings.items()})
    process = await asyncio.create_subprocess_exec(sys.executable, str(DEPLOY / "healthcheck.py"), env=variables)
    return await process.wait()


@pytest.mark.slow(reason="each look is a process of its own")
@pytest.mark.timeout(60)
async def test_a_container_is_healthy_by_its_role(operator: Api, settings: Settings) -> None:
    port = operator.url.rpartition(":")[2]
    with ReservedPort() as metrics, ReservedPort() as nobody:
        dispatching = settings.model_copy(
            update={"roles": frozenset(["dispatcher"]), "metrics_port": metrics.number, "host": "127.0.0.1"}
        )
        async with running(dispatching):
            found = {
                "api": await healthcheck(PORT=port),
                "api, gone": await healthcheck(ROLES="api", PORT=str(nobody.number)),
                "dispatcher": await healthcheck(ROLES="dispatcher", METRICS_PORT=str(metrics.number)),
                "dispatcher, gone": await healthcheck(ROLES="dispatcher", METRICS_PORT=str(nobody.number)),
                "dispatcher without a port": await healthcheck(ROLES="dispatcher,scheduler"),
            }

    assert found == {
        "api": 0,
        "api, gone": 1,
        "dispatcher": 0,
        "dispatcher, gone": 1,
        "dispatcher without a port": 0,
    }


def test_images_are_pinned_and_the_data_folder_is_a_volume() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    [compose] = loaded(DEPLOY / "compose.yaml")
    images = re.findall(r"image: (\S+)", (DEPLOY / "kubernetes.yaml").read_text())

    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-slim-\w+$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON}"}
    assert "VOLUME /var/lib/esimhooks" in dockerfile
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", compose["services"]["database"]["image"])
    assert set(images) == {f"esimhooks:{__version__.partition('.dev')[0]}"}


def test_every_role_is_probed_spread_and_kept_by_a_budget_in_kubernetes() -> None:
    manifests = loaded(DEPLOY / "kubernetes.yaml")
    deployments = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "Deployment"}
    budgets = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "PodDisruptionBudget"}
    roles = [one["template"]["spec"]["containers"][0]["args"][-1] for one in deployments.values()]

    assert {role for several in roles for role in several.split(",")} == {one.value for one in Role}
    assert budgets.keys() == deployments.keys()
    for name, deployment in deployments.items():
        pod = deployment["template"]["spec"]
        [container] = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
        assert {probe["port"] for probe in probes} <= ports
        assert deployment["replicas"] > budgets[name]["minAvailable"] > 0
        assert budgets[name]["selector"] == deployment["selector"]
        assert pod["topologySpreadConstraints"][0]["labelSelector"] == deployment["selector"]


def test_a_password_with_any_characters_works_in_compose() -> None:
    [compose] = loaded(DEPLOY / "compose.yaml")
    settings = compose["services"]["server"]["environment"]

    assert "PASSWORD" not in settings["ESIMHOOKS_DATABASE_URL"]
    assert settings["PGPASSWORD"] == "${POSTGRES_PASSWORD:?}"


def test_actions_are_pinned_to_a_commit_and_say_its_version() -> None:
    used = [
        line.strip()
        for name in ("test", "release")
        for line in (ROOT / ".github" / "workflows" / f"{name}.yaml").read_text().splitlines()
        if "uses:" in line
    ]

    assert used
    assert [line for line in used if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_all_that_the_image_copies_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    files = [one for line in copied for one in line.split()]

    assert "*" in ignored
    assert [one for one in files if f"!{one}" not in ignored or not (ROOT / one).exists()] == []


def test_a_release_is_tested_on_every_python_that_is_supported() -> None:
    for name in ("test", "release"):
        [workflow] = loaded(ROOT / ".github" / "workflows" / f"{name}.yaml")
        assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
