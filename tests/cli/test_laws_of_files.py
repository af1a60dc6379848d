"""An installation written as a file, in TOML or JSON, and read back differs in nothing: applying an export changes nothing."""

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from esimhooks.cli.installation import toml
from esimhooks.cli.installation.document import Account, Endpoint, Installation, Provider, parsed
from esimhooks.cli.installation.plan import not_in_file, steps
from esimhooks.vocabulary.statuses import Mode

texts = st.text(min_size=1, max_size=12) | st.sampled_from(
    ['a"""b', "one\ntwo", 'ends"', "\\", "\x7f\x00", "{fromEnv}"]
)
plain = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
"""No setting of a provider has a null inside, which TOML could not say."""
values = st.recursive(plain, lambda inner: st.dictionaries(texts, inner, max_size=3), max_leaves=4)
settings = st.dictionaries(texts, values | st.lists(texts, max_size=3), max_size=3)


def endpoint(number: int) -> st.SearchStrategy[Endpoint]:
    fields = st.fixed_dictionaries(
        {"url": texts, "name": st.just(f"endpoint {number}")},
        optional={
            "eventTypes": st.none() | st.lists(texts, min_size=1, max_size=3),
            "retrySchedule": st.lists(st.integers(0, 9), min_size=1, max_size=3),
            "headers": st.dictionaries(st.from_regex("[a-z-]{1,9}", fullmatch=True), texts, max_size=3),
            "filter": st.none() | texts,
            "rateLimit": st.none() | st.integers(1, 9),
            "timeout": st.floats(1, 30),
            "redactCredentials": st.booleans(),
        },
    )
    return st.builds(
        Endpoint, mode=st.sampled_from(Mode), id=st.just(f"ep_{number}"), fields=fields, enabled=st.booleans()
    )


def account(number: int) -> st.SearchStrategy[Account]:
    fields = st.fixed_dictionaries({"name": texts, "quotas": st.dictionaries(texts, st.integers(0, 9), max_size=2)})
    looks = st.fixed_dictionaries({}, optional={"name": st.none() | texts, "accent": texts, "hasLogo": st.booleans()})
    endpoints = st.integers(0, 2).flatmap(lambda count: st.tuples(*(endpoint(each) for each in range(count))).map(list))
    return st.builds(Account, id=st.just(f"acc_{number}"), fields=fields, endpoints=endpoints, branding=looks)


def provider(number: int) -> st.SearchStrategy[Provider]:
    fields = st.fixed_dictionaries({"kind": texts, "baseUrl": st.none() | texts, "settings": settings})
    return st.builds(Provider, name=st.just(f"provider {number}"), fields=fields)


installations = st.builds(
    Installation,
    accounts=st.integers(0, 2).flatmap(lambda count: st.tuples(*map(account, range(count))).map(list)),
    providers=st.integers(0, 2).flatmap(lambda count: st.tuples(*map(provider, range(count))).map(list)),
    branding=st.fixed_dictionaries({}, optional={"name": st.none() | texts, "language": st.sampled_from(["en", "de"])}),
)


@given(there=installations)
def test_what_is_written_changes_nothing_when_it_is_applied(there: Installation) -> None:
    tables = toml.tables(there)
    files: list[Any] = [tomllib.loads(toml.dumps(tables)), json.loads(json.dumps(tables))]

    for content in files:
        wanted = parsed(content)
        assert list(steps(wanted, there, secrets={}, prune=True)) == []
        assert not_in_file(wanted, there) == 0
