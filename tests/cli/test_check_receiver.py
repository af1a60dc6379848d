"""`esimhooks check-receiver`: a good receiver passes, each bad one fails what it does wrong and nothing else."""

import json

import pytest

from cli.canned import Invoke
from cli.flawed_receiver import SECRET, FlawedReceiver
from esimhooks.cli.check_receiver import CHECKS
from esimhooks.cli.conformance.checks import Check, Expected
from esimhooks.cli.conformance.exchange import Answer
from esimhooks.cli.conformance.verdicts import Result, Verdict, judge, overall
from reserved_port import ReservedPort

SLOW = "slow-sender,too-large"


def checked(invoke: Invoke, receiver: FlawedReceiver, *words: str) -> tuple[int, dict[str, list[str]]]:
    done = invoke("check-receiver", receiver.url, "--secret", SECRET, "--json", *words)
    came: dict[str, list[str]] = {}
    for one in json.loads(done.out)["checks"]:
        came.setdefault(one["result"], []).append(one["name"])
    return done.code, came


@pytest.mark.slow(reason="one of the checks sends for two seconds")
@pytest.mark.timeout(30)
def test_a_good_receiver_passes_all(invoke: Invoke) -> None:
    with FlawedReceiver() as receiver:
        done = invoke("check-receiver", receiver.url, "--secret", SECRET)

    assert done.code == 0
    assert "grade A, 100 of 100 points" in done.out
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
        ("parses first", {"exact-bytes", "re-encoded-body", "truncated-body", "garbage", "not-json"}),
        ("minds case", {"header-case"}),
        ("refuses the unknown", {"unknown-event"}),
        ("refuses duplicates", {"duplicate", "concurrent-duplicates"}),
        ("small limit", {"large-body"}),
        ("crashes on odd timestamps", {"odd-timestamp"}),
        ("crashes on no event", {"not-json"}),
        ("redirects", {"no-redirect"}),
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


def test_where_the_first_request_is_not_taken_the_rest_is_not_run(invoke: Invoke) -> None:
    with FlawedReceiver("redirects") as receiver:
        _, came = checked(invoke, receiver)

    assert came["fail"] == ["no-redirect"]
    assert len(came["skip"]) == len(CHECKS) - 1


def test_the_hex_profile_is_graded_by_what_it_signs(invoke: Invoke) -> None:
    with FlawedReceiver("hex") as receiver:
        code, came = checked(
            invoke, receiver, "--hex", "Acme", "--only", "valid,wrong-secret,no-signature,changed-body"
        )

    assert (code, came) == (0, {"pass": ["valid", "wrong-secret", "no-signature", "changed-body"]})


def test_a_receiver_that_is_not_there_fails_and_says_so(invoke: Invoke) -> None:
    with ReservedPort() as port:
        done = invoke("check-receiver", f"http://127.0.0.1:{port.number}/hook", "--secret", SECRET)

    assert done.code == 1
    assert "Connection refused" in done.out
    assert "grade F" in done.out


@pytest.mark.parametrize(
    "words", [["--secret", "whsec_%"], ["--secret", SECRET, "--only", "nonsense"]], ids=["secret", "check"]
)
def test_wrong_words_are_usage(invoke: Invoke, words: list[str]) -> None:
    assert invoke("check-receiver", "http://127.0.0.1:1/", *words).code == 2


@pytest.mark.parametrize(("elapsed_s", "result"), [(0.2, Result.PASS), (1.5, Result.WARN), (5.0, Result.FAIL)], ids=str)
def test_slowness_is_a_warning_and_then_a_failure(elapsed_s: float, result: Result) -> None:
    check = next(one for one in CHECKS if one.expected is Expected.QUICK)

    assert judge(check, [Answer(status=200, elapsed_s=elapsed_s)]).result is result


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_failed_check_says_in_one_sentence_what_to_mend(check: Check) -> None:
    verdict = judge(check, [Answer(status=500, elapsed_s=9.0)])

    assert verdict.result is not Result.PASS or check.expected is Expected.NOT_REDIRECTED
    assert check.mend.endswith(".")
    assert len(check.mend) < 130


def test_a_dangerous_failure_leaves_no_grade_but_the_last() -> None:
    def verdict(result: Result, weight: int) -> Verdict:
        return Verdict(name="", about="", result=result, weight=weight)

    assert overall([verdict(Result.PASS, 90), verdict(Result.FAIL, 10)]) == ("F", 90)
    assert overall([verdict(Result.PASS, 95), verdict(Result.FAIL, 5)]) == ("C", 95)
    assert overall([verdict(Result.PASS, 98), verdict(Result.WARN, 2)]) == ("B", 99)
