"""Laws end in time on a busy machine: after half the time limit of its test a law tries no further example.

A law that has failed goes on, so that Hypothesis can look for the smallest example. So does one that draws while it runs: an
example that draws less than before is an error to Hypothesis. A law with a time limit of its own has been given the time that its
examples take.
"""

import functools
import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis.errors import HypothesisException
from hypothesis.strategies import DataObject

LEFT_OUT = "examples left out"


@contextmanager
def bounded(item: pytest.Item) -> Iterator[None]:
    """Bound the examples of a test that is a law while it runs; its report says how many were left out."""
    law = getattr(getattr(item, "obj", None), "hypothesis", None)
    if law is None or item.get_closest_marker("timeout"):
        yield
        return
    whole = law.inner_test
    examples = _Examples(float(os.environ["TEST_LIMIT_S"]) / 2)
    law.inner_test = examples.of(whole)
    try:
        yield
    finally:
        law.inner_test = whole
        if examples.left_out:
            item.user_properties.append((LEFT_OUT, examples.left_out))


def summary(terminalreporter: Any) -> list[str]:
    """Return a line for each law that left examples out."""
    reports = [one for name in ("passed", "failed") for one in terminalreporter.stats.get(name, [])]
    counts = {one.nodeid: dict(one.user_properties).get(LEFT_OUT, 0) for one in reports}
    return [f"{nodeid}: {count} examples left out, half its time was over" for nodeid, count in counts.items() if count]


class _Examples:
    def __init__(self, budget_s: float) -> None:
        self.left_out = 0
        self._until = time.monotonic() + budget_s

    def of(self, law: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(law):

            @functools.wraps(law)
            async def tried_async(*args: Any, **kwargs: Any) -> None:
                if self._over(kwargs):
                    return
                try:
                    await law(*args, **kwargs)
                except Exception as error:
                    self._failed(error)
                    raise

            return tried_async

        @functools.wraps(law)
        def tried(*args: Any, **kwargs: Any) -> None:
            if self._over(kwargs):
                return
            try:
                law(*args, **kwargs)
            except Exception as error:
                self._failed(error)
                raise

        return tried

    def _over(self, arguments: Mapping[str, object]) -> bool:
        over = time.monotonic() > self._until and not any(isinstance(one, DataObject) for one in arguments.values())
        self.left_out += over
        return over

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, HypothesisException):  # those say that an example does not fit
            self._until = float("inf")
