"""Every text of the pages is there in every language, and what is read at run time is what was written."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from esimhooks.server.dashboard.render import environment
from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.health import LastFailure
from esimhooks.server.domain.portal import Language
from tools.catalogues import CATALOGUES, catalogue, compiled, lacking


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert {path.parts[-3] for path in CATALOGUES} == set(get_args(Language)) - {"en"}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_lacks_nothing_and_is_compiled(path: object) -> None:
    [one] = [known for known in CATALOGUES if known == path]
    read = catalogue(one)
    assert list(lacking(read)) == []
    assert one.with_suffix(".mo").read_bytes() == compiled(read)


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "1,234,567 66.0 GiB 99.25% 1,000+ 2.5 s"), ("de", "1.234.567 66,0 GiB 99,25% 1.000+ 2,5 s")],
)
def test_numbers_are_written_as_the_language_does(language: str, expected: str) -> None:
    text = (
        "{{ 1234567 | number }} {{ 70866960384 | byte_size }} {{ 99.25 | percent }} {{ 1001 | many }} {{ 2.5 | span }}"
    )
    assert environment(language).from_string(text).render() == expected


def test_why_a_connection_failed_is_shown_in_the_language_too() -> None:
    failure = LastFailure(
        outcome=OutcomeClass.CONNECT, status_code=None, error="connection refused", at=datetime.now(UTC)
    )
    text = environment("de").from_string("{{ sentence(failure | advice) }}").render(failure=failure)
    assert text == "Die Verbindung schlug fehl: Verbindung abgelehnt."
