"""A life of an order at one provider, as a file in `lives`: what is bought, what is sent and answered, what must follow.

Bodies of notifications are examples of the shipped document with other members, or stand in the file. `{A}` to `{E}` are
ICCIDs, `{now}` is the present, `{time-50m}` a time before the test began, as ISO 8601 or as `{time-50m|%Y%m%d}` says.
"""

import base64
import hashlib
import hmac
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from api import Json
from esimhooks.server.providers.mapping.check import shipped
from providers.mapping.fake_provider import FakeProvider
from upstream import Shop, Upstream

LIVES = Path(__file__).with_name("lives")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
TIME = re.compile(r"\{time([+-]\d+)([smhd])(?:\|([^}]+))?\}")


def written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iccid(number: int) -> str:
    """Return an ICCID whose check digit is right."""
    body = f"894454080833481{number:03d}"
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(body))]
    return f"{body}{-sum(digit // 10 + digit % 10 for digit in doubled) % 10}"


ICCIDS = {name: iccid(number) for number, name in enumerate("ABCDE", 101)}


def wsse(credentials: Mapping[str, str], body: bytes) -> str:
    nonce, created = "2F903601C019AF32", "2026-07-08T04:26:50Z"
    digest = hashlib.sha256(f"{nonce}{created}{credentials['appSecret']}".encode()).digest()
    token = {"Username": credentials["appKey"], "PasswordDigest": base64.b64encode(digest).decode()}
    return "UsernameToken " + ",".join(f'{k}="{v}"' for k, v in {**token, "Nonce": nonce, "Created": created}.items())


PROOFS: Mapping[str, tuple[str, Callable[[Mapping[str, str], bytes], str]]] = {
    "esimgo": (
        "x-signature-sha256",
        lambda own, body: base64.b64encode(hmac.digest(own["apiKey"].encode(), body, "sha256")).decode(),
    ),
    "airalo": ("airalo-signature", lambda own, body: hmac.digest(own["clientSecret"].encode(), body, "sha512").hex()),
    "esimfly": (
        "x-webhook-signature",
        lambda own, body: "sha256=" + hmac.digest(own["webhookSecret"].encode(), body, "sha256").hex(),
    ),
    "1global": ("authorization", lambda own, body: "Basic bWU6c2FtcGxl"),
    "cmi": ("x-wsse", wsse),
}


KINDS = sorted(path.stem for path in LIVES.glob("*.toml"))


def read(kind: str) -> dict[str, Any]:
    """Return the life at a provider of this kind."""
    return tomllib.loads((LIVES / f"{kind}.toml").read_text(encoding="utf-8"))


class Life:
    """One provider's life on a running server. `began_at` is what times in the file count from."""

    def __init__(self, script: dict[str, Any], shop: Shop, upstream: Upstream, fake: FakeProvider) -> None:
        self.script = script
        self.shop = shop
        self.upstream = upstream
        self.fake = fake
        self.began_at = datetime.now(UTC)
        self.names: dict[str, str] = {}
        self.counted: dict[str, int] = {}

    def filled(self, part: Any) -> Any:
        """Return a part of the file with ICCIDs and times in it."""
        text = TIME.sub(self._time, json.dumps(part)).replace("{now}", written(datetime.now(UTC)))
        for name, number in ICCIDS.items():
            text = text.replace(f"{{{name}}}", number)
        return json.loads(text)

    def _time(self, found: re.Match[str]) -> str:
        at = self.began_at + timedelta(**{UNITS[found[2]]: int(found[1])})
        return at.strftime(found[3]) if found[3] else written(at)

    async def buy(self) -> None:
        """Place the orders that the file names."""
        for order in self.script["orders"]:
            placed = await self.shop.order(order["transactionId"], **order)
            for esim in placed["esims"]:
                self.names[esim["id"]] = "ABCD"[len(self.names)]

    async def notify(self, step: dict[str, Any]) -> None:
        """Send the notification of a step, proven as the provider proves it."""
        body = step.get("body") or self._example(step)
        raw = json.dumps(self.filled(body)).encode()
        header, proof = PROOFS[self.script["kind"]]
        headers = {header: proof(self.script["credentials"], raw), "x-webhook-id": f"evt-{hash(raw)}"}
        url = self.upstream.inbound_url + step.get("path", "")
        async with ClientSession() as session, session.post(url, data=raw, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        newest = (await self.upstream.journal())[-1]
        assert newest["outcome"] == "applied", newest

    def _example(self, step: dict[str, Any]) -> Json:
        """Return an example of the shipped document with other members."""
        examples = shipped(self.script["kind"]).document.example
        [example] = [one for one in examples if one.name == step["example"]]
        body = json.loads(example.body) if isinstance(example.body, str) else example.body
        return _with(body, step.get("with", {}))

    def answers(self, step: dict[str, Any]) -> None:
        """Set what the provider's API says from now on."""
        for call, answer in self.filled(step.get("answers", {})).items():
            refused = isinstance(answer, dict) and answer.keys() == {"status", "body"}
            self.fake.says(call, answer["body"] if refused else answer, status=answer["status"] if refused else 200)

    async def top_up(self, step: dict[str, Any]) -> None:
        """Order more volume for an eSIM, where the step says so."""
        if "topUp" in step:
            order = dict(step["topUp"])
            esim_id = self.id_of(order.pop("esim"))
            await self.shop.order(order["transactionId"], esim=esim_id, **order)

    def id_of(self, name: str) -> str:
        """Return our id of an eSIM by its name in the file."""
        return next(esim_id for esim_id, own in self.names.items() if own == name)

    async def hand_in(self, updates: list[Json]) -> None:
        """Hand in what the operator knows."""
        own = [{"provider": "upstream"} | update for update in self.filled(updates)]
        results = await self.shop.update(*own)
        assert [one["outcome"] for one in results] == ["applied"] * len(own), results

    async def events(self) -> dict[str, list[Json]]:
        """Return the events since the last time, by the eSIM's name, oldest first."""
        for esim in await self.shop.esims():
            self.names.setdefault(esim["id"], "E")
        new: dict[str, list[Json]] = {}
        for esim_id, name in self.names.items():
            found = await self.shop.events(esim_id)
            if len(found) > self.counted.get(name, 0):
                new[name] = found[self.counted.get(name, 0) :]
            self.counted[name] = len(found)
        return new


def _with(body: Any, members: Any) -> Any:
    if not isinstance(body, dict) or not isinstance(members, dict):
        return members
    return body | {name: _with(body.get(name), value) for name, value in members.items()}


def has(got: Any, wanted: Any) -> bool:
    """Whether what is wanted stands in what was got; members that are not wanted do not matter."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(has(got.get(name), value) for name, value in wanted.items())
    return bool(got == wanted)
