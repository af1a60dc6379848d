"""Laws that hold for whatever is reported of an eSIM in whatever order: events, thresholds, `changes`, numbers, bytes."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Update
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from esimhooks.vocabulary.volumes import BYTES_PER_MB
from factories import EVERY_CHANGE, Applied, an_active_esim, an_esim, an_order, an_update, apply_update, hours

STATUS_EVENTS = frozenset(EventType) - {EventType.DATA_UPDATED, EventType.USAGE_UPDATED, EventType.REQUERIED}
POLICIES = st.sampled_from(
    [EVERY_CHANGE, EmitPolicy(), EmitPolicy(usage_interval_s=7 * 24 * 3600), EmitPolicy(thresholds=())]
)

times = st.integers(0, 240).map(hours)
volumes = st.integers(0, 12 * 1024 * BYTES_PER_MB)
texts = st.sampled_from(["a", "ü", "LPA:1$a$b", "\U0001f4f6"])


@st.composite
def updates(draw: st.DrawFn, causes: tuple[Cause, ...] = tuple(Cause)) -> Update:
    facts: dict[str, st.SearchStrategy[Any]] = dict(
        occurred_at=times,
        esim_status=st.sampled_from(EsimStatus),
        reason=texts,
        smdp_status=st.sampled_from(SmdpStatus),
        smdp_sequence=st.integers(1, 9),
        eid=st.sampled_from(["8" * 32, "9" * 32]),
        total_bytes=volumes.filter(bool),
        used_bytes=volumes,
        usage_at=times,
        validity_days=st.integers(0, 5),
        total_days=st.integers(1, 40),
        activate_at=times,
        expire_at=times,
        ac=texts,
        apn=texts,
    )
    applied = draw(st.sets(st.sampled_from(sorted(facts)), max_size=6))
    return an_update(cause=draw(st.sampled_from(causes)), **{name: draw(facts[name]) for name in sorted(applied)})


esims = st.builds(an_order) | st.builds(an_esim) | st.builds(an_active_esim)
stories = st.lists(updates(), max_size=12)


def apply_story(esim: Esim, story: list[Update], policy: EmitPolicy) -> list[Applied]:
    """One update arrives every ten hours."""
    applied: list[Applied] = []
    for index, update in enumerate(story):
        last = applied[-1].esim if applied else esim
        applied.append(apply_update(last, update, received_at=hours(10 * index + 1), policy=policy))
    return applied


@given(esim=esims, story=stories, policy=POLICIES)
def test_a_change_of_status_raises_one_status_event_and_nothing_else_does(
    esim: Esim, story: list[Update], policy: EmitPolicy
) -> None:
    for step in apply_story(esim, story, policy):
        before, after = step.change.before, step.change.after
        created_pending = before.status is None and after.status is EsimStatus.PENDING
        moved = (before.status, before.smdp_status) != (after.status, after.smdp_status)
        raised = [one for one in step.envelopes if one.event in STATUS_EVENTS]

        assert len(raised) == int(moved and not created_pending)
        assert raised == list(step.envelopes[: len(raised)]), "the status event is the first"


@given(
    readings=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 200)), max_size=20),
    causes=st.lists(st.sampled_from([Cause.PUSH, Cause.POLL, Cause.REQUERY, Cause.FILL]), min_size=20, max_size=20),
    thresholds=st.sets(st.integers(1, 130), max_size=6),
)
def test_a_threshold_fires_once_until_it_is_armed_again(
    readings: list[tuple[int, int]], causes: list[Cause], thresholds: set[int]
) -> None:
    esim = an_active_esim(total_bytes=100, used_bytes=0)
    total, used = 100, 0
    armed = set(thresholds)
    for index, ((next_total, next_used), cause) in enumerate(zip(readings, causes, strict=False), 1):
        update = an_update(cause=cause, occurred_at=hours(index), total_bytes=next_total, used_bytes=next_used)
        applied = apply_update(esim, update, policy=EmitPolicy(thresholds=tuple(thresholds)))

        topped_up, fallen = next_total > total, next_used < used
        if topped_up or fallen:
            armed |= {one for one in thresholds if one * next_total > next_used * 100}
        fired = {one for one in armed if one * next_total <= next_used * 100}
        armed -= fired
        events = [one.thresholds for one in applied.envelopes if one.thresholds is not UNSET]
        assert events == ([sorted(fired)] if fired else [])
        esim, total, used = applied.esim, next_total, next_used


@given(esim=esims, story=stories, update=updates(), policy=POLICIES)
def test_the_same_update_again_changes_nothing_and_raises_nothing(
    esim: Esim, story: list[Update], update: Update, policy: EmitPolicy
) -> None:
    applied = apply_story(esim, story, policy)
    first = apply_update(applied[-1].esim if applied else esim, update, received_at=hours(300), policy=policy)

    again = apply_update(first.esim, update, received_at=hours(300), policy=policy)

    if update.cause is Cause.REQUERY:
        assert again.events == ["usage_updated", "requeried"]
        assert again.change.after == first.esim
    else:
        assert again.events == []
        assert again.esim == first.esim
        assert again.change.outcome in ("unchanged", "stale")


@given(esim=esims, story=stories, policy=POLICIES)
def test_the_events_of_an_esim_are_numbered_without_gaps(esim: Esim, story: list[Update], policy: EmitPolicy) -> None:
    envelopes = [one for step in apply_story(esim, story, policy) for one in step.envelopes]

    first = esim.sequence + 1
    assert [one.sequence for one in envelopes] == list(range(first, first + len(envelopes)))


@given(esim=esims, story=stories, policy=POLICIES)
def test_the_changes_of_all_events_lead_from_the_first_data_to_every_later_one(
    esim: Esim, story: list[Update], policy: EmitPolicy
) -> None:
    """A merchant who starts with one event and applies `changes` from then on knows all that we know."""
    envelopes = [one for step in apply_story(esim, story, policy) for one in step.envelopes]
    if not envelopes:
        return
    known = comparable(envelopes[0])
    for one in envelopes[1:]:
        changes = {} if one.changes is UNSET else one.changes
        for name, change in changes.items():
            assert name == "validity_usage_remain" or known[name] in (change.old, change.new)
        known |= {name: change.new for name, change in changes.items() if name in known}
        assert known == comparable(one)


def comparable(envelope: Envelope) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(envelope.data)
    apart = {"id", "createdAt", "updatedAt", "validity_usage_remain"}
    return {name: value for name, value in data.items() if name not in apart}


@given(esim=esims, story=stories, policy=POLICIES)
def test_changes_have_differences_only(esim: Esim, story: list[Update], policy: EmitPolicy) -> None:
    for step in apply_story(esim, story, policy):
        for one in step.envelopes:
            assert one.changes != {}, "absent, not empty"
            data = msgspec.to_builtins(one.data)
            for name, change in ({} if one.changes is UNSET else one.changes).items():
                assert change.old != change.new == data[name]


@given(esim=esims, story=stories, policy=POLICIES)
def test_the_bytes_of_an_event_are_json_that_says_the_same(esim: Esim, story: list[Update], policy: EmitPolicy) -> None:
    for step in apply_story(esim, story, policy):
        for one in step.envelopes:
            body = encode(one)
            assert msgspec.json.decode(body.decode("utf-8"), type=Envelope) == one
