"""Bad input to every route: always a problem that says what was expected, never a 5xx, nothing of the inside shown.

Routes come from the table (`routes.py`), so none can be forgotten.
"""

import asyncio
import json
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from api import Answer, Api, Json
from web.described import Document
from web.routes import API, OF_THE_PROCESS, ROUTES, WITH_BODY, WITH_IDS, Route, a_tenant, is_field, is_problem

MALFORMED = {
    "truncated": b'{"name": "Ac',
    "two texts": b'{"name": "Acme"} {}',
    "trailing comma": b'{"name": "Acme",}',
    "not JSON": b"name=Acme",
    "single quotes": b"{'name': 'Acme'}",
    "nested 65 deep": b"[" * 65 + b"]" * 65,
    "nested 100,000 deep": b"[" * 100_000,
    "objects nested 5,000 deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "-Infinity": b'{"name": -Infinity}',
    "lone surrogate": rb'{"name": "\ud800"}',
    "reversed surrogates": rb'{"name": "\udc00\ud800"}',
    "lone surrogate as a name": rb'{"\udfff": 1}',
    "raw surrogate": b'{"name": "\xed\xa0\x80"}',
    "duplicate names": b'{"name": "Acme", "name": "Other"}',
    "duplicate names deep inside": b'{"name": {"a": [{"b": 1, "b": 1}]}}',
    "duplicate names by escapes": rb'{"name": "Acme", "\u006eame": "Other"}',
    "an integer of 20 digits": b'{"name": 18446744073709551616}',
    "an integer of 5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"name": 1e400}',
    "an exponent of 5,000 digits": b'{"name": 1e' + b"9" * 5000 + b"}",
    "raw NUL": b'{"name": "A\x00"}',
    "escaped NUL": rb'{"name": "A\u0000"}',
    "only NUL": b"\x00",
    "byte order mark": b'\xef\xbb\xbf{"name": "Acme"}',
    "UTF-16": '{"name": "Acme"}'.encode("utf-16"),
    "Latin-1": '{"name": "Café"}'.encode("latin-1"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "blank": b" \n",
    "a string that does not end": b'"' + rb"\"" * 100_000,
}
UNFIT = {"array": b"[]", "string": b'"name"', "null": b"null", "number": b"5", "true": b"true", "nested array": b"[{}]"}
JSON = {"content_type": "application/json"}
BAD_IDS = {
    "another kind": "zzz_01jd3v8k5fe8ya3q8r0m2n6x7c",
    "no prefix": "01jd3v8k5fe8ya3q8r0m2n6x7c",
    "too short": "acc_01jd",
    "beyond 128 bits": "acc_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    "foreign letters": "acc_" + "%C3%A9" * 26,
    "letters that the alphabet lacks": "acc_01jd3v8k5fe8ya3q8r0m2n6xuu",
    "upper case": "ACC_01JD3V8K5FE8YA3Q8R0M2N6X7C",
    "very long": "a" * 20_000,
    "NUL": "acc_%00",
    "control characters": "acc_%01%1F%7F",
    "invalid UTF-8": "acc_%FF%ED%A0%80",
    "encoded slash": "acc_01jd%2F..%2F",
    "quotes": "acc_'%22--",
}


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
async def test_malformed_json_is_a_400(route: Route, operator: Api) -> None:
    query = await a_tenant(operator) if route.of_tenant else ""
    path = route.at() + query

    malformed = MALFORMED | ({"empty": b""} if route.needs_body else {})

    answers = await asyncio.gather(
        *(operator.raw(route.method, path, body, content_type="application/json") for body in malformed.values())
    )

    for name, answer in zip(malformed, answers, strict=True):
        assert answer.status == 400, (name, answer)
        assert is_problem(answer, 400)["code"] == "MALFORMED_JSON"


async def test_where_every_field_has_a_default_no_body_is_an_empty_object(operator: Api) -> None:
    query = await a_tenant(operator)
    endpoint = await operator.post(f"/v1/endpoints{query}", {"url": "https://hooks.example.com/esims"})
    event = (await operator.post(f"/v1/test-events{query}", {"event": "esim.activated"}))["id"]
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    described = {(one.method, one.path): one.body for one in Document().operations if one.body is not None}
    tried = []
    for route in WITH_BODY:
        if route.method == "PATCH" or Document().resolved(described[route.method, route.path]).get("required"):
            continue
        path = route.at(endpoint_id=endpoint["id"], event_id=event, name="upstream") + (
            query if route.of_tenant else ""
        )
        answer = await operator.raw(route.method, path, b"")
        assert answer.status in (200, 202), (route, answer)
        tried.append(route.path.rpartition("/")[2])

    assert tried == ["rotate-secret", "requery", "resend", "dry-run", "rotate-token"]


async def test_a_body_that_is_no_object_is_refused_with_a_pointer_to_the_whole(operator: Api) -> None:
    query = await a_tenant(operator)
    for route in WITH_BODY:
        path = route.at() + (query if route.of_tenant else "")
        for body in UNFIT.values():
            is_field(
                await operator.raw(route.method, path, body, content_type="application/json"), "", "expected an object"
            )


async def test_bodies_of_other_types_are_a_415(operator: Api) -> None:
    query = await a_tenant(operator)
    for route in API:
        if route.method not in {"POST", "PUT", "PATCH"}:
            continue
        path = route.at() + (query if route.of_tenant else "")
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""):
            answer = await operator.raw(route.method, path, b'{"name": "Acme"}', content_type=media_type)
            assert is_problem(answer, 415)["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_body_over_256_kib_is_a_413_at_every_route_that_takes_one(operator: Api) -> None:
    query = await a_tenant(operator)
    for route in ROUTES:
        if route.method not in {"POST", "PUT", "PATCH"} or "token" in route.parameters:  # read after the token only
            continue
        path = route.at() + (query if route.of_tenant else "")
        answer = await operator.raw(route.method, path, b" " * 262_145, content_type="application/json")
        assert is_problem(answer, 413)["code"] == "TOO_LARGE"


async def test_unknown_fields_are_refused_by_their_escaped_name(operator: Api) -> None:
    query = await a_tenant(operator)
    for route in WITH_BODY:
        path = route.at() + (query if route.of_tenant else "")
        answer = await operator.call(route.method, path, {"a/b~c": 1})
        [unknown] = [one for one in is_problem(answer, 422)["errors"] if one["pointer"] == "/a~1b~0c"]
        assert unknown["detail"].startswith("expected no such field: only ")


async def test_every_bad_field_is_named_at_once(operator: Api) -> None:
    account = (await a_tenant(operator)).removeprefix("?account=").partition("&")[0]
    body = {"mode": "prod", "webhookUrl": 5, "allowedIps": ["10.0.0.0/8", 7], "more": 1}

    errors = is_problem(await operator.call("POST", f"/v1/accounts/{account}/keys", body), 422)["errors"]

    assert {one["pointer"] for one in errors} == {"/mode", "/name", "/webhookUrl", "/allowedIps/1", "/more"}
    assert all(one["detail"].startswith("expected ") for one in errors)


async def test_every_bad_parameter_is_named_at_once(operator: Api) -> None:
    answer = await operator.call("GET", "/v1/notifications?limit=0&outcome=lost&from=now")

    assert [one["pointer"] for one in is_problem(answer, 422)["errors"]] == [
        "query:outcome",
        "query:from",
        "query:limit",
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer", "words"),
    [
        ("POST", "/v1/accounts", {}, "/name", "text of 1 to 100 characters"),
        ("POST", "/v1/accounts", {"name": 5}, "/name", "text"),
        ("POST", "/v1/accounts", {"name": "a\u0007"}, "/name", "without control characters"),
        ("POST", "/v1/accounts", {"name": "a" * 101}, "/name", "characters"),
        ("POST", "KEYS", {"mode": "prod", "name": "ci"}, "/mode", "one of live, test"),
        ("POST", "KEYS", {"mode": "test"}, "/name", "expected this field"),
        ("POST", "KEYS", {"mode": "test", "name": "ci", "webhookUrl": 5}, "/webhookUrl", "text"),
        ("POST", "KEYS", {"mode": "test", "name": "ci", "allowedIps": []}, "/allowedIps", "a list of 1 to 10 items"),
        ("POST", "KEYS", {"mode": "test", "name": "ci", "allowedIps": ["10.0.0.0/33"]}, "/allowedIps/0", "CIDR"),
        (
            "POST",
            "KEYS",
            {"mode": "test", "name": "ci", "expiresAt": "2030-01-01"},
            "/expiresAt",
            "a time with its zone",
        ),
        (
            "POST",
            "KEYS",
            {"mode": "test", "name": "c", "expiresAt": "0001-01-01T00:00:00+14:00"},
            "/expiresAt",
            "years",
        ),
        ("PUT", "/v1/providers/up", {"kind": "nope"}, "/kind", "expected one of 1global, airalo"),
        ("PUT", "/v1/providers/up", {"kind": "x", "credentials": {"a": 1}}, "/credentials", "in every member"),
        ("PUT", "/v1/providers/up", {"kind": "x", "settings": {"": 1}}, "/settings", "in every name"),
        ("PUT", "/v1/providers/Up", {"kind": "esimaccess"}, "path:name", "1-63 of a-z"),
        ("PUT", "/v1/providers/updates", {"kind": "esimaccess"}, "path:name", "not the word updates"),
        ("POST", "/v1/updates", {"updates": []}, "/updates", "a list of 1 to 1000 items"),
        (
            "POST",
            "/v1/updates",
            {"updates": [{}], "account": "acc_x", "mode": "test"},
            "/account",
            "acc_ and 26 characters",
        ),
        ("POST", "/v1/updates", {"updates": [{}], "mode": "test"}, "/account", "beside the mode"),
        ("POST", "ORDERS", {"quantity": "1"}, "/quantity", "an integer from 1 to 1000"),
        ("POST", "ORDERS", {"quantity": 0}, "/quantity", "an integer from 1 to 1000"),
        ("POST", "ORDERS", {"quantity": True}, "/quantity", "an integer"),
        ("POST", "ORDERS", {"account": "acc_x"}, "/account", "acc_ and 26 characters"),
        ("POST", "ORDERS", {"provider": "nobody"}, "/provider", "configured provider"),
        ("POST", "TEST", {"event": "esim.nope"}, "/event", "esim.activated"),
        ("POST", "TEST", {"event": "esim.activated", "esim": "x"}, "/esim", "esim_ and 26 characters"),
        ("POST", "TEST", {"event": "esim.activated", "data": {"a/b": 1}}, "/data/a~1b", "expected one of"),
        ("POST", "TEST", {"event": "esim.activated", "data": {"dataUsage": "x"}}, "/data/dataUsage", "a number"),
    ],
)
async def test_a_bad_field_is_named_with_what_was_expected(
    method: str, path: str, body: dict[str, object], pointer: str, words: str, operator: Api
) -> None:
    query = await a_tenant(operator)
    account = query.removeprefix("?account=").partition("&")[0]
    if path == "ORDERS":
        order = {"account": account, "mode": "test", "provider": "up", "transactionId": "t", "packageCode": "P"}
        path, body = "/v1/orders", order | body
    paths = {"KEYS": f"/v1/accounts/{account}/keys", "TEST": f"/v1/test-events{query}"}

    is_field(await operator.call(method, paths.get(path, path), body), pointer, words)


BODIES: dict[str, Json] = {
    "keys": {"mode": "test", "name": "ci"},
    "recover": {"from": "2026-01-01T00:00:00Z"},
    "resend": {},
    "rotate-secret": {},
    "test": {"event": "esim.activated"},
}
"""What operations take, by the end of their path."""


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)
async def test_a_bad_id_is_a_404_everywhere(bad: str, operator: Api) -> None:
    query = await a_tenant(operator)
    for route in WITH_IDS:
        if route.method == "PUT" or "name" in route.parameters:
            continue
        body = BODIES.get(route.path.rpartition("/")[2], route.example or {"name": "Acme"})
        path = route.at(**dict.fromkeys(route.parameters, bad)) + (query if route.of_tenant else "")
        sent = json.dumps(body).encode() if route.takes_body else b""
        answer = await operator.raw(route.method, path, sent, **JSON)
        is_problem(answer, 404, 405, 414)


@pytest.mark.parametrize("bad", ["%00", "%2F", "a%20b", "%01", "a" * 20_000, "%FF"])
async def test_bad_names_of_providers_are_refused(bad: str, operator: Api) -> None:
    is_problem(await operator.call("GET", f"/v1/providers/{bad}"), 404, 414)
    is_problem(await operator.call("DELETE", f"/v1/providers/{bad}"), 404, 405, 414)
    is_problem(await operator.call("PUT", f"/v1/providers/{bad}", {"kind": "esimaccess"}), 404, 405, 414, 422)
    is_problem(await operator.call("POST", f"/providers/{bad}/token", {}), 401, 404, 414)
    is_problem(await operator.call("POST", f"/providers/up/{bad}", {}), 401, 404, 414)


async def test_wrong_methods_are_a_405_and_unknown_paths_a_404(operator: Api) -> None:
    known = {
        path: {route.method for route in ROUTES if route.path == path} for path in {route.path for route in ROUTES}
    }
    for route in ROUTES:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - known[route.path]:
            is_problem(await operator.call(method, route.at()), 405)
    for path in (
        "/v1",
        "/v2/accounts",
        "/v1/nothing",
        "/v1/accounts/x/y/z",
        "/%00",
        "/..%2f..%2fetc",
        "/v1%2Faccounts",
    ):
        is_problem(await operator.call("GET", path), 404)


async def test_head_and_options_do_no_harm(operator: Api) -> None:
    for route in ROUTES:
        assert (await operator.call("HEAD", route.at())).status in {200, 404, 405}
        assert (await operator.call("OPTIONS", route.at())).status in {204, 404}


def none_is_broken(answers: Sequence[Answer]) -> None:
    assert [answer for answer in answers if answer.status >= 500] == []


async def test_nothing_of_it_is_logged_as_an_error_of_ours(operator: Api) -> None:
    query = await a_tenant(operator)
    with capture_logs() as lines:
        answers = [
            await operator.raw(route.method, route.at() + query, body, **JSON)
            for route in ROUTES
            if route.path not in OF_THE_PROCESS
            for body in (b"{", b"[]", b'{"name": "Acme", "extra": 1}', b"\x00")
        ]

    none_is_broken(answers)
    assert [line for line in lines if line["log_level"] == "error"] == []
