"""A limit holds for all processes of a node together: they share its buckets."""

from pathlib import Path

import pytest

from esimhooks.server.api.buckets import SETS, WAYS, SharedBuckets
from esimhooks.server.api.limits import RateLimit
from esimhooks.server.app.node import CONNECTIONS, connections_of
from esimhooks.server.app.processes import share_of
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.errors import Refused


def a_process(folder: Path, *, per_s: float = 2) -> RateLimit:
    """Return the limit of one more process of the node."""
    return RateLimit(per_s, scope="key", buckets=SharedBuckets(folder / "keys.buckets", secret=b"of this node"))


def taken(limit: RateLimit, name: str) -> bool:
    try:
        limit.take(name, now=1.0)
    except Refused:
        return False
    return True


def test_what_a_key_has_sent_to_one_process_counts_in_the_others(tmp_path: Path) -> None:
    one, other = a_process(tmp_path), a_process(tmp_path)

    assert [taken(limit, "key") for limit in (one, other, one, other, one)] == [True] * 4 + [False]
    assert taken(other, "another key")


def test_what_one_process_gives_back_another_may_take(tmp_path: Path) -> None:
    one, other = a_process(tmp_path), a_process(tmp_path)
    assert [taken(one, "key") for _ in range(5)] == [True] * 4 + [False]

    other.give_back("key")

    assert taken(one, "key")


def test_a_process_that_is_started_later_finds_what_was_counted(tmp_path: Path) -> None:
    for _ in range(4):
        a_process(tmp_path).take("key", now=1.0)

    with pytest.raises(Refused):
        a_process(tmp_path).take("key", now=1.0)


def test_where_there_are_too_many_the_file_does_not_grow_and_the_newest_are_counted(tmp_path: Path) -> None:
    limit = a_process(tmp_path, per_s=0.5)
    size = (tmp_path / "keys.buckets").stat().st_size
    for number in range(2 * SETS * WAYS):
        limit.take(str(number), now=float(number))

    assert (tmp_path / "keys.buckets").stat().st_size == size
    with pytest.raises(Refused):
        limit.take(str(2 * SETS * WAYS - 1), now=float(2 * SETS * WAYS - 1))


def test_what_a_node_may_have_open_is_divided_among_its_processes(settings: Settings) -> None:
    node = settings.model_copy(update={"processes": 4, "max_in_flight": 500, "connections": 4098})

    shares = [share_of(node, number) for number in range(4)]

    assert {one.max_in_flight for one in shares} == {125}
    assert {one.connections for one in shares} == {1025}
    assert [Role.SCHEDULER in one.roles for one in shares] == [True, False, False, False]


def test_the_connections_to_the_database_stay_below_what_postgresql_allows_by_default() -> None:
    assert connections_of(1) == CONNECTIONS
    assert all(processes * (connections_of(processes) + 1) < 90 for processes in range(1, 9))
