"""What can go wrong on a receiver's side, each with a word that programs can rely on.

WebhookVerificationError   a request that must not be believed; `.reason` says why
InboxUnavailable           the inbox cannot be read or written now; the sender is asked to come again
"""

from enum import StrEnum


class VerificationFailure(StrEnum):
    """Why a request was not believed. These words do not change between releases."""

    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    NO_MATCHING_SIGNATURE = "no_matching_signature"
    BODY_NOT_BYTES = "body_not_bytes"
    BODY_NOT_JSON = "body_not_json"
    NOT_AN_EVENT = "not_an_event"


class WebhookVerificationError(Exception):
    """A request that must not be believed. `reason` is stable, the text is for people."""

    def __init__(self, reason: VerificationFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class InboxUnavailable(Exception):
    """The inbox cannot be read or written now: no connection, a full disk, a lock held too long."""
