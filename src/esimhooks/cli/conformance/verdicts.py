"""Judgement: what was expected and what came back come in, a grade goes out. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from esimhooks.cli.conformance.checks import Check, Expected
from esimhooks.cli.conformance.exchange import Answer

SLOW_S, TOO_SLOW_S = 1.0, 5.0
GRADES = ((100, "A"), (90, "B"), (75, "C"), (50, "D"))


class Result(StrEnum):
    """How a check came out. `skip`: not run, because an earlier one failed."""

    PASS = "pass"  # noqa: S105 - a word
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Verdict(Struct, frozen=True, kw_only=True):
    """One judged check; `seen` says what came back, `mend` is empty where it passed."""

    name: str
    about: str
    result: Result
    weight: int
    seen: str = ""
    mend: str = ""


def judge(check: Check, answers: Sequence[Answer]) -> Verdict:
    """Return the verdict: the worst of its answers counts."""
    graded = [(_grade(check.expected, answer), answer) for answer in answers]
    worst, answer = max(graded, key=lambda one: (Result.PASS, Result.WARN, Result.FAIL).index(one[0]))
    if worst is Result.PASS and check.expected is Expected.KEPT_ALIVE and any(one.closes for one in answers[:-1]):
        worst, seen = Result.WARN, "the connection was closed after an answer"
    else:
        seen = _seen(answer)
    return Verdict(
        name=check.name,
        about=check.about,
        result=worst,
        weight=check.weight,
        seen=seen,
        mend="" if worst is Result.PASS else check.mend,
    )


def skipped(check: Check, why: str) -> Verdict:
    """Return the verdict of a check that was not run."""
    return Verdict(name=check.name, about=check.about, result=Result.SKIP, weight=check.weight, seen=why)


def overall(verdicts: Sequence[Verdict]) -> tuple[str, int]:
    """Return grade and points of 100: a warning counts half; a failure leaves no A or B, a failure of weight 10 an F."""
    ran = [one for one in verdicts if one.result is not Result.SKIP]
    whole = sum(one.weight for one in ran)
    value = {Result.PASS: 2, Result.WARN: 1, Result.FAIL: 0, Result.SKIP: 0}
    points = sum(value[one.result] * one.weight for one in ran) * 50 // whole if whole else 0
    failed = [one.weight for one in ran if one.result is Result.FAIL]
    if not ran or max(failed, default=0) >= 10:
        return "F", points
    if failed:
        return ("C" if points >= 75 else "D" if points >= 50 else "F"), points
    return next((grade for least, grade in GRADES if points >= least), "F"), points


def _grade(expected: Expected, answer: Answer) -> Result:
    status = answer.status
    match expected:
        case Expected.TAKEN | Expected.KEPT_ALIVE:
            return _pass_or_fail(_taken(status) and answer.elapsed_s < TOO_SLOW_S)
        case Expected.NOT_REDIRECTED:
            return _pass_or_fail(status is not None and not 300 <= status < 400)
        case Expected.REFUSED:
            return _pass_or_fail(_refused(status))
        case Expected.QUICK:
            quick = Result.PASS if answer.elapsed_s < SLOW_S else Result.WARN
            return quick if _taken(status) and answer.elapsed_s < TOO_SLOW_S else Result.FAIL
        case Expected.LIMITED:
            return Result.PASS if _refused(status) or status is None else Result.WARN
        case Expected.NO_CRASH:
            return _pass_or_fail(_taken(status) or _refused(status))
        case _:
            assert_never(expected)


def _pass_or_fail(good: bool) -> Result:  # noqa: FBT001 - a word for a truth value
    return Result.PASS if good else Result.FAIL


def _taken(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _refused(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status != 410


def _seen(answer: Answer) -> str:
    if answer.status is None:
        return answer.error
    slow = f" after {answer.elapsed_s:.1f} s" if answer.elapsed_s >= SLOW_S else ""
    return f"{answer.status}{slow}"
