"""A doubt: one member of what a provider sent that could not be understood, while the rest was applied."""

from msgspec import Struct


class Doubt(Struct, frozen=True):
    """`field` is the member's name, `detail` a sentence for the journal without secrets or whole personal numbers.

    `word` is the text that nobody knows, such as a new status; None where the value itself is the matter.
    """

    field: str
    detail: str
    word: str | None = None
