"""ICCIDs and EIDs: what is normal, what only raises doubts."""

from random import Random

import pytest

from esimhooks.server.providers.fields import check_digit_doubts, is_valid_eid, is_valid_luhn, normal_iccid
from esimhooks.server.providers.sandbox import numbers


@pytest.mark.parametrize("digits", ["79927398713", "8910172652573867506", "4111111111111111"])
def test_a_right_luhn_digit_holds_and_every_other_does_not(digits: str) -> None:
    valid = [digits[:-1] + str(last) for last in range(10) if is_valid_luhn(digits[:-1] + str(last))]

    assert valid == [digits]


@pytest.mark.parametrize("eid", ["89049032123451234512345678901235", "89882119900000000000000000001654"])
def test_published_eids_hold(eid: str) -> None:
    assert is_valid_eid(eid)
    assert not is_valid_eid(eid[:-1] + str((int(eid[-1]) + 1) % 10))
    assert not is_valid_eid(eid[1:])


def test_nothing_reported_is_nothing_doubtful() -> None:
    assert check_digit_doubts(iccid=None, eid=None) == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("891017265257386750", "891017265257386750"),
        ("8910172652573867506F", "8910172652573867506"),
        ("891017265257386750FF", "891017265257386750"),
        ("89101726525738675F", None),
        ("8910172652573867506 ", None),
        ("F8910172652573867506", None),
    ],
)
def test_an_iccid_has_18_to_20_digits_before_its_padding(written: str, read: str | None) -> None:
    assert normal_iccid(written) == read


@pytest.mark.parametrize("seed", range(50))
def test_simulated_numbers_leave_no_doubt(seed: int) -> None:
    iccid, eid = numbers.iccid(Random(seed)), numbers.eid(Random(seed))

    assert (len(iccid), iccid[:2]) == (19, "89")
    assert check_digit_doubts(iccid=iccid, eid=eid) == ()
