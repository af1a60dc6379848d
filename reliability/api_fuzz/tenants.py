"""Four tenants, two accounts in both modes, each with rows of every kind and with names that no other has.

An operator's key comes in; keys, known ids and names go out. Everything is made over the API itself.
"""

import json
import re
import urllib.request
from dataclasses import dataclass, field
from typing import Any

ID = re.compile(r"\b([a-z]{2,6})_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
NOBODY_LISTENS = "http://127.0.0.1:9"


@dataclass
class Tenant:
    """An account in a mode. `words` are names only it knows, `ids` its rows by prefix, `core` those it must not lose."""

    name: str
    account: str
    mode: str
    key: str
    words: frozenset[str]
    ids: dict[str, list[str]] = field(default_factory=dict)
    core: frozenset[str] = frozenset()

    @property
    def query(self) -> str:
        """What makes an operator act for it."""
        return f"account={self.account}&mode={self.mode}"


def call(url: str, key: str, method: str, path: str, body: object = None) -> Any:
    """Send a request and return the decoded answer. Raises `HTTPError` for anything but a 2xx."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url + path, data=data, headers=headers, method=method)  # noqa: S310 - our own node
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        return json.loads(answer.read() or b"null")


def made(url: str, operator: str) -> list[Tenant]:
    """Make two accounts, each with a live and a test key and some rows."""
    call(url, operator, "PUT", "/v1/providers/upstream", {"kind": "esimaccess"})
    tenants = []
    for number, word in enumerate(("zebrafinch", "quicksilver")):
        account = call(url, operator, "POST", "/v1/accounts", {"name": f"{word}-account"})["id"]
        tenants += [_tenant(url, operator, account, f"{word}{mode}", mode, number) for mode in ("live", "test")]
    return tenants


def _tenant(url: str, operator: str, account: str, word: str, mode: str, number: int) -> Tenant:
    hook = {"mode": mode, "name": f"{word}-key", "webhookUrl": f"{NOBODY_LISTENS}/{word}"}
    key = call(url, operator, "POST", f"/v1/accounts/{account}/keys", hook)
    order = {"account": account, "mode": mode, "provider": "upstream", "transactionId": f"{word}-order"}
    ordered = call(url, operator, "POST", "/v1/orders", order | {"packageCode": f"{word}-pack", "quantity": 1})
    digits = f"8943{number}{int(mode == 'live')}"
    update = {"esimStatus": "IN_USE", "totalVolume": 1024, "dataUsage": 12.5, "packageName": f"{word}-pack"}
    updates = [
        update | {"transactionId": f"{word}-{one}", "iccid": f"{digits}{one:013}", "ac": f"LPA:1${word}.example$X{one}"}
        for one in range(3)
    ]
    updated = call(url, operator, "POST", "/v1/updates", {"account": account, "mode": mode, "updates": updates})
    tenant = Tenant(word, account, mode, key["key"], frozenset({word, f"{word.removesuffix(mode)}-account"}))
    recover = f"/v1/endpoints/{key['endpoint']['id']}/recover"
    answers = [key, ordered, updated, call(url, tenant.key, "POST", recover, {"from": "2020-01-01T00:00:00Z"})]
    answers += [call(url, tenant.key, "GET", f"/v1/{kind}") for kind in ("esims", "events", "deliveries", "endpoints")]
    remember(tenant, json.dumps(answers))
    tenant.core = frozenset(one for ids in tenant.ids.values() for one in ids)
    return tenant


def remember(tenant: Tenant, text: str) -> None:
    """Note the ids in what was answered to the tenant: they are its rows."""
    for found in ID.finditer(text):
        ids = tenant.ids.setdefault(found[1], [])
        if found[0] not in ids:
            ids.append(found[0])
