"""The headers of one attempt: those of Standard Webhooks always, and what the endpoint's signature profile adds.

The delivery, its endpoint and the bytes that are sent come in, headers in lower case go out. Secrets are chosen by the
moment of the attempt.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Claimed, EndpointTarget
from esimhooks.server.domain.endpoint import SignatureProfile
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.signing import (
    PRIVATE_KEY_PREFIX,
    convoy_advanced_signature,
    convoy_signature,
    hex_signature,
    signature_header,
)
from esimhooks.version import __version__

USER_AGENT = f"esimhooks/{__version__}"
STANDARD_SIGNATURE, SVIX_SIGNATURE, CONVOY_SIGNATURE = "webhook-signature", "svix-signature", "x-convoy-signature"


class HeaderNames(Struct, frozen=True):
    """What the headers of an endpoint are called: its signature profile, and the brand that names those of `hex`."""

    profile: SignatureProfile
    brand: str

    def signatures(self) -> Sequence[str]:
        """Return the headers that hold signatures."""
        match self.profile:
            case SignatureProfile.HEX:
                return [STANDARD_SIGNATURE, self.branded("signature")]
            case SignatureProfile.SVIX:
                return [STANDARD_SIGNATURE, SVIX_SIGNATURE]
            case SignatureProfile.CONVOY | SignatureProfile.CONVOY_ADVANCED:
                return [STANDARD_SIGNATURE, CONVOY_SIGNATURE]
            case SignatureProfile.STANDARD | SignatureProfile.ASYMMETRIC:
                return [STANDARD_SIGNATURE]

    def repeated(self, event_type: str, message_id: str, timestamp: str) -> Mapping[str, str]:
        """Return what the profile says once more under names of its own."""
        match self.profile:
            case SignatureProfile.HEX:
                values = {"event": event_type, "event-id": message_id, "timestamp": timestamp}
                return {self.branded(name): value for name, value in values.items()}
            case SignatureProfile.SVIX:
                return {"svix-id": message_id, "svix-timestamp": timestamp}
            case SignatureProfile.CONVOY | SignatureProfile.CONVOY_ADVANCED:
                return {"x-convoy-idempotency-key": message_id}
            case SignatureProfile.STANDARD | SignatureProfile.ASYMMETRIC:
                return {}

    def branded(self, what: str) -> str:
        """Return the name of a header of the hex profile."""
        return f"x-{self.brand.lower()}-{what}"


def request_headers(
    claimed: Claimed, target: EndpointTarget, body: bytes, *, brand: str, now: datetime
) -> Mapping[str, str]:
    """Return the headers of the attempt that begins `now` (aware UTC); `brand` names those of the hex profile.

    Raises `LookupError` without a secret that signs now, `ValueError` for one that is none.
    """
    message_id = text_of(Prefix.EVENT, claimed.event_id)
    timestamp = int(now.timestamp())
    secrets = _valid(target, now)
    if not secrets:
        raise LookupError("none of the endpoint's secrets signs at present")
    names = HeaderNames(target.signature_profile, brand)
    headers = unsigned_headers(
        claimed.event_id,
        claimed.event_type,
        attempt=claimed.attempts + 1,
        timestamp=timestamp,
        custom=target.headers,
        names=names,
    )
    headers[STANDARD_SIGNATURE] = signature_header(secrets, message_id=message_id, timestamp=timestamp, body=body)
    match names.profile:
        case SignatureProfile.HEX:
            # One signature only, the newest secret's: who reads this profile compares the whole header.
            headers[names.branded("signature")] = hex_signature(secrets[0], body)
        case SignatureProfile.SVIX:
            headers[SVIX_SIGNATURE] = headers[STANDARD_SIGNATURE]
        case SignatureProfile.CONVOY:
            headers[CONVOY_SIGNATURE] = convoy_signature(secrets[0], body)  # one only, as with hex
        case SignatureProfile.CONVOY_ADVANCED:
            headers[CONVOY_SIGNATURE] = convoy_advanced_signature(secrets, timestamp=timestamp, body=body)
        case SignatureProfile.STANDARD | SignatureProfile.ASYMMETRIC:
            pass
    return headers


def unsigned_headers(
    event_id: UUID,
    event_type: str,
    *,
    attempt: int,
    timestamp: int,
    custom: Mapping[str, str],
    names: HeaderNames,
) -> dict[str, str]:
    """Return the headers of an attempt (counted from 1) but its signatures; `custom` are the endpoint's.

    `timestamp` is in seconds since 1970.
    """
    message_id = text_of(Prefix.EVENT, event_id)
    return {
        **custom,
        **names.repeated(event_type, message_id, str(timestamp)),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-event": event_type,
        "webhook-attempt": str(attempt),
    }


def _valid(target: EndpointTarget, now: datetime) -> list[str]:
    """Return what signs now, newest first; a key pair only where the profile is the asymmetric one."""
    asymmetric = target.signature_profile is SignatureProfile.ASYMMETRIC
    return [
        one.secret
        for one in target.secrets
        if (one.expires_at is None or one.expires_at > now)
        and (asymmetric or not one.secret.startswith(PRIVATE_KEY_PREFIX))
    ]
