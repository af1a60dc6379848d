"""`esimhooks check-receiver`: a good receiver passes, what a bad one does wrong is reported, once, and how bad that is."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cli.canned import Invoke
from cli.flawed_receiver import SECRET, FlawedReceiver
from esimhooks.cli.conformance.cases import CASES, Case, Expected
from esimhooks.cli.conformance.exchange import Answer
from esimhooks.cli.conformance.grading import Result, judge
from reserved_port import ReservedPort

SLOW = "slow-sender,too-large"


def report(invoke: Invoke, receiver: FlawedReceiver, *words: str) -> tuple[int, dict[str, Any]]:
    done = invoke("check-receiver", receiver.url, "--secret", SECRET, "--json", *words)
    return done.code, json.loads(done.out)


def checked(invoke: Invoke, receiver: FlawedReceiver, *words: str) -> tuple[int, dict[str, list[str]]]:
    code, answer = report(invoke, receiver, *words)
    came: dict[str, list[str]] = {}
    for one in answer["checks"]:
        came.setdefault(one["result"], []).append(one["name"])
    return code, came


@pytest.mark.slow(reason="one of the checks sends for two seconds")
@pytest.mark.timeout(30)
def test_a_good_receiver_passes_all(invoke: Invoke) -> None:
    with FlawedReceiver() as receiver:
        done = invoke("check-receiver", receiver.url, "--secret", SECRET)

    assert done.code == 0
    assert "grade A, 100 of 100 points, safe" in done.out
    assert "fail" not in done.out


@pytest.mark.parametrize(
    ("flaw", "failing"),
    [
        (
            "believes everybody",
            {
                "wrong-secret",
                "no-signature",
                "no-id",
                "no-timestamp",
                "odd-timestamp",
                "old-timestamp",
                "future-timestamp",
                "refreshed-timestamp",
                "other-id",
                "changed-body",
                "re-encoded-body",
                "malformed-signature",
                "signature-version",
            },
        ),
        ("unsigned is fine", {"no-signature"}),
        ("forgets the age", {"old-timestamp"}),
        ("forgets the future", {"future-timestamp"}),
        ("impatient", {"tolerance-past", "tolerance-future"}),
        ("compares the event's time", {"late-retry"}),
        ("looks at the first signature", {"several-signatures"}),
        ("any version", {"signature-version"}),
        ("parses first", {"exact-bytes", "re-encoded-body", "not-json"}),
        ("minds case", {"header-case"}),
        ("refuses the unknown", {"unknown-event"}),
        ("refuses duplicates", {"duplicate", "concurrent-duplicates"}),
        ("small limit", {"large-body"}),
        ("crashes on no event", {"not-json"}),
        ("redirects", {"valid"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_mistake_fails_its_own_check(invoke: Invoke, flaw: str, failing: set[str]) -> None:
    with FlawedReceiver(flaw) as receiver:
        code, came = checked(invoke, receiver, "--skip", SLOW)

    assert code == 1
    assert set(came["fail"]) == failing


def test_gone_is_no_way_to_refuse(invoke: Invoke) -> None:
    with FlawedReceiver("gone") as receiver:
        code, came = checked(invoke, receiver, "--only", "wrong-secret,valid")

    assert (code, came) == (1, {"pass": ["valid"], "fail": ["wrong-secret"]})


@pytest.mark.parametrize(
    ("flaw", "check"), [("takes GET", "get"), ("no limit", "too-large"), ("hangs up", "keep-alive")]
)
def test_what_is_no_mistake_but_unwise_is_a_warning(invoke: Invoke, flaw: str, check: str) -> None:
    with FlawedReceiver(flaw) as receiver:
        code, came = checked(invoke, receiver, "--only", check)

    assert (code, came) == (0, {"warn": [check]})


@pytest.mark.slow(reason="the check sends for two seconds")
def test_one_read_is_not_one_body(invoke: Invoke) -> None:
    with FlawedReceiver("reads once") as receiver:
        code, came = checked(invoke, receiver, "--only", "slow-sender")

    assert (code, came) == (1, {"fail": ["slow-sender"]})


@pytest.mark.parametrize(
    ("flaw", "what"),
    [
        ("redirects", "it redirects to /hook/ (308)"),
        ("is elsewhere", "there is nothing at this path (404)"),
        ("takes no POST", "POST is not allowed"),
        ("crashes always", "it crashes on every request (500)"),
        ("crashes after verifying", "it crashes after verifying (500)"),
        ("is away", "it asks to retry later (503)"),
        ("refuses all", "it refuses a correctly signed event (401)"),
        ("dumps as Python does", "it verifies re-serialised JSON"),
        ("takes the text for the key", "it uses the text of the secret as the key"),
        ("signs the body alone", "it signs the body alone"),
        ("compares hex", "it compares the signature in hex"),
    ],
)
def test_where_a_good_request_is_not_accepted_one_cause_is_named_and_the_rest_not_run(
    invoke: Invoke, flaw: str, what: str
) -> None:
    with FlawedReceiver(flaw) as receiver:
        code, answer = report(invoke, receiver)

    [cause] = answer["causes"]
    assert cause["what"].startswith(what)
    assert cause["answer"]["body"].startswith(f"this is {flaw}")
    assert (code, [one["name"] for one in answer["checks"]]) == (1, ["valid"])
    assert len(answer["notRun"]) == len(CASES) - 1
    assert "grade" not in answer


@pytest.mark.parametrize(
    ("flaw", "what", "names"),
    [
        ("parses first", "it verifies re-serialised JSON", {"exact-bytes", "re-encoded-body", "not-json"}),
        ("believes everybody", "unsafe: it verifies nothing", {"wrong-secret", "no-signature", "other-id"}),
        ("forgets the age", "unsafe: it does not check the age", {"old-timestamp"}),
        ("crashes on forgeries", "safe, but it crashes instead of refusing", {"wrong-secret", "no-signature"}),
    ],
)
def test_a_cause_of_several_failures_is_named_once(invoke: Invoke, flaw: str, what: str, names: set[str]) -> None:
    with FlawedReceiver(flaw) as receiver:
        _, answer = report(invoke, receiver, "--skip", SLOW)

    [cause] = answer["causes"]
    assert cause["what"].startswith(what)
    assert names <= set(cause["cases"])


def test_a_crash_on_a_forged_request_is_safe_and_believing_it_is_not(invoke: Invoke) -> None:
    points = {}
    for flaw in ("crashes on forgeries", "believes everybody", "forgets the age"):
        with FlawedReceiver(flaw) as receiver:
            code, answer = report(invoke, receiver, "--skip", SLOW)
        points[flaw] = (code, answer["safe"], answer["grade"], answer["points"])

    assert points["crashes on forgeries"][:2] == (0, True)
    assert points["believes everybody"] == (1, False, "F", 0)
    assert points["forgets the age"][:3] == (1, False, "D")
    assert 0 < points["crashes on forgeries"][3] < 100


def test_what_the_receiver_answered_is_shown_and_cannot_control_the_terminal(invoke: Invoke) -> None:
    with FlawedReceiver("refuses the unknown") as receiver:
        done = invoke("check-receiver", receiver.url, "--secret", SECRET, "--only", "valid,unknown-event")

    assert r"It answered: this is refuses the unknown\x1b[2J" in done.out


def test_the_report_is_written_for_ci_as_junit_does(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    with FlawedReceiver("unsigned is fine") as receiver:
        invoke("check-receiver", receiver.url, "--secret", SECRET, "--skip", SLOW, "--junit", str(file))

    [suite] = ET.parse(file).getroot()
    failed = [one.get("name") for one in suite if one.find("failure") is not None]
    assert (suite.get("failures"), failed) == ("1", ["no-signature"])
    assert suite.get("tests") == str(len(suite)) == str(len(CASES) - 2)


@pytest.mark.parametrize("flaw", ["redirects", None])
def test_in_junit_what_was_not_run_is_skipped(invoke: Invoke, tmp_path: Path, flaw: str | None) -> None:
    file = tmp_path / "report.xml"
    with FlawedReceiver(flaw or "") as receiver:
        url = receiver.url
        if flaw:
            invoke("check-receiver", url, "--secret", SECRET, "--junit", str(file))
    if not flaw:
        invoke("check-receiver", url, "--secret", SECRET, "--junit", str(file))

    [suite] = ET.parse(file).getroot()
    assert suite.get("failures") == "1"
    assert suite.get("tests") == str(len(suite))
    assert len([one for one in suite if one.find("skipped") is not None]) >= len(CASES) - 1


def test_the_hex_profile_is_graded_by_what_it_signs(invoke: Invoke) -> None:
    with FlawedReceiver("hex") as receiver:
        code, came = checked(
            invoke, receiver, "--hex", "Acme", "--only", "valid,wrong-secret,no-signature,changed-body"
        )

    assert (code, came) == (0, {"pass": ["valid", "wrong-secret", "no-signature", "changed-body"]})


def test_a_receiver_that_is_not_there_is_one_clear_line(invoke: Invoke) -> None:
    with ReservedPort() as port:
        url = f"http://127.0.0.1:{port.number}/hook"
        done = invoke("check-receiver", url, "--secret", SECRET)

    assert done.code == 1
    assert done.out == f"nothing listens at {url}: connection refused. Start the receiver, or correct the URL.\n"


@pytest.mark.parametrize(
    ("secret", "hint"),
    [
        ("nope", "whsec_ and base64"),
        ("whsec_%", "standard base64"),
        ("whsec_AAAA", "was it cut off?"),
        (f"{SECRET}\n", "line break"),
        (f'"{SECRET}"', "quotes"),
        ("", "empty"),
        ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "whsk_"),
    ],
)
@pytest.mark.parametrize("command", ["check-receiver", "send"])
def test_what_is_no_secret_is_refused_with_a_hint(invoke: Invoke, command: str, secret: str, hint: str) -> None:
    done = invoke(command, "http://127.0.0.1:1/", "--secret", secret)

    assert done.code == 2
    assert hint in done.err


def test_a_check_that_does_not_exist_is_usage(invoke: Invoke) -> None:
    done = invoke("check-receiver", "http://127.0.0.1:1/", "--secret", SECRET, "--only", "duplicat")

    assert (done.code, "did you mean duplicate?" in done.err) == (2, True)


@pytest.mark.parametrize(("elapsed_s", "result"), [(0.2, Result.PASS), (1.5, Result.WARN), (5.0, Result.FAIL)], ids=str)
def test_slowness_is_a_warning_and_then_a_failure(elapsed_s: float, result: Result) -> None:
    case = next(one for one in CASES if one.expected is Expected.ACCEPTED_QUICKLY)

    assert judge(case, [Answer(status=200, elapsed_s=elapsed_s)]).result is result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_that_does_not_pass_says_in_one_sentence_what_to_fix(case: Case) -> None:
    verdict = judge(case, [Answer(status=500, elapsed_s=9.0)])

    assert verdict.result is not Result.PASS
    assert verdict.fix.endswith(".")
    assert len(verdict.fix) < 130
