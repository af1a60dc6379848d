"""The documents that come with the product, as data: `providers/mappings/*.toml`, each a kind by its file's name."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from esimhooks.server.providers.mapping.check import Mapped, compile_document

PLACE = files("esimhooks.server.providers") / "mappings"


@cache
def shipped_documents() -> Mapping[str, Mapping[str, object]]:
    """Return the members of every document by the name of its kind, in the order of the names."""
    found = sorted((one for one in PLACE.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return {one.name.removesuffix(".toml"): tomllib.loads(one.read_text("utf-8")) for one in found}


@cache
def shipped(kind: str) -> Mapped:
    """Return the document of this kind, compiled. Raises `KeyError` where there is none."""
    return compile_document(shipped_documents()[kind])
