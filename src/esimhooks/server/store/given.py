"""Statements that are put together: a value comes in, its place in the statement goes out; values never become text."""

from collections.abc import Mapping
from uuid import UUID


class Given:
    """The values of one statement, in the order of their places."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        """Take a value and return its place, e.g. `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def between(self, *, first: UUID | None, last: UUID | None, before: UUID | None) -> list[str]:
        """Return the conditions for ids from `first` to before `last` and before `before`, as far as they are given."""
        bounds = (("id >=", first), ("id <", last), ("id <", before))
        return [f"{beyond} {self(bound)}" for beyond, bound in bounds if bound is not None]

    def equal(self, asked: Mapping[str, object]) -> list[str]:
        """Return the conditions that columns have these values, as far as they are given."""
        return [f"{column} = {self(value)}" for column, value in asked.items() if value is not None]
