"""API keys as text: their form, their checksum, and the part by which they are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.account import ALPHABET, LOOKUP_CHARACTERS, digest_of, lookup_of, new_key, well_formed
from esimhooks.vocabulary.statuses import Mode

KINDS = [(Mode.LIVE, "esim_live_"), (Mode.TEST, "esim_test_"), (None, "esim_admin_")]
kinds = st.sampled_from([Mode.LIVE, Mode.TEST, None])


@pytest.mark.parametrize(("kind", "prefix"), KINDS)
def test_a_key_says_its_kind_and_is_well_formed(kind: Mode | None, prefix: str) -> None:
    key = new_key(kind)

    assert key.startswith(prefix)
    assert len(key) == len(prefix) + 43 + 6
    assert set(key.removeprefix(prefix)) <= set(ALPHABET)
    assert well_formed(key)


def test_no_two_keys_are_the_same_nor_found_by_the_same_part() -> None:
    keys = [new_key(Mode.TEST) for _ in range(1000)]

    assert len({lookup_of(key) for key in keys}) == 1000


@given(kind=kinds, index=st.integers(0, 60), letter=st.characters())
def test_one_changed_letter_is_noticed(kind: Mode | None, index: int, letter: str) -> None:
    key = new_key(kind)
    index %= len(key)
    changed = key[:index] + letter + key[index + 1 :]

    assert well_formed(changed) == (changed == key)


@given(text=st.text())
def test_other_text_is_no_key(text: str) -> None:
    assert not well_formed(text)
    assert not well_formed(f"esim_test_{text}")


def test_letters_beyond_the_alphabet_are_no_key_even_with_the_checksum_for_them() -> None:
    key = new_key(Mode.TEST)
    head = "esim_test_" + "é" * 43
    # A checksum for any text can be found by whoever knows the rule, which is public.
    from esimhooks.server.domain.account import _checksum  # noqa: PLC0415

    assert well_formed(key)
    assert not well_formed(head + _checksum(head))


@given(kind=kinds)
def test_the_part_by_which_a_key_is_found_shows_little_of_the_rest(kind: Mode | None) -> None:
    key = new_key(kind)
    public = lookup_of(key)

    assert key.startswith(public)
    assert len(public.rpartition("_")[2]) == LOOKUP_CHARACTERS
    assert digest_of(key) != digest_of(public)
    assert len(digest_of(key)) == 32
