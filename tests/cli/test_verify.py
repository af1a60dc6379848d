"""`esimhooks verify`: a request that does not verify is diagnosed by what is wrong with it."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from cli.canned import Invoke
from esimhooks import Webhook
from esimhooks.cli.diagnosis import Part, diagnose

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
BODY = b'{"test": 2432232314}'
NOW = 1614265330
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
START = f"{VECTOR['webhook-id']}.{NOW}.".encode()


PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ASYMMETRIC = VECTOR | {
    "webhook-signature": "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
}


def signed(signed_bytes: bytes, key: bytes = KEY) -> dict[str, str]:
    code = base64.b64encode(hmac.digest(key, signed_bytes, hashlib.sha256)).decode()
    return VECTOR | {"webhook-signature": f"v1,{code}"}


@pytest.mark.parametrize(
    ("headers", "body", "secret", "part", "clue"),
    [
        (VECTOR, BODY, SECRET, Part.NOTHING, "matches"),
        (VECTOR, BODY + b"\n", SECRET, Part.BODY, "line break"),
        (VECTOR, b'{"test":2432232314}', SECRET, Part.BODY, "with spaces"),
        (VECTOR, b'{"test": 1}', SECRET, Part.SECRET_OR_BODY, "no common mistake explains it"),
        (signed(START + BODY, SECRET.encode()), BODY, SECRET, Part.SECRET, "prefix included"),
        (signed(START + BODY, SECRET[6:].encode()), BODY, SECRET, Part.SECRET, "without its prefix"),
        (VECTOR, BODY, "whsec_%", Part.SECRET, "base64"),
        (signed(START.replace(b"30.", b"30000.") + BODY), BODY, SECRET, Part.TIMESTAMP, "unit"),
        (VECTOR | {"webhook-timestamp": "soon"}, BODY, SECRET, Part.TIMESTAMP, "whole Unix seconds"),
        (signed(BODY), BODY, SECRET, Part.HEADER, "only the body"),
        (
            VECTOR | {"webhook-signature": "v1," + hmac.digest(KEY, START + BODY, hashlib.sha256).hex()},
            BODY,
            SECRET,
            Part.HEADER,
            "hex",
        ),
        (VECTOR | {"webhook-signature": "v2,abc"}, BODY, SECRET, Part.HEADER, "v1"),
        (ASYMMETRIC, BODY, PUBLIC_KEY, Part.NOTHING, "matches"),
        (ASYMMETRIC, BODY + b"\n", PUBLIC_KEY, Part.BODY, "line break"),
        (ASYMMETRIC, b'{"test": 1}', PUBLIC_KEY, Part.SECRET_OR_BODY, "another endpoint's key"),
        (VECTOR, BODY, PUBLIC_KEY, Part.HEADER, "v1a"),
        (ASYMMETRIC, BODY, "whpk_%", Part.SECRET, "whpk_"),
        (ASYMMETRIC, BODY, "whsk_" + PUBLIC_KEY[5:], Part.SECRET, "the sender's own"),
        (VECTOR | {"webhook-id": ""}, BODY, SECRET, Part.HEADER, "webhook-id is missing"),
    ],
)
def test_the_part_that_is_wrong_is_named_with_how_it_is_known(
    headers: dict[str, str], body: bytes, secret: str, part: Part, clue: str
) -> None:
    diagnosis = diagnose(body, headers, secret=secret, now=NOW)

    assert diagnosis.part is part
    assert clue in diagnosis.why


@pytest.mark.parametrize(("late_s", "clue"), [(301, "301 s ago"), (-301, "301 s ahead")])
def test_a_right_signature_at_the_wrong_time_is_the_timestamp(late_s: int, clue: str) -> None:
    diagnosis = diagnose(BODY, VECTOR, secret=SECRET, now=NOW + late_s)

    assert diagnosis.part is Part.TIMESTAMP
    assert clue in diagnosis.why


@pytest.mark.parametrize("size", [25, 26, 32])
@pytest.mark.parametrize("around", ["{}", " {}\n", "\ufeff{}\r\n"])
def test_a_secret_that_a_receiver_verifies_with_is_right_here_too(around: str, size: int) -> None:
    secret = around.format("whsec_" + base64.b64encode(bytes(range(size))).decode().rstrip("="))
    headers = signed(START + BODY, bytes(range(size)))

    assert Webhook(secret, clock=lambda: NOW).verify_signature(BODY, headers).body == BODY
    assert diagnose(BODY, headers, secret=secret, now=NOW).part is Part.NOTHING


def test_the_header_names_of_svix_are_read_too() -> None:
    of_svix = {name.replace("webhook-", "svix-"): value for name, value in VECTOR.items()}

    assert diagnose(BODY, of_svix, secret=SECRET, now=NOW).part is Part.NOTHING
    del of_svix["svix-id"]
    assert diagnose(BODY, of_svix, secret=SECRET, now=NOW).why == "svix-id is missing"


def test_a_recorded_request_is_read_from_files(invoke: Invoke, tmp_path: Path) -> None:
    body, headers = tmp_path / "body", tmp_path / "headers"
    body.write_bytes(BODY)
    headers.write_text("".join(f"{name.title()}: {value}\n" for name, value in VECTOR.items()))
    words = ["verify", str(body), "--headers", str(headers), "--secret", SECRET]

    good = invoke(*words, "--at", str(NOW))
    late = invoke(*words, "--at", str(NOW + 999), "--json")

    assert (good.code, good.out.splitlines()[0]) == (0, "verified")
    assert (late.code, json.loads(late.out)["part"]) == (1, "timestamp")


def test_a_header_without_a_colon_is_usage(invoke: Invoke, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODY)

    assert invoke("verify", str(body), "--secret", SECRET, "-H", "nonsense").code == 2
