"""The documents of a running server as other people's validators see them: Redocly for OpenAPI, AsyncAPI's own parser.

They run on Node: `make validate-api`.
"""

import asyncio
import json
from pathlib import Path

import pytest

from api import Api, Json

FOLDER = Path(__file__).parents[2] / "tools" / "validate_api"


async def problems(openapi: Json, asyncapi: Json, folder: Path) -> list[dict[str, str]]:
    """Return what the validators say of the two documents."""
    names = [folder / "openapi.json", folder / "asyncapi.json"]
    for name, document in zip(names, (openapi, asyncapi), strict=True):
        name.write_text(json.dumps(document))
    node = await asyncio.create_subprocess_exec(
        "node", str(FOLDER / "validate.js"), *map(str, names), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await node.communicate()
    assert node.returncode == 0
    found: list[dict[str, str]] = json.loads(output)
    return found


@pytest.mark.slow(reason="Node loads both validators")
@pytest.mark.timeout(120)
async def test_public_validators_accept_the_documents_and_would_see_a_mistake(operator: Api, tmp_path: Path) -> None:
    openapi, asyncapi = await operator.get("/openapi.json"), await operator.get("/asyncapi.json")

    assert await problems(openapi, asyncapi, tmp_path) == []

    del openapi["paths"]["/v1/accounts"]["get"]["responses"]
    del asyncapi["info"]["title"]
    assert {one["document"] for one in await problems(openapi, asyncapi, tmp_path)} == {"openapi", "asyncapi"}
