"""What a person is shown of an attempt: what went wrong, and what to do."""

import pytest

from esimhooks.server.domain.advice import advise
from esimhooks.server.domain.delivery import OutcomeClass

ANSWERS = {
    OutcomeClass.OK: 204,
    OutcomeClass.REDIRECT: 302,
    OutcomeClass.CLIENT_ERROR: 422,
    OutcomeClass.GONE: 410,
    OutcomeClass.TOO_MANY: 429,
    OutcomeClass.SERVER_ERROR: 500,
}


@pytest.mark.parametrize("outcome", list(OutcomeClass))
def test_every_outcome_is_reported_in_sentences(outcome: OutcomeClass) -> None:
    status = ANSWERS.get(outcome)
    applied = advise(outcome, status_code=status, error=None if status else "that is why")

    assert applied.what.endswith(".")
    assert str(status or "that is why") in applied.what
    assert applied.todo.endswith(".") or outcome is OutcomeClass.OK


@pytest.mark.parametrize(
    ("status", "word"), [(401, "secret"), (403, "secret"), (404, "path"), (405, "POST"), (400, "answer")]
)
def test_refusals_are_distinguished(status: int, word: str) -> None:
    assert word in advise(OutcomeClass.CLIENT_ERROR, status_code=status, error=None).todo
