"""Every text of the pages is there in every language, and what is read at run time is what was written."""

import pytest

from esimhooks.server.domain.portal import LANGUAGES
from tools.catalogues import CATALOGUES, catalogue, compiled, lacking


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert {path.parts[-3] for path in CATALOGUES} == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_lacks_nothing_and_is_compiled(path: object) -> None:
    [one] = [known for known in CATALOGUES if known == path]
    read = catalogue(one)
    assert list(lacking(read)) == []
    assert one.with_suffix(".mo").read_bytes() == compiled(read)
