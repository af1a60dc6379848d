"""Metrics in Prometheus' format: what happened is counted here, and every name and label is defined here.

Labels are bounded: outcomes, types and routes are closed lists, providers are those that the operator has configured.
No account, endpoint or eSIM is ever a label. Figures are those of this node: where it has several processes, they share
them in a folder (prometheus-client's multiprocess mode).
"""

import os
from collections import Counter as BucketCount
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client import start_http_server as _start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from esimhooks.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client finds the folder when it is imported."""

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
_counter = partial(Counter, registry=REGISTRY)
_histogram = partial(Histogram, registry=REGISTRY)
_gauge = partial(Gauge, multiprocess_mode="mostrecent", registry=REGISTRY)

_build = _gauge("esimhooks_build_info", "Always 1; the version is in the label", ["version"])
_build.labels(__version__).set(1)

_requests = _histogram(
    "esimhooks_http_request_duration_seconds",
    "Seconds from the headers of a request to the end of its response",
    ["method", "route", "status"],
    buckets=_REQUEST_BUCKETS_S,
)
_notifications = _counter("esimhooks_notifications", "Notifications and updates received", ["source", "outcome"])
_stored_first = _counter(
    "esimhooks_notifications_stored_first",
    "Notifications and updates acknowledged before they were applied",
    ["source"],
)
_doubts = _counter(
    "esimhooks_provider_doubts_total",
    "Fields of notifications that were not understood while the rest was applied",
    ["provider", "field"],
)
_events = _counter("esimhooks_events", "Events raised", ["type"])
_attempts = _counter("esimhooks_delivery_attempts", "Delivery attempts, by outcome", ["outcome"])
_attempt_seconds = _histogram(
    "esimhooks_delivery_attempt_duration_seconds",
    "Seconds from resolving the host name to the status line of the response",
    buckets=_REQUEST_BUCKETS_S,
)
_first_attempt_seconds = _histogram(
    "esimhooks_time_to_first_attempt_seconds",
    "Seconds from the creation of a delivery to its first attempt",
    buckets=_WAIT_BUCKETS_S,
)
_finished = _counter("esimhooks_deliveries_finished", "Deliveries that reached a final status", ["status"])
_dropped = _counter(
    "esimhooks_delivery_results_dropped", "Results discarded because another dispatcher had the lease by then"
)
_refused = _counter("esimhooks_refused", "Requests and connections refused, by cause", ["what"])
_disabled = _counter("esimhooks_endpoints_disabled", "Endpoints disabled, by reason", ["reason"])
_batches = _histogram("esimhooks_commit_size", "Items written in one transaction", ["batch"], buckets=_SIZE_BUCKETS)
_loop_failures = _counter("esimhooks_loop_failures", "Rounds of background loops that failed", ["loop"])
_rows_failed = _counter("esimhooks_rows_failed", "Rows that a loop could not process and skipped", ["loop"])
_queue = {
    "pending": _gauge("esimhooks_deliveries_pending", "Pending deliveries, due or not"),
    "lanes_due": _gauge("esimhooks_lanes_due", "Lanes with a delivery that is due"),
    "oldest_due_s": _gauge(
        "esimhooks_oldest_due_seconds", "Seconds for which the oldest due delivery has been waiting"
    ),
    "lanes_cooling_down": _gauge("esimhooks_lanes_resting", "Lanes that cool down because their endpoint fails"),
    "backlog": _gauge(
        "esimhooks_backlog_notifications",
        "Notifications that wait for their provider's answer or are stored but not yet applied",
    ),
    "stored": _gauge(
        "esimhooks_stored_notifications", "Notifications that are stored and acknowledged but not yet applied"
    ),
    "oldest_stored_s": _gauge(
        "esimhooks_oldest_stored_seconds", "Seconds for which the oldest of these has been waiting"
    ),
    "dispatchers": _gauge("esimhooks_dispatchers", "Live dispatchers on all nodes"),
}
"""The figures of `QueueStats`."""
_states = _gauge("esimhooks_endpoints", "Endpoints, by state", ["state"])
_provider_states = _gauge(
    "esimhooks_provider_state", "1 for a provider's current state, 0 for the others", ["provider", "state"]
)
_read_at = _gauge("esimhooks_queue_read_timestamp_seconds", "When the figures of the queue were read, in Unix seconds")


class QueueStats(Struct, frozen=True, kw_only=True):
    """How the queue stands: counts, and the ages of the oldest, in seconds (0 where there is none).

    Of deliveries the oldest that is due, of notifications the oldest that is `stored` and not yet applied.
    """

    pending: int
    lanes_due: int
    oldest_due_s: float
    lanes_cooling_down: int
    backlog: int
    stored: int
    oldest_stored_s: float
    dispatchers: int


def request(method: str, route: str, status: int, *, seconds: float) -> None:
    """Count an answered request. `route` is the path's template, never the path."""
    _request(method, route, status).observe(seconds)


def notification(source: str, outcome: str) -> None:
    """Count a notification or update that was taken in."""
    _notification(source, outcome).inc()


def stored_first(source: str) -> None:
    """Count a notification or update that is stored first; what became of it is counted once it is applied."""
    _stored_first.labels(source).inc()


def provider_doubt(provider: str, field: str) -> None:
    """Count a member of a notification that was not understood."""
    _doubts.labels(provider, field).inc()


def events_emitted(event_types: Sequence[str]) -> None:
    """Count events that were stored with their deliveries."""
    for event_type, count in BucketCount(event_types).items():
        _events.labels(event_type).inc(count)


def refused(what: str) -> None:
    """Count a request or a connection that was refused; `what` is one of `observe.refused.What`."""
    _refused.labels(what).inc()


def attempt(outcome: str, *, seconds: float, first_after_s: float | None) -> None:
    """Count an attempt. `first_after_s` is the age of the delivery where this is its first attempt."""
    _attempt(outcome).inc()
    _attempt_seconds.observe(seconds)
    if first_after_s is not None:
        _first_attempt_seconds.observe(max(0.0, first_after_s))


def delivery_finished(status: str) -> None:
    """Count a delivery that reached a final state."""
    _finish(status).inc()


def result_dropped() -> None:
    """Count a result that came too late to count."""
    _dropped.inc()


def endpoint_disabled(reason: str) -> None:
    """Count an endpoint that was disabled: `failing` and `gone` by the server, `manual` by a person."""
    _disabled.labels(reason).inc()


def batch_committed(batch: str, size: int) -> None:
    """Record how many items one transaction wrote; `batch` is `intake` or `outcomes`."""
    _batches.labels(batch).observe(size)


def loop_failed(loop: str) -> None:
    """Count a round of a loop that failed or had no database."""
    _loop_failures.labels(loop).inc()


def rows_failed(loop: str, count: int) -> None:
    """Count rows that a loop could not work on."""
    _rows_failed.labels(loop).inc(count)


def set_queue(stats: QueueStats, *, at: float) -> None:
    """Show the figures of the queue, read `at` (Unix seconds)."""
    for name, gauge in _queue.items():
        gauge.set(getattr(stats, name))
    _read_at.set(at)


def endpoint_states(number: Mapping[str, int]) -> None:
    """Show how many endpoints are in each state."""
    for state, count in number.items():
        _states.labels(state).set(count)


def provider_states(states: Mapping[str, str | None], *, known: Sequence[str]) -> None:
    """Show the state of each provider, one of `known`; None for a provider that is gone."""
    for provider, own in states.items():
        for state in known:
            _provider_states.labels(provider, state).set(state == own)


def exposition() -> bytes:
    """Return all metrics of the node as text of the format 0.0.4."""
    return generate_latest(_registry())


@contextmanager
def shared(folder: str) -> Iterator[None]:
    """Have the processes that are started meanwhile share their figures in a folder, and show those of all of them."""
    os.environ[SHARED] = folder
    try:
        yield
    finally:
        del os.environ[SHARED]


def forget_process(pid: int) -> None:
    """Leave out the gauges of a process that has ended."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]  # carries no types


def _registry() -> CollectorRegistry:
    if SHARED not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # carries no types
    return registry


class MetricsPort:
    """A port of its own for `/metrics`, open to whoever reaches it: for nodes without the API, and closed networks."""

    def __init__(self, host: str, port: int) -> None:
        self._server, self._thread = _start_http_server(port, addr=host, registry=_registry())

    @property
    def port(self) -> int:
        """The port that was taken, where 0 was set."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


# To find the figure of a label costs as much as to count it, so the few busy ones are cached.


@cache
def _request(method: str, route: str, status: int) -> Histogram:
    return _requests.labels(method, route, str(status))


@cache
def _notification(source: str, outcome: str) -> Counter:
    return _notifications.labels(source, outcome)


@cache
def _attempt(outcome: str) -> Counter:
    return _attempts.labels(outcome)


@cache
def _finish(status: str) -> Counter:
    return _finished.labels(status)
