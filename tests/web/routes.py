"""All routes but those of the dashboard as the router has them, with addresses that fit, and what every error answer looks like.

A route that is added later is found here by itself, and so by every test that goes over all routes.
"""

from typing import Any

from msgspec import Struct

from api import Answer, Api, Json
from esimhooks.server.api.parameters import path_names
from esimhooks.server.app.asgi import table
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.roles import Permission

IDS = {
    "account_id": Prefix.ACCOUNT,
    "delivery_id": Prefix.DELIVERY,
    "endpoint_id": Prefix.ENDPOINT,
    "esim_id": Prefix.ESIM,
    "event_id": Prefix.EVENT,
    "key_id": Prefix.KEY,
    "notification_id": Prefix.NOTIFICATION,
    "order_id": Prefix.ORDER,
    "recovery_id": Prefix.RECOVERY,
    "requery_id": Prefix.REQUERY,
}
OPEN = ("/healthz", "/readyz")
OF_THE_PROCESS = (*OPEN, "/metrics", "/schemas/{name}", "/openapi.json", "/asyncapi.json", "/docs")
"""Answered without a key and without the database's rows."""
FIXED = ("/v1/event-types", "/v1/event-types/{event}")
"""Answered with a key and without the database's rows."""
ENDLESS = ("/v1/stream",)
"""Its answer does not end; it has tests of its own."""
LEAKS = ("Traceback", "asyncpg", "msgspec", "SELECT", "Error", "Exception", "`", "dict", "NoneType")


class Route(Struct, frozen=True):
    """One operation: method, path as declared, its parameters, a body that it takes, and who may call it."""

    method: str
    path: str
    parameters: tuple[str, ...]
    operators: bool
    of_tenant: bool
    takes_body: bool
    needs_body: bool
    example: Any
    permission: Permission

    def at(self, **values: str) -> str:
        """Return the path, with ids of rows that do not exist where none is given."""
        path = self.path
        for name in self.parameters:
            there = text_of(IDS[name], new_id()) if name in IDS else "nowhere"
            path = path.replace(f"{{{name}}}", values.get(name, there))
        return path


def _all() -> list[Route]:
    found = [
        Route(
            one.method,
            one.path,
            tuple(path_names(one.path)),
            one.operators,
            one.takes.of_tenant,
            one.takes.body is not None,
            one.takes.needs_body,
            one.example,
            one.permission,
        )
        for one in table()
        if one.path not in ENDLESS
        if one.path in OF_THE_PROCESS or one.path.startswith(("/v1/", "/providers/{name}/{token}"))
    ]
    return sorted(found, key=lambda route: (route.path, route.method))


ROUTES = _all()
API = [route for route in ROUTES if route.path.startswith("/v1/")]
WITH_BODY = [route for route in API if route.takes_body]
WITH_IDS = [route for route in API if route.parameters]


def is_problem(answer: Answer, *expected: int) -> Json:
    """Check that an error is problem+json and shows nothing of the inside; return its body."""
    assert answer.status in expected, answer
    assert answer.headers["content-type"].startswith("application/problem+json"), answer
    assert {"type", "title", "status", "detail", "code"} <= answer.body.keys(), answer
    assert answer.body["status"] == answer.status
    assert answer.body["code"] == answer.body["code"].upper()
    texts = [answer.body["title"], answer.body["detail"], *(one["detail"] for one in answer.body.get("errors", []))]
    assert [(leak, one) for leak in LEAKS for one in texts if leak in one] == []
    return answer.body


def is_field(answer: Answer, pointer: str, *words: str) -> None:
    """Check that exactly this field is reported as bad, with these words."""
    body = is_problem(answer, 422)
    assert body["code"] == "INVALID_FIELD"
    assert [one["pointer"] for one in body["errors"]] == [pointer], answer
    for word in words:
        assert word in body["errors"][0]["detail"], answer


async def a_tenant(operator: Api) -> str:
    """Make an account; return the query that acts for it in test mode."""
    account = await operator.post("/v1/accounts", {"name": "Acme"})
    return f"?account={account['id']}&mode=test"
