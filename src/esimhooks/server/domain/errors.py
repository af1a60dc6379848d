"""What can go wrong, as callers need to distinguish it.

    EsimhooksError
    ├── Refused   the caller's fault: status, stable code, pointers to the bad fields
    ├── NotNow    temporary: try again after `retry_after_s`
    │   └── Conflicting   what was to be written did not fit what others wrote: the same again may, or never will
    └── Broken    ours: the installation is wrong and a person must act
        └── Undecryptable   a stored value: it was damaged, or its key is not among ours

What a receiver does to a delivery is an `Outcome`, never an exception.
"""

from typing import Self

from msgspec import Struct


class FieldError(Struct, frozen=True):
    """One bad field: a JSON pointer and what was expected there."""

    pointer: str
    detail: str


class EsimhooksError(Exception):
    """Root of all errors that this server raises itself."""


class Refused(EsimhooksError):
    """The request cannot be carried out as it stands; the same request will be refused again."""

    retry_after_s: float | None = None
    """How long until the same request may be taken, where that is so."""

    def __init__(
        self, detail: str, *, status: int, code: str, errors: tuple[FieldError, ...] = (), title: str | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.errors = errors
        self.title = title

    @classmethod
    def invalid(cls, pointer: str, detail: str) -> Self:
        """One field does not hold what was expected (422)."""
        return cls(
            "one or more fields are invalid",
            status=422,
            code="INVALID_FIELD",
            errors=(FieldError(pointer, detail),),
        )

    @classmethod
    def not_found(cls, detail: str) -> Self:
        """There is no such row, or it belongs to somebody else (404)."""
        return cls(detail, status=404, code="NOT_FOUND")

    @classmethod
    def unauthenticated(cls, detail: str) -> Self:
        """The caller did not prove who it is (401)."""
        return cls(detail, status=401, code="UNAUTHENTICATED")

    @classmethod
    def forbidden(cls, detail: str) -> Self:
        """The caller is known and may not do this (403)."""
        return cls(detail, status=403, code="FORBIDDEN")

    @classmethod
    def too_many(cls, detail: str, *, code: str, retry_after_s: float) -> Self:
        """The caller exceeds a limit (429)."""
        refused = cls(detail, status=429, code=code)
        refused.retry_after_s = retry_after_s
        return refused

    @classmethod
    def conflict(cls, detail: str) -> Self:
        """The state of the row does not allow it (409)."""
        return cls(detail, status=409, code="CONFLICT")


class NotNow(EsimhooksError):
    """Something that is needed does not answer now."""

    def __init__(self, detail: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Conflicting(NotNow):
    """What was to be written conflicts with rows that stand, or with another transaction."""


def is_database_away(error: Exception) -> bool:
    """Whether the work failed for want of a database, and not because of what was to be written."""
    return isinstance(error, NotNow) and not isinstance(error, Conflicting)


class Broken(EsimhooksError):
    """The installation cannot work as it is; the message says what to fix."""


class Undecryptable(Broken):
    """A stored value cannot be decrypted: it was damaged, or none of our keys is the one it was encrypted with."""
