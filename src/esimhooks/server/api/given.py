"""What handlers are given besides what the caller sends: the engine, and on whose behalf they act.

The names are those of the dependencies in `app.py`: `context`, `caller`, `operator`, `tenant`.
"""

from typing import TypeAlias

from litestar.di import NamedDependency

from esimhooks.server.api.auth import Principal
from esimhooks.server.api.context import Context
from esimhooks.server.domain.endpoint import Tenant

InContext: TypeAlias = NamedDependency[Context]
ByAnyone: TypeAlias = NamedDependency[Principal]
"""The caller, who may be an operator or a merchant."""
ByOperator: TypeAlias = NamedDependency[Principal]
"""The caller, who is an operator; others are refused (403)."""
OfTenant: TypeAlias = NamedDependency[Tenant]
"""Whose rows the request is about."""
