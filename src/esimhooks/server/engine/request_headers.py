"""The headers of one attempt: those of Standard Webhooks always, and what the endpoint's signature profile adds.

The delivery, its endpoint and the bytes that are sent come in, headers in lower case go out. Secrets are chosen by the
moment of the attempt.
"""

from collections.abc import Mapping
from datetime import datetime

from esimhooks.server.model.delivery import Claimed, EndpointTarget
from esimhooks.server.model.endpoint import SignatureProfile
from esimhooks.server.model.ids import Prefix, text_of
from esimhooks.signing import PRIVATE_KEY_PREFIX, hex_signature, signature_header
from esimhooks.version import __version__

USER_AGENT = f"esimhooks/{__version__}"


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
    in_hex = target.signature_profile is SignatureProfile.HEX
    return {
        **dict(target.headers),
        **(_hex(claimed, body, secrets[0], brand=brand.lower(), timestamp=timestamp) if in_hex else {}),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(secrets, message_id=message_id, timestamp=timestamp, body=body),
        "webhook-event": claimed.event_type,
        "webhook-attempt": str(claimed.attempts + 1),
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


def _hex(claimed: Claimed, body: bytes, secret: str, *, brand: str, timestamp: int) -> Mapping[str, str]:
    """Return one signature only, the newest secret's: who reads this profile compares the whole header."""
    return {
        f"x-{brand}-signature": hex_signature(secret, body),
        f"x-{brand}-event": claimed.event_type,
        f"x-{brand}-event-id": text_of(Prefix.EVENT, claimed.event_id),
        f"x-{brand}-timestamp": str(timestamp),
    }
