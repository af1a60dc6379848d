"""Requests as platforms hand them over: events of AWS Lambda, headers in lists, bodies in base64, secrets out of files."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from esimhooks import InvalidSecretError, Receiver, Webhook, WebhookVerificationError, aws
from esimhooks.signing import hex_signature
from esimhooks.testing import SignedRequest, signed_request
from receiver_side.posting import Seen

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the same in each process: it stands in the names of tests
CASES = Path(__file__).parents[1] / "receiver_cases"
SECRETS = json.loads((CASES / "secrets.json").read_text())
HEADERS = json.loads((CASES / "headers.json").read_text())
SPELLINGS = json.loads((CASES / "spellings.json").read_text())
EVENTS = sorted((Path(__file__).parent / "platforms").glob("*.json"))


def filled(text: str, request: SignedRequest) -> dict[str, Any]:
    """Return what a platform hands over with the headers and the body of a request in it."""
    digits = hex_signature(SECRET, request.body).removeprefix("sha256=")
    values = {
        "{HEX}": digits,
        "{UPPER_HEX}": digits.upper(),
        "{ID}": request.headers["webhook-id"],
        "{TIMESTAMP}": request.headers["webhook-timestamp"],
        "{SIGNATURE}": request.headers["webhook-signature"],
        "{BODY}": request.body.decode(),
        "{LENGTH}": str(len(request.body)),
        "{BASE64}": base64.b64encode(request.body).decode(),
    }
    for name, value in values.items():
        text = text.replace(name, json.dumps(value)[1:-1])
    return dict(json.loads(text))


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_event_of_lambda_is_answered_in_its_own_format(path: Path, tmp_path: Path) -> None:
    seen, request = Seen(), signed_request(SECRET, "esim.activated")
    receiver = Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}")
    receiver.on("*", name="welcome")(seen.add)
    event = filled(path.read_text(), request)

    answer = aws.take(receiver, event)
    forged = aws.take(receiver, event | {"body": "{}", "isBase64Encoded": False})
    receiver.drain()

    assert (answer["statusCode"], forged["statusCode"]) == (200, 401)
    assert ("multiValueHeaders" in answer) == ("multiValueHeaders" in event)
    assert seen.ids == [request.headers["webhook-id"]]


@pytest.mark.parametrize("case", HEADERS, ids=lambda case: case["name"])
def test_headers_verify_as_a_framework_hands_them_over(case: dict[str, Any]) -> None:
    request = signed_request(SECRET, "esim.activated")
    headers = filled(json.dumps(case["headers"]), request)

    assert Webhook(SECRET).verify(request.body, headers).id == request.headers["webhook-id"]
    with pytest.raises(WebhookVerificationError, match="no signature matches"):
        Webhook(SECRET).verify(request.body + b" ", headers)


@pytest.mark.parametrize("case", SPELLINGS, ids=lambda case: case["name"])
def test_headers_that_are_spelled_otherwise_have_the_same_verdict_in_every_language(case: dict[str, Any]) -> None:
    request = signed_request(SECRET, "esim.activated")
    headers = filled(json.dumps(case["headers"]), request)
    of_hex = case["name"].startswith("hex")
    webhook = Webhook(SECRET, profile="hex", brand="Acme") if of_hex else Webhook(SECRET)

    try:
        believed = webhook.verify(request.body, headers).id == request.headers["webhook-id"]
    except WebhookVerificationError:
        believed = False

    assert believed is case["believed"]


@pytest.mark.parametrize("method", ["GET", ""])
def test_an_event_of_lambda_that_is_no_post_is_refused(method: str, tmp_path: Path) -> None:
    receiver = Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}")

    assert aws.take(receiver, {"httpMethod": method, "body": None})["statusCode"] == 405


def test_a_body_that_is_still_base64_is_called_that() -> None:
    request = signed_request(SECRET, "esim.activated")

    with pytest.raises(WebhookVerificationError, match="still base64"):
        Webhook(SECRET).verify(base64.b64encode(request.body), request.headers)


def test_headers_may_have_lists_of_values() -> None:
    request = signed_request(SECRET, "esim.activated")

    event = Webhook(SECRET).verify(request.body, {name: [value] for name, value in request.headers.items()})

    assert event.id == request.headers["webhook-id"]


@pytest.mark.parametrize("case", SECRETS, ids=lambda case: case["name"])
def test_a_secret_is_taken_as_people_give_it_or_refused_with_the_cause(case: dict[str, Any]) -> None:
    if "refused" in case:
        with pytest.raises(InvalidSecretError, match=case["refused"]):
            Webhook(case["secret"])
    else:
        assert Webhook(case["secret"]).sign(b"", message_id="m")


@pytest.mark.parametrize("secret", [SECRET + "\n", f" {SECRET}\r\n", [SECRET + "\n"], "\ufeff" + SECRET])
def test_what_a_file_adds_around_a_secret_does_not_matter(secret: Any) -> None:
    request = signed_request(SECRET, "esim.activated")

    assert Webhook(secret).verify(request.body, request.headers).id == request.headers["webhook-id"]
