"""What eSIM Access answers to a query becomes updates, or the error that its code means.

Bytes and the HTTP status come in; nothing is queried here. Activation codes and addresses of QR codes never stand in a
message, and credentials are taken out of what the provider says.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Cause, Doubt, Update
from esimhooks.server.providers.api_call import MAX_ANSWER_BYTES, Answer
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.esimaccess_parse import (
    DATA_TYPES,
    ESIM_STATUS,
    MAX_EID_DIGITS,
    SMDP_STATUS,
    days,
    identity_of,
)
from esimhooks.server.providers.fields import (
    Fields,
    check_digit_doubts,
    digits_of,
    length_of,
    safe_message,
    scalar_of,
    time_of,
    unusable,
    volume,
    word_or_number,
)
from esimhooks.server.providers.port import (
    CredentialsRefused,
    OrderFailed,
    OrderUnknown,
    ProviderRefused,
    StillAllocating,
    Unparsable,
)

_MAX_ADDRESS = 1000
_ALLOCATING = "200010"
_ABOUT_THE_QUESTION = re.compile(r"00010[4-7]|2000\d\d|310\d\d\d", re.ASCII)
"""Codes that say something of the very order, eSIM or parameter. All others pass: credentials, addresses, the server."""
_FAILED_FOR_GOOD = frozenset({"200007", "200009", "200011"})
"""Codes that say that an order failed: no balance, a status that is none, no stock."""
_NO_SUCH_ORDER = "310272"
_CREDENTIALS = frozenset({"101001", "101002", "101003"})
"""Codes that say that it does not take the caller: an old timestamp, an address that is not allowed, a wrong signature."""
_SUCCESS_WORDS: dict[str, bool] = {"true": True, "false": False}


def unwrap(answer: Answer, *, secrets: Collection[str] = ()) -> Fields:
    """Return `obj` of a successful answer.

    Raises `StillAllocating`, `ProviderRefused` only for what the API itself says of the very thing that was queried,
    `NotNow` for all that may pass or be fixed (gateways, credentials, what is not known), and `Unparsable` where the
    answer is not what is documented.
    """
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise CredentialsRefused(f"the provider answered HTTP {answer.status}")
    if answer.status != HTTPStatus.OK:
        raise NotNow(f"the provider answered HTTP {answer.status}", retry_after_s=answer.wait_s)
    envelope = Fields(read_json(answer.body, limit_bytes=MAX_ANSWER_BYTES), "answer")
    code, success = _code(envelope), _success(envelope)
    if code is None and success:
        return envelope.section("obj")
    message = f"{code or 'no code'}: {_message(envelope, secrets)}"
    if code == _ALLOCATING:
        raise StillAllocating(message, retry_after_s=3.0)
    if code == _NO_SUCH_ORDER:
        raise OrderUnknown(message)
    if code in _FAILED_FOR_GOOD:
        raise OrderFailed(message)
    if code is not None and _ABOUT_THE_QUESTION.fullmatch(code):
        raise ProviderRefused(message)
    if code in _CREDENTIALS:
        raise CredentialsRefused(message)
    raise NotNow(message)


class Page(Struct, frozen=True):
    """One page of `esim/query`; `count` are its objects, `total` those of all pages, where the provider says it."""

    esims: tuple[Update, ...]
    count: int
    total: int | None


def read_page(obj: Fields, queried_at: datetime) -> Page:
    """Return the eSIMs of one page. Raises `Unparsable` where none of its objects is an eSIM."""
    doubts: list[Doubt] = []
    page = obj.lenient(doubts)
    esims = _each(page, "esimList", _esim, queried_at, doubts)
    pager = page.section_if_any("pager")
    total = pager.whole("total", maximum=1_000_000_000) if pager else None
    return Page(_with_doubts(esims, doubts), length_of(obj, "esimList"), total)


def read_usage(obj: Fields, queried_at: datetime) -> tuple[Update, ...]:
    """Return one update (cause poll) per eSIM of the answer to `esim/usage/query`. Raises `Unparsable` as `read_page`."""
    doubts: list[Doubt] = []
    return _with_doubts(_each(obj.lenient(doubts), "esimUsageList", _usage, queried_at, doubts), doubts)


def _each(
    obj: Fields, name: str, read: Callable[[Fields, datetime], Update], queried_at: datetime, doubts: list[Doubt]
) -> Sequence[Update]:
    """Return what is said of each eSIM of a list, with its own doubts; one without its key is left out."""
    esims: list[Update] = []
    for item in obj.sections(name):
        own: list[Doubt] = []
        esim = read(item.lenient(own), queried_at)
        if esim.identity.esim_tran_no is None:
            item.lacks("esimTranNo")
            doubts += own
        else:
            own += check_digit_doubts(iccid=esim.identity.iccid, eid=esim.eid)
            esims.append(replace(esim, doubts=tuple(own)))
    if not esims and doubts:
        raise unusable(obj.missing(f"an eSIM in {name}"), doubts)
    return esims


def _with_doubts(esims: Sequence[Update], doubts: Sequence[Doubt]) -> tuple[Update, ...]:
    """Return the updates, the first with what is doubtful about the answer as a whole."""
    return tuple(
        replace(esim, doubts=(*esim.doubts, *doubts)) if index == 0 and doubts else esim
        for index, esim in enumerate(esims)
    )


def _usage(item: Fields, queried_at: datetime) -> Update:
    return Update(
        identity=identity_of(item),
        cause=Cause.POLL,
        occurred_at=queried_at,
        total_bytes=volume(item, "totalData"),
        used_bytes=volume(item, "dataUsage"),
        usage_at=time_of(item, "lastUpdateTime"),
    )


def _esim(item: Fields, queried_at: datetime) -> Update:
    packages = item.sections("packageList")
    newest = _top_up(packages)
    unlimited = word_or_number(item, "dataType", DATA_TYPES)
    return Update(
        identity=identity_of(item),
        cause=Cause.FILL,
        occurred_at=queried_at,
        esim_status=item.word("esimStatus", ESIM_STATUS),
        smdp_status=item.word("smdpStatus", SMDP_STATUS),
        eid=digits_of(item, "eid", limit=MAX_EID_DIGITS),
        total_bytes=None if unlimited else volume(item, "totalVolume"),
        used_bytes=volume(item, "orderUsage"),
        unlimited=unlimited or None,
        total_days=days(item, "totalDuration"),
        activate_at=time_of(item, "activateTime"),
        expire_at=time_of(item, "expiredTime"),
        imsi=item.text("imsi", personal=True),
        msisdn=item.text("msisdn", personal=True),
        ac=item.text("ac", limit=_MAX_ADDRESS, secret=True),
        qr_code_url=item.text("qrCodeUrl", limit=_MAX_ADDRESS, secret=True),
        short_url=item.text("shortUrl", limit=_MAX_ADDRESS, secret=True),
        apn=item.text("apn"),
        package_code=packages[0].text("packageCode") if packages else None,
        package_name=packages[0].text("packageName") if packages else None,
        top_up_transaction_id=newest.text("transactionId") if newest else None,
        top_up_package_code=newest.text("packageCode") if newest else None,
    )


def _top_up(packages: Sequence[Fields]) -> Fields | None:
    """Return the package that was added last, where there is more than the one that was ordered."""
    if len(packages) < 2:
        return None
    dated = [(at, package) for package in packages if (at := time_of(package, "createTime")) is not None]
    return max(dated, key=lambda one: one[0])[1] if len(dated) == len(packages) else None


def _code(envelope: Fields) -> str | None:
    """Return the six digits of an error, or None for success, which is written as null, `"0"` and 0."""
    value = scalar_of(envelope, "errorCode")
    if value is None or value == "":
        return None
    written = str(value).strip()
    return None if written.strip("0") == "" else written[:20].zfill(6)


def _success(envelope: Fields) -> bool:
    value = scalar_of(envelope, "success")
    if value is None or isinstance(value, bool):
        return value is not False
    word = str(value).lower()
    if word not in _SUCCESS_WORDS:
        raise Unparsable(f"answer.success: expected true or false, got {word[:20]!a}")
    return _SUCCESS_WORDS[word]


def _message(envelope: Fields, secrets: Collection[str]) -> str:
    value = scalar_of(envelope, "errorMsg") or scalar_of(envelope, "errorMessage") or "no message"
    return safe_message(str(value), secrets=secrets)
