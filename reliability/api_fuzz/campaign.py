"""The campaign: every operation of `/openapi.json` with generated requests, caller after caller, until there are enough.

The address and operator's key of a running node come in, figures and what was found go out. Operations, bodies and the
answers that are allowed come from the document alone.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from reliability.api_fuzz import watch as watching
from reliability.api_fuzz.tenants import made
from reliability.api_fuzz.watch import Watch

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "nothing_of_another_tenant",
)
ENDLESS = "/v1/stream"
"""Its answer does not end, so that it would stop the campaign; tests of its own look at it."""


ORDER = (("fuzzing", "stateful"), ("coverage",))


class Limit:
    """How far a campaign goes: examples per operation and phase, and minutes; and what is called with its progress."""

    def __init__(self, *, examples: int, minutes: float, say: Callable[[str], None]) -> None:
        self.examples = examples
        self.say = say
        self._minutes = minutes
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.seconds > self._minutes * 60


@dataclass
class Found:
    """A defect: the check that found it, where, what, how often, and the request that shows it."""

    check: str
    operation: str
    message: str
    times: int
    curl: str


@dataclass
class Campaign:
    """What was sent, what was answered, what was found."""

    seed: int
    seconds: float = 0.0
    operations: int = 0
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, str, str], Found] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return sum(self.counts.values())


def run(url: str, operator: str, *, requests: int, seed: int, limit: Limit) -> Campaign:
    """Send at least so many requests: every tenant with its own key and by the operator, phase after phase."""
    schemathesis.hook(watching.before_call)
    schemathesis.hook(watching.after_call)
    campaign = Campaign(seed)
    tenants = made(url, operator)
    callers = [(tenant, by_operator) for tenant in tenants for by_operator in (True, False)]
    rounds = [(caller, phase) for phases in ORDER for caller in callers for phase in phases]
    for turn in count():
        (tenant, by_operator), phase = rounds[turn % len(rounds)]
        others = [one for one in tenants if one is not tenant]
        watch = Watch(tenant, others, operator=by_operator, stateful=phase == "stateful", seed=seed + turn)
        config = _config(url, operator if by_operator else tenant.key, phase, limit.examples, seed + turn)
        _round(campaign, watch, config, limit)
        limit.say(f"{campaign.requests} requests, {len(campaign.found)} kinds of defects, {limit.seconds:.0f} s")
        if campaign.requests >= requests or limit.over:
            break
    campaign.seconds = limit.seconds
    return campaign


def _round(campaign: Campaign, watch: Watch, config: SchemathesisConfig, limit: Limit) -> None:
    watching.watching(watch)
    whole = schemathesis.openapi.from_url(f"{config.projects.default.base_url}/openapi.json", config=config)
    campaign.operations = max(campaign.operations, whole.statistic.operations.total)
    schema = whole.exclude(path=ENDLESS)
    if config.projects.default.phases.coverage.enabled and not watch.operator:
        schema = schema.include(path=_of_a_tenant(whole.raw_schema))  # others answer a merchant 403, whatever is sent
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, ScenarioFinished):
            campaign.phases[event.phase.value] += len(event.recorder.interactions)
            _note(campaign, event, limit)
        elif isinstance(event, NonFatalError):
            _found(campaign, "the campaign itself", event.label, str(event.value)[:500], "", limit)
        if limit.over:
            stream.stop()
    campaign.counts += watch.counts
    caller = f"operator for {watch.mine.name}" if watch.operator else watch.mine.name
    campaign.callers[caller] += sum(watch.counts.values())


def _of_a_tenant(document: Any) -> list[str]:
    """Return the paths that work on rows of one tenant: those for which an operator names an account."""
    return [
        path
        for path, item in document["paths"].items()
        if any(one["name"] == "account" for operation in item.values() for one in operation["parameters"])
    ]


def _note(campaign: Campaign, event: ScenarioFinished, limit: Limit) -> None:
    for case_id, checks in event.recorder.checks.items():
        for one in checks:
            if one.failure_info is None:
                continue
            case = event.recorder.cases[case_id].value
            message = f"{one.failure_info.failure.title}: {one.failure_info.failure.message}"
            _found(campaign, one.name, case.operation.label, message, one.failure_info.code_sample, limit)


def _found(campaign: Campaign, check: str, operation: str, message: str, curl: str, limit: Limit) -> None:
    kind = check, operation, message.split("\n", 1)[0][:120]
    if kind not in campaign.found:
        campaign.found[kind] = Found(check, operation, message[:1500], 0, curl[:1500])
        limit.say(f"found by {check} at {operation}: {' '.join(message.split())[:400]} | {curl[:400]}")
    campaign.found[kind].times += 1


def _config(url: str, key: str, phase: str, examples: int, seed: int) -> SchemathesisConfig:
    checks: dict[str, Any] = {name: {"enabled": True} for name in CHECKS}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "headers": {"authorization": f"Bearer {key}"},
            "continue-on-failure": True,
            "request-timeout": 60,
            "suppress-health-check": ["all"],
            "checks": {"enabled": False} | checks,
            "phases": {one: {"enabled": one == phase} for one in ("examples", "coverage", "fuzzing", "stateful")},
            "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        }
    )


def per_operation(campaign: Campaign) -> Sequence[tuple[str, dict[int, int]]]:
    """Return the operations with the statuses they answered with."""
    labels = sorted({label for label, _ in campaign.counts})
    return [
        (label, {status: times for (one, status), times in sorted(campaign.counts.items()) if one == label})
        for label in labels
    ]
