"""What is done to each generated request and seen in each answer.

Before a request: ids in its path become rows that exist, its own or another tenant's, and names of other tenants, which
the generator has read in answers, leave its body. After it: it is counted, and whatever belongs to another tenant and was
not in the request itself is a leak.
"""

import random
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import unquote

import schemathesis
from schemathesis import CheckContext, Response, check
from schemathesis.core.failures import Failure

from esimhooks.server.domain.ids import Prefix, new_id, text_of
from reliability.api_fuzz.tenants import ID, Tenant, remember

SHARES = {True: (0.05, 0.1), False: (0.5, 0.25)}
"""How many ids in paths become the caller's own and another tenant's; few where a sequence brings its ids along."""
MAX_IDS = 400

Case = schemathesis.Case[Any]
PREFIX = re.compile(r"^\^([a-z]+)_")


class Watch:
    """One caller, who acts for one tenant: with its key, or as the operator (`operator`)."""

    def __init__(self, mine: Tenant, others: Sequence[Tenant], *, operator: bool, stateful: bool, seed: int) -> None:
        self.mine = mine
        self.others = others
        self.operator = operator
        self._own_share, self._foreign_share = SHARES[stateful]
        self._core = {one for tenant in (mine, *others) for one in tenant.core | {tenant.account}}
        self.counts: Counter[tuple[str, int]] = Counter()
        self._chance = random.Random(seed)

    def before(self, case: Case) -> None:
        """Put ids of rows that exist into the path, and let an operator act for the tenant."""
        declared = {one.name: one for one in case.operation.path_parameters}
        for name in list(case.path_parameters or {}):
            pattern = (declared[name].definition.get("schema") or {}).get("pattern", "") if name in declared else ""
            prefix = PREFIX.match(pattern)
            if prefix:
                value = self._id(prefix[1], case) or case.path_parameters[name]
                deadly = case.method in ("DELETE", "PATCH") and not self._for_mine(case) and value in self._core
                case.path_parameters[name] = text_of(Prefix(prefix[1]), new_id()) if deadly else value
        case.body = _without(case.body, self._names_of_others(case))
        requested = {one.name for one in case.operation.query}
        if self.operator and "account" in requested:
            case.query = dict(case.query or {}) | {"account": self.mine.account, "mode": self.mine.mode}

    def after(self, case: Case, response: Response) -> None:
        """Count the answer, and remember what rows the tenant has."""
        self.counts[case.operation.label, response.status_code] += 1
        if response.status_code < 300 and self._for_mine(case):
            mine = Tenant("", self.mine.account, self.mine.mode, "", frozenset())
            remember(mine, _text(response))
            for prefix, ids in mine.ids.items():
                known = self.mine.ids.setdefault(prefix, [])
                known += [one for one in ids if one not in known][: max(0, MAX_IDS - len(known))]

    def leak(self, case: Case, response: Response) -> str | None:
        """Return what the answer reveals of another tenant, None where it reveals nothing."""
        if not self._for_mine(case):
            return None
        foreign = self._foreign()
        text = _text(response)
        requested = _request_text(response)
        shown = [one for one in self._names_of_others(case) if one in text and one not in requested]
        shown += [found[0] for found in ID.finditer(text) if found[0] in foreign and found[0] not in requested]
        if response.status_code < 300:
            shown += [one for one in map(str, (case.path_parameters or {}).values()) if one in foreign]
        return f"shows {sorted(set(shown))[:5]} of another tenant to {self.mine.name}" if shown else None

    def _names_of_others(self, case: Case) -> set[str]:
        words = {one for other in self.others for one in other.words}
        return words - self.mine.words if self._for_mine(case) else words | self.mine.words

    def _for_mine(self, case: Case) -> bool:
        return not self.operator or "account" in {one.name for one in case.operation.query}

    def _foreign(self) -> set[str]:
        own = {one for ids in self.mine.ids.values() for one in ids} | {self.mine.account}
        return {one for other in self.others for ids in other.ids.values() for one in ids} - own

    def _id(self, prefix: str, case: Case) -> str | None:
        share = self._chance.random()
        if share < self._own_share:
            return self._one_of(self.mine.ids.get(prefix, []))
        if share < self._own_share + self._foreign_share and self._for_mine(case):
            return self._one_of([one for other in self.others for one in other.ids.get(prefix, [])])
        return None

    def _one_of(self, ids: Sequence[str]) -> str | None:
        return self._chance.choice(ids) if ids else None


def _without(value: Any, names: Collection[str]) -> Any:
    """Return a body in which nobody is called so: a name that was sent would not reveal a leak any more."""
    if isinstance(value, dict):
        return {_without(name, names): _without(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [_without(one, names) for one in value]
    if isinstance(value, str):
        for name in names:
            value = value.replace(name, "somebody")
    return value


_watch: list[Watch] = []


def watching(watch: Watch) -> None:
    """Let this watch see the requests from now on."""
    _watch[:] = [watch]


def before_call(_context: object, case: Case, _kwargs: dict[str, object]) -> None:
    """Hook: see `Watch.before`."""
    _watch[0].before(case)


def after_call(_context: object, case: Case, response: Response) -> None:
    """Hook: see `Watch.after`."""
    _watch[0].after(case, response)


@check
def nothing_of_another_tenant(_context: CheckContext, response: Response, case: Case) -> None:
    """Check: see `Watch.leak`."""
    found = _watch[0].leak(case, response)
    if found is not None:
        raise Failure(operation=case.operation.label, title="A row of another tenant", message=found)


def _request_text(response: Response) -> str:
    request = response.request
    body = request.body.decode(errors="replace") if isinstance(request.body, bytes) else str(request.body or "")
    return unquote(str(request.url)) + body


def _text(response: Response) -> str:
    return response.content.decode(errors="replace")  # pictures are no text
