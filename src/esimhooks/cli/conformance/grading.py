"""Judgement: what was expected and what came back come in, verdicts and a grade go out. Pure.

A forged request that is answered with 2xx is unsafe; one that makes the receiver crash is safe, and a warning.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from esimhooks.cli.conformance.cases import FORGERY_WEIGHT, Case, Expected
from esimhooks.cli.conformance.exchange import Answer

SLOW_S, TOO_SLOW_S = 1.0, 5.0
GRADES = ((100, "A"), (90, "B"), (75, "C"), (50, "D"))
REFUSING_SHARE = 60
"""Of 100 points those for refusing hostile requests; the others are for accepting good ones."""


class Result(StrEnum):
    """How a case came out."""

    PASS = "pass"  # noqa: S105 - a word
    WARN = "warn"
    FAIL = "fail"


class Verdict(Struct, frozen=True, kw_only=True):
    """One judged case. `answer` is the worst of its answers; `fix` is empty where it passed.

    `unsafe`: a request that must be refused was accepted. `crashed`: it was refused by crashing.
    """

    name: str
    about: str
    result: Result
    weight: int
    hostile: bool
    answer: Answer
    fix: str = ""
    unsafe: bool = False
    crashed: bool = False

    @property
    def seen(self) -> str:
        """What came back, in a few words."""
        if self.answer.status is None:
            return self.answer.error
        slow = f" after {self.answer.elapsed_s:.1f} s" if self.answer.elapsed_s >= SLOW_S else ""
        closed = ", and the connection was closed" if self.name == "keep-alive" and self.answer.closes else ""
        return f"{self.answer.status}{slow}{closed}"


def judge(case: Case, answers: Sequence[Answer]) -> Verdict:
    """Return the verdict: the worst of its answers counts."""
    kept = answers if case.expected is not Expected.ACCEPTED_ON_ONE_CONNECTION else answers[:-1] or answers
    graded = [(_result(case.expected, answer), answer) for answer in kept]
    worst, answer = max(graded, key=lambda one: (list(Result).index(one[0]), accepted(one[1])))
    hostile = case.expected is Expected.REFUSED
    return Verdict(
        name=case.name,
        about=case.about,
        result=worst,
        weight=case.weight,
        hostile=hostile,
        answer=answer,
        fix="" if worst is Result.PASS else case.fix,
        unsafe=hostile and case.forges and any(accepted(one) for one in answers),
        crashed=hostile and worst is not Result.PASS and not accepted(answer) and not _refused(answer),
    )


def accepted(answer: Answer) -> bool:
    """Whether the receiver said that it has the event."""
    return answer.status is not None and 200 <= answer.status < 300


def believes_forgeries(verdicts: Sequence[Verdict]) -> bool:
    """Whether everybody could make the receiver believe an event."""
    return any(one.unsafe and one.weight >= FORGERY_WEIGHT for one in verdicts)


def overall(verdicts: Sequence[Verdict]) -> tuple[str, int]:
    """Return grade and points of 100; a warning counts half.

    A receiver that believes forged requests has none: it is worse than one that refuses everything. Otherwise what is
    unsafe leaves a D at most, any other failure a C.
    """
    if not verdicts or believes_forgeries(verdicts):
        return "F", 0
    refusing = [one for one in verdicts if one.hostile]
    accepting = [one for one in verdicts if not one.hostile]
    points = (REFUSING_SHARE * _share(refusing) + (100 - REFUSING_SHARE) * _share(accepting)) // 1
    if not refusing or not accepting:
        points = 100 * _share(verdicts) // 1
    grade = next((grade for least, grade in GRADES if points >= least), "F")
    fails = any(one.result is Result.FAIL for one in verdicts)
    best = "D" if any(one.unsafe for one in verdicts) else "C" if fails else "A"
    return max(grade, best), int(points)


def _share(verdicts: Sequence[Verdict]) -> float:
    whole = sum(one.weight for one in verdicts)
    value = {Result.PASS: 1.0, Result.WARN: 0.5, Result.FAIL: 0.0}
    return sum(value[one.result] * one.weight for one in verdicts) / whole if whole else 0.0


def _result(expected: Expected, answer: Answer) -> Result:
    in_time = accepted(answer) and answer.elapsed_s < TOO_SLOW_S
    match expected:
        case Expected.ACCEPTED:
            return _pass_or(Result.FAIL, good=in_time)
        case Expected.ACCEPTED_QUICKLY:
            return _pass_or(Result.WARN, good=answer.elapsed_s < SLOW_S) if in_time else Result.FAIL
        case Expected.ACCEPTED_ON_ONE_CONNECTION:
            return _pass_or(Result.WARN, good=not answer.closes) if in_time else Result.FAIL
        case Expected.REFUSED:
            harmful = accepted(answer) or answer.status == 410
            return Result.FAIL if harmful else _pass_or(Result.WARN, good=_refused(answer))
        case Expected.LIMITED:
            return _pass_or(Result.WARN, good=_refused(answer) or answer.status is None)
        case Expected.NO_CRASH:
            return _pass_or(Result.FAIL, good=accepted(answer) or _refused(answer))
        case _:
            assert_never(expected)


def _pass_or(otherwise: Result, *, good: bool) -> Result:
    return Result.PASS if good else otherwise


def _refused(answer: Answer) -> bool:
    return answer.status is not None and 400 <= answer.status < 500 and answer.status != 410
