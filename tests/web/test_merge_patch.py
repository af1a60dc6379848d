"""Merge patches: absent, null and a value are three things; objects merge, lists are replaced (RFC 7396)."""

import msgspec
import pytest
from msgspec import UNSET, Struct, UnsetType

from esimhooks.server.api.merge_patch import merged, patch_values
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.validation import decode


class Body(Struct, kw_only=True, rename="camel", frozen=True):
    url: str
    name: str | None = None
    retry_after: int = 5
    event_types: list[str] = []
    headers: dict[str, str] = {}


class Patch(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    url: str | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    retry_after: int | UnsetType | None = UNSET
    event_types: list[str] | UnsetType | None = UNSET
    headers: dict[str, str | None] | UnsetType | None = UNSET


BEFORE = Body(url="https://a", name="a", retry_after=9, event_types=["x"], headers={"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("sent", "after"),
    [
        (b"{}", {}),
        (b'{"url": "https://b"}', {"url": "https://b"}),
        (b'{"name": null}', {"name": None}),
        (b'{"retryAfter": null}', {"retry_after": 5}),
        (b'{"eventTypes": ["y", "z"]}', {"event_types": ["y", "z"]}),
        (b'{"eventTypes": null}', {"event_types": []}),
        (b'{"headers": {"b": null, "c": "3"}}', {"headers": {"a": "1", "c": "3"}}),
        (b'{"headers": {}}', {}),
        (b'{"headers": null}', {"headers": {}}),
        (b'{"name": "", "retryAfter": 0}', {"name": "", "retry_after": 0}),
    ],
)
def test_a_patch_changes_what_it_names(sent: bytes, after: dict[str, object]) -> None:
    patch = msgspec.json.decode(sent, type=Patch)

    assert merged(BEFORE, patch) == msgspec.structs.replace(BEFORE, **after)
    assert merged(merged(BEFORE, patch), patch) == merged(BEFORE, patch)


def test_what_is_named_is_distinguished_from_what_is_not() -> None:
    assert patch_values(Patch(name=None)) == {"name": None}
    assert patch_values(Patch()) == {}


@pytest.mark.parametrize(
    ("sent", "pointer", "detail"),
    [
        (b'{"url": null}', "/url", "expected text"),
        (b'{"retryAfter": "5"}', "/retryAfter", "expected an integer"),
        (b'{"nam": "x"}', "/nam", "expected no such field: only url, name, retryAfter"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(sent: bytes, pointer: str, detail: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(sent, Patch)

    [field] = caught.value.errors
    assert field.pointer == pointer
    assert field.detail.startswith(detail)
