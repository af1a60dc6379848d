"""docs/limits.md and docs/errors.md say what the code enforces: each figure is the constant's, each code exists."""

import re
from pathlib import Path

import pytest

from esimhooks.cli.conformance.cases import CASES
from esimhooks.server.api import endpoint_secrets, http, inbound, orders, providers, transaction
from esimhooks.server.app import connections
from esimhooks.server.app.settings import Settings
from esimhooks.server.delivery.http import answer_reader, target
from esimhooks.server.domain import endpoint, endpoint_rules, expression, plans, schedule, trusted_cas
from esimhooks.server.manage import endpoints, keys, streams
from esimhooks.server.providers import api_call, generic
from esimhooks.vocabulary import envelope

ROOT = Path(__file__).parents[2]
LIMITS = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
DEFAULTS = {str(field.validation_alias or name): field.default for name, field in Settings.model_fields.items()}
SERVER = ROOT / "src" / "esimhooks" / "server"
ROOMS = ("api", "dashboard", "domain", "manage")


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        ("request body, also at inbound", f"{http.MAX_BODY_BYTES // 1024} KiB, within {http.BODY_S:.0f} s"),
        (
            "headers, URL",
            f"{connections.MAX_HEAD_BYTES // 1024} KiB and {connections.MAX_HEADERS} headers within {connections.HEAD_S:.0f} s, ",
        ),
        ("requests per merchant key", f"{DEFAULTS['rate_limit_key']}/s, bursts of {2 * DEFAULTS['rate_limit_key']} "),
        (
            "requests per address",
            f"{DEFAULTS['rate_limit_address']}/s, bursts of {2 * DEFAULTS['rate_limit_address']} ",
        ),
        ("wrong keys", f"{DEFAULTS['tries_address']}/min"),
        ("open connections", f"{DEFAULTS['connections']}, {DEFAULTS['connections_address']} "),
        ("open streams", f"{streams.MAX_OF_TENANT}, {streams.MAX_STREAMS} "),
        ("active API keys", f"{keys.MAX_LIVE_KEYS} "),
        ("updates per", f"{inbound.MAX_UPDATES} "),
        ("eSIMs per order", f"{orders.MAX_ORDER}, {generic.MAX_METADATA_BYTES} bytes"),
        ("`Idempotency-Key`", f"{transaction.MAX_KEY} printable"),
        ("body", f"{envelope.MAX_BODY_BYTES // 1024} KiB"),
        ("time for the answer", f"{DEFAULTS['timeout']:.0f} s, "),
        ("attempts", f"{len(schedule.STANDARD)} over about 3 h 20 min; up to {schedule.MAX_ATTEMPTS} "),
        ("`Retry-After`", f"up to {schedule.MAX_RETRY_AFTER_S / 3600:.0f} h"),
        ("concurrent requests", f"{DEFAULTS['max_in_flight_lane']}, 1-200 per endpoint; {DEFAULTS['max_in_flight']} "),
        ("rate limit of an endpoint", f"1-{endpoint.MAX_RATE // 1000} 000/s"),
        (
            "answer body",
            f"{answer_reader.READ_BYTES // 1024} KiB are read, {answer_reader.MAX_BODY_BYTES // 1024} KiB are kept",
        ),
        ("URL of an endpoint", f"{target.MAX_URL} characters"),
        ("custom headers", f"{endpoint_rules.MAX_HEADERS}, values up to {endpoint_rules.MAX_VALUE} "),
        ("filter expression", f"{expression.MAX_CHARACTERS} characters, {expression.MAX_STEPS // 1000} 000 "),
        ("trusted CA", f"{trusted_cas.MAX_TRUSTED_CAS}, {endpoint.MAX_PEM // 1024} KiB"),
        (
            "secrets signing",
            f"{endpoints.MAX_SECRETS}, each kept for up to {endpoint_secrets.MAX_OVERLAP_S // 86_400} ",
        ),
        ("time for a provider's API", f"{api_call.TIMEOUT_S:.0f} s, {api_call.MAX_ANSWER_BYTES // 1_048_576} MiB"),
        ("plans per eSIM", f"{plans.MAX_PLANS} "),
        ("old inbound address", f"1 day, up to {providers.MAX_OVERLAP_S // 86_400} days"),
    ],
)
def test_a_limit_is_the_one_that_is_enforced(row: str, figures: str) -> None:
    assert figures.strip() in "".join(line for line in LIMITS.splitlines() if line.startswith(f"| {row}"))


def test_every_error_code_is_explained_and_exists() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for room in ROOMS for path in (SERVER / room).rglob("*.py")]
    named = {code for text in texts for code in re.findall(r'(?:code|CODE) ?= ?"([A-Z_]{4,})"', text)}
    named |= set(re.findall(r', "([A-Z_]{4,})"', (SERVER / "api" / "problems.py").read_text(encoding="utf-8")))
    named |= {one.code for one in vars(connections).values() if isinstance(one, connections.Refusal)}

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == named


@pytest.mark.parametrize("page", ["README.md", "docs/quick-start.md"])
def test_the_number_of_checks_of_a_receiver_is_right(page: str) -> None:
    assert f"{len(CASES)} checks" in (ROOT / page).read_text(encoding="utf-8")
