"""What was found for an id or a number that a person typed."""

from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix


class Hit(Struct, frozen=True, kw_only=True):
    """One row. `tenant` None for what belongs to the installation; `part_of` is the row on whose page it is shown.

    `label` tells a person which one it is; of an audit entry, what it is about.
    """

    kind: Prefix
    id: UUID
    tenant: Tenant | None = None
    part_of: UUID | None = None
    label: str | None = None
