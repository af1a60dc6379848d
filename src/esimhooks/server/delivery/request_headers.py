"""The headers of one attempt: those of Standard Webhooks always, and what the endpoint's signature profile adds.

The delivery, its endpoint and the bytes that are sent come in, headers in lower case go out. Secrets are chosen by the
moment of the attempt.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.delivery import Claimed, EndpointTarget
from esimhooks.server.domain.endpoint import SignatureProfile
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.signing import PRIVATE_KEY_PREFIX, hex_signature, signature_header
from esimhooks.version import __version__

USER_AGENT = f"esimhooks/{__version__}"
STANDARD_SIGNATURE = "webhook-signature"


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
    headers = unsigned_headers(
        claimed.event_id,
        claimed.event_type,
        attempt=claimed.attempts + 1,
        timestamp=timestamp,
        custom=target.headers,
        hex_brand=brand if target.signature_profile is SignatureProfile.HEX else None,
    )
    headers[STANDARD_SIGNATURE] = signature_header(secrets, message_id=message_id, timestamp=timestamp, body=body)
    if target.signature_profile is SignatureProfile.HEX:
        # One signature only, the newest secret's: who reads this profile compares the whole header.
        headers[hex_name(brand, "signature")] = hex_signature(secrets[0], body)
    return headers


def unsigned_headers(
    event_id: UUID,
    event_type: str,
    *,
    attempt: int,
    timestamp: int,
    custom: Mapping[str, str],
    hex_brand: str | None,
) -> dict[str, str]:
    """Return the headers of an attempt (counted from 1) but its signatures; `custom` are the endpoint's.

    `hex_brand` is given where the endpoint has the hex profile; `timestamp` is in seconds since 1970.
    """
    message_id = text_of(Prefix.EVENT, event_id)
    branded = {"event": event_type, "event-id": message_id, "timestamp": str(timestamp)}
    return {
        **custom,
        **({hex_name(hex_brand, name): value for name, value in branded.items()} if hex_brand else {}),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-event": event_type,
        "webhook-attempt": str(attempt),
    }


def hex_name(brand: str, what: str) -> str:
    """Return the name of a header of the hex profile."""
    return f"x-{brand.lower()}-{what}"


def _valid(target: EndpointTarget, now: datetime) -> list[str]:
    """Return what signs now, newest first; a key pair only where the profile is the asymmetric one."""
    asymmetric = target.signature_profile is SignatureProfile.ASYMMETRIC
    return [
        one.secret
        for one in target.secrets
        if (one.expires_at is None or one.expires_at > now)
        and (asymmetric or not one.secret.startswith(PRIVATE_KEY_PREFIX))
    ]
