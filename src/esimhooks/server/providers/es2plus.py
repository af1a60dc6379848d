"""An SM-DP+ that reports downloads over ES2+ (SGP.22): HandleDownloadProgressInfo comes in, updates go out.

The function is called below the inbound address and answered 204, or with a JSON header where the vendor wants one.
Points 3 and 4 mean the same everywhere; from 5 on vendors contradict each other, so that the settings say what they mean.
The profile's ICCID is its key here.
"""

import re
from collections.abc import Mapping

from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.domain.validation import escape_pointer
from esimhooks.server.providers import options
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.fields import Fields, check_digit_doubts, digits_of, iccid_of, time_of
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig, Reply, Unparsable
from esimhooks.server.providers.sources import Sources, read_sources
from esimhooks.vocabulary.statuses import SmdpStatus

FUNCTION = "HandleDownloadProgressInfo"
PATH = "/gsma/rsp2/es2plus/handleDownloadProgressInfo"
"""Where SGP.22 has the function (6.5.1.1). Vendors have it elsewhere, always under its own name."""
NAME_IN_PATH = "handleDownloadProgressInfo"
WITH_JSON = "/aep/"
"""The paths of CMI begin so; its answers must have a body."""
EXECUTED_BODY = b'{"header":{"functionExecutionStatus":{"status":"Executed-Success"}}}'
"""The header of an answer (SGP.22, 6.5.1.4)."""
COMMON_POINTS: Mapping[int, SmdpStatus | None] = {
    1: None,
    2: None,
    3: SmdpStatus.DOWNLOADED,
    4: SmdpStatus.INSTALLED,
}
"""What a notification point means at every vendor: 1 and 2 are checks before the download (SGP.22, 5.3.5)."""
FIRST_VENDOR_POINT = 5
LAST_POINT = 1000
EXECUTED = {
    "Executed-Success": True,
    "Executed-WithWarning": True,
    "Failed": False,
    "Expired": False,
}
"""`notificationPointStatus.status`, and whether the point was reached."""
MAX_EID_DIGITS = 40
MAX_CODE = 12
_POINT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_SETTINGS = frozenset({"answer", "points", "allowedSources"})


class Es2Plus(Provider):
    """One SM-DP+. Unsigned: mutual TLS ends before this server; the address' token and the sources prove the rest."""

    def __init__(
        self, *, points: Mapping[int, SmdpStatus | None], sources: Sources, answers_json: bool | None = None
    ) -> None:
        self._points = {**COMMON_POINTS, **points}
        self._answers_json = answers_json
        self._sources = sources

    def verify(self, request: InboundRequest) -> bool:
        """Check the peer against the source addresses, where they are set; false. Raises `Refused` (401)."""
        self._sources.check(request.peer)
        return False

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""
        if request.path.rstrip("/").rpartition("/")[2] != NAME_IN_PATH:
            raise Unparsable(f"expected the function at {PATH} below the inbound address, got another path")
        members = Fields(read_json(request.body))
        point = members.whole("notificationPointId", maximum=LAST_POINT)
        if point is None:
            raise members.missing("notificationPointId")
        status = members.section("notificationPointStatus")
        reached = status.word("status", EXECUTED)
        if reached is None:
            raise status.missing("status")
        found: list[Doubt] = []
        update = _update(members, self._points.get(point) if reached else None, found)
        found += check_digit_doubts(iccid=update.identity.iccid, eid=update.eid)
        if point not in self._points:
            unknown = f"notificationPointId {point}: the settings' points do not say what it means"
            found.append(Doubt("notificationPointId", unknown, str(point)))
        _add_failure(point, status.lenient(found))
        return Notification(
            kind=FUNCTION,
            occurred_at=update.occurred_at,
            updates=(update,) if update.smdp_status is not None else (),
            doubts=tuple(found),
        )

    def reply(self, request: InboundRequest) -> Reply:
        """Return 204 without a body (SGP.22, 6.5.1.4), or a header in JSON where the vendor or the setting wants it."""
        wanted = request.path.startswith(WITH_JSON) if self._answers_json is None else self._answers_json
        return Reply(body=EXECUTED_BODY) if wanted else Reply(status=204, body=b"")


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> Es2Plus:
    """Build the provider from `{settings: {points?, answer?, allowedSources?}}`; it has no credentials.

    `answer` is `json` or `empty`, by default what the path wants. `points` has the vendor's notification points from 5 on: `{"5": "DELETED", "6": null}`, null for one that changes
    nothing. Raises `Refused` (422) with a pointer.
    """
    for name in config.credentials:
        raise Refused.invalid(
            f"/credentials/{escape_pointer(name)}", "expected no credentials: an SM-DP+ is not queried"
        )
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    return Es2Plus(
        points=_read_points(config.settings.get("points")),
        sources=read_sources(config.settings.get("allowedSources"), published=()),
        answers_json=_answers_json(config.settings.get("answer")),
    )


def _update(members: Fields, reached: SmdpStatus | None, found: list[Doubt]) -> Update:
    iccid = iccid_of(members, "iccid")
    if iccid is None:
        raise members.missing("iccid")
    body = members.lenient(found)
    return Update(
        identity=Identity(esim_tran_no=iccid, iccid=iccid),
        occurred_at=time_of(body, "timestamp") or time_of(body, "timeStamp"),
        smdp_status=reached,
        eid=digits_of(body, "eid", limit=MAX_EID_DIGITS),
    )


def _add_failure(point: int, status: Fields) -> None:
    """Record what did not go well, with its codes, whose form SGP.22 gives (5.2.6): the message may name the device."""
    word = status.text("status")
    if word == "Executed-Success":
        return
    reasons = status.section_if_any("statusCodeData")
    names = ("subjectCode", "reasonCode") if reasons else ()
    codes = [code for name in names if reasons and (code := reasons.text(name, limit=MAX_CODE, personal=True))]
    listed = f" ({', '.join(codes)})" if codes else ""
    status.doubt(Unparsable(f"notificationPointId {point}: {word}{listed}"), "notificationPointStatus")


def _answers_json(value: object) -> bool | None:
    if value not in (None, "json", "empty"):
        raise Refused.invalid("/settings/answer", "expected json or empty")
    return None if value is None else value == "json"


def _read_points(value: object) -> Mapping[int, SmdpStatus | None]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused.invalid("/settings/points", 'expected an object such as {"5": "DELETED"}')
    return {_point(name): _meaning(name, meaning) for name, meaning in value.items()}


def _point(name: str) -> int:
    if not (_POINT.fullmatch(name) and FIRST_VENDOR_POINT <= int(name) <= LAST_POINT):
        expected = f"expected a point from {FIRST_VENDOR_POINT} to {LAST_POINT}: those before mean the same everywhere"
        raise Refused.invalid(f"/settings/points/{escape_pointer(name)}", expected)
    return int(name)


def _meaning(name: str, meaning: object) -> SmdpStatus | None:
    if meaning is None:
        return None
    if not isinstance(meaning, str) or meaning not in set(SmdpStatus):
        raise Refused.invalid(f"/settings/points/{name}", f"expected null or one of {', '.join(SmdpStatus)}")
    return SmdpStatus(meaning)
