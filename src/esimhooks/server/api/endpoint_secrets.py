"""Secrets of endpoints: `/v1/endpoints/{id}/secret` and `/rotate-secret`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import EndpointId
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import SigningSecret
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.validation import Text
from esimhooks.server.manage import endpoints
from esimhooks.server.store.database import Session
from esimhooks.signing import PRIVATE_KEY_PREFIX, public_key_of
from esimhooks.vocabulary.timestamps import timestamp_or_none

DAY_S = 86_400
MAX_OVERLAP_S = 7 * DAY_S


class RotationBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many seconds old secrets keep signing: a day by default, 0 after a leak.

    `secret` is your own new one: `whsec_` and the base64 of 24 to 64 bytes.
    """

    expire_old_in: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_S)] = DAY_S
    secret: Text | None = None


DEFAULT_ROTATION = RotationBody()


class OldSecretView(Struct, rename="camel"):
    """A replaced secret that signs until `expiresAt`."""

    secret: str
    expires_at: str | None


class OldPublicKeyView(Struct, rename="camel"):
    """The public key of a replaced key pair that signs until `expiresAt`."""

    public_key: str
    expires_at: str | None


class SecretView(Struct, rename="camel"):
    """An endpoint's secret, and older ones that still sign, newest first.

    `publicKey` is null unless the signature profile is `standard-asymmetric`. Private keys are never shown.
    """

    secret: str
    old_secrets: list[OldSecretView]
    public_key: str | None
    old_public_keys: list[OldPublicKeyView]


routes = Routes(BY_KEY)


@routes.get("/v1/endpoints/{endpoint_id}/secret")
async def show_secret(db: Session, now: datetime, tenant: Tenant, endpoint_id: EndpointId) -> SecretView:
    """Show an endpoint's secret, and old ones that still sign."""
    return secrets_view(await endpoints.shown_secrets(db, tenant, endpoint_id, now=now))


@routes.post("/v1/endpoints/{endpoint_id}/rotate-secret", example={"expireOldIn": 3600}, status=200)
async def rotate_secret(
    db: Session,
    actor: Actor,
    now: datetime,
    tenant: Tenant,
    endpoint_id: EndpointId,
    data: RotationBody = DEFAULT_ROTATION,
) -> SecretView:
    """Replace an endpoint's secret; the old one keeps signing for `expireOldIn` seconds."""
    return secrets_view(
        await endpoints.rotate_secret(
            db, actor, tenant, endpoint_id, endpoints.Rotation(data.expire_old_in, data.secret), now=now
        )
    )


def secrets_view(newest_first: Sequence[SigningSecret]) -> SecretView:
    (newest, *old), (public, *old_public) = _shared(newest_first), _public(newest_first) or [None]
    return SecretView(
        secret=newest.secret,
        old_secrets=[OldSecretView(one.secret, timestamp_or_none(one.expires_at)) for one in old],
        public_key=public.public_key if public else None,
        old_public_keys=[one for one in old_public if one],
    )


def _shared(newest_first: Sequence[SigningSecret]) -> Sequence[SigningSecret]:
    return [one for one in newest_first if not one.secret.startswith(PRIVATE_KEY_PREFIX)]


def _public(newest_first: Sequence[SigningSecret]) -> list[OldPublicKeyView | None]:
    return [
        OldPublicKeyView(public_key_of(one.secret), timestamp_or_none(one.expires_at))
        for one in newest_first
        if one.secret.startswith(PRIVATE_KEY_PREFIX)
    ]
