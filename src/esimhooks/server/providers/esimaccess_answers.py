"""What eSIM Access answers to a question becomes updates, or the error that its code means.

Bytes and the HTTP status come in; nothing is asked here. Activation codes and addresses of QR codes never stand in a
message, and credentials are taken out of what the provider says.
"""

import re
from collections.abc import Collection
from datetime import datetime
from http import HTTPStatus

from msgspec import Struct

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Cause, Update
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.esimaccess_parse import MAX_EID_DIGITS, duration_days, identity
from esimhooks.server.providers.esimaccess_words import ESIM_STATUS, SMDP_STATUS
from esimhooks.server.providers.fields import Fields, volume
from esimhooks.server.providers.port import ProviderRefused, StillAllocating, Unparsable

MAX_ANSWER_BYTES = 4 * 1_048_576
_MAX_ADDRESS = 1000
_MAX_RETRY_AFTER_S = 300.0
_ALLOCATING = "200010"
_ABOUT_THE_QUESTION = re.compile(r"00010[4-7]|2000\d\d|310\d\d\d", re.ASCII)
"""Codes that say something of the very order, eSIM or parameter. All others pass: credentials, addresses, the server."""
_SUCCESS_WORDS: dict[str, bool] = {"true": True, "false": False}
_ACTIVATION_CODE = re.compile(r"LPA:\S+", re.IGNORECASE)


class Answer(Struct, frozen=True):
    """An HTTP answer as it was read: at most `MAX_ANSWER_BYTES`."""

    status: int
    body: bytes
    retry_after: str | None = None


def judge(answer: Answer, *, secrets: Collection[str] = ()) -> Fields:
    """Return `obj` of a successful answer.

    Raises `StillAllocating`, `ProviderRefused` only for what the API itself says of the very thing that was asked for,
    `NotNow` for all that may pass or be mended (gateways, credentials, what is not known), and `Unparsable` where the
    answer is not what is documented.
    """
    if answer.status != HTTPStatus.OK:
        raise NotNow(f"the provider answered HTTP {answer.status}", retry_after_s=_wait(answer.retry_after))
    envelope = Fields(read_json(answer.body, limit_bytes=MAX_ANSWER_BYTES), "answer")
    code, success = _code(envelope), _success(envelope)
    if code is None and success:
        return envelope.section("obj")
    said = f"{code or 'no code'}: {_said(envelope, secrets)}"
    if code == _ALLOCATING:
        raise StillAllocating(said, retry_after_s=3.0)
    if code is not None and _ABOUT_THE_QUESTION.fullmatch(code):
        raise ProviderRefused(said)
    raise NotNow(said)


class Page(Struct, frozen=True):
    """One page of `esim/query`; `total` is that of all pages, where it is told."""

    esims: tuple[Update, ...]
    total: int | None


def read_page(obj: Fields, asked_at: datetime) -> Page:
    """Return the eSIMs of one page. Raises `Unparsable`."""
    esims = tuple(_esim(item, asked_at) for item in obj.sections("esimList"))
    pager = obj.section_if_told("pager")
    return Page(esims, pager.whole("total", most=1_000_000_000) if pager else None)


def read_usage(obj: Fields, asked_at: datetime) -> tuple[Update, ...]:
    """Return one update (cause poll) per eSIM of the answer to `esim/usage/query`. Raises `Unparsable`."""
    return tuple(
        Update(
            identity=identity(item),
            cause=Cause.POLL,
            occurred_at=asked_at,
            total_bytes=volume(item, "totalData"),
            used_bytes=volume(item, "dataUsage"),
            usage_at=item.moment("lastUpdateTime"),
        )
        for item in obj.sections("esimUsageList")
    )


def _esim(item: Fields, asked_at: datetime) -> Update:
    whose = identity(item)
    if whose.esim_tran_no is None:
        raise item.missing("esimTranNo")
    packages = item.sections("packageList")
    return Update(
        identity=whose,
        cause=Cause.FILL,
        occurred_at=asked_at,
        esim_status=item.word("esimStatus", ESIM_STATUS),
        smdp_status=item.word("smdpStatus", SMDP_STATUS),
        eid=item.digits("eid", limit=MAX_EID_DIGITS),
        total_bytes=volume(item, "totalVolume"),
        used_bytes=volume(item, "orderUsage"),
        total_days=duration_days(item),
        activate_at=item.moment("activateTime"),
        expire_at=item.moment("expiredTime"),
        imsi=item.text("imsi"),
        msisdn=item.text("msisdn"),
        ac=item.text("ac", limit=_MAX_ADDRESS, secret=True),
        qr_code_url=item.text("qrCodeUrl", limit=_MAX_ADDRESS, secret=True),
        short_url=item.text("shortUrl", limit=_MAX_ADDRESS, secret=True),
        apn=item.text("apn"),
        package_code=packages[0].text("packageCode") if packages else None,
        package_name=packages[0].text("packageName") if packages else None,
    )


def _code(envelope: Fields) -> str | None:
    """Return the six digits of an error, or None for success, which is written as null, `"0"` and 0."""
    value = envelope.scalar("errorCode")
    if value is None or value == "":
        return None
    written = str(value).strip()
    return None if written.strip("0") == "" else written[:20].zfill(6)


def _success(envelope: Fields) -> bool:
    value = envelope.scalar("success")
    if value is None or isinstance(value, bool):
        return value is not False
    word = str(value).lower()
    if word not in _SUCCESS_WORDS:
        raise Unparsable(f"answer.success: expected true or false, got {word[:20]!a}")
    return _SUCCESS_WORDS[word]


def _said(envelope: Fields, secrets: Collection[str]) -> str:
    value = envelope.scalar("errorMsg") or envelope.scalar("errorMessage") or "no message"
    text = _ACTIVATION_CODE.sub("LPA:***", str(value))
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def _wait(retry_after: str | None) -> float:
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()) or len(retry_after) > 9:
        return 5.0
    return min(float(retry_after), _MAX_RETRY_AFTER_S)
