"""How eSIM Access writes simulated eSIMs: the notifications of 2026 and the objects of its answers.

State comes in, JSON-ready objects go out, with the fields, units and formats that the provider documents. Times have
milliseconds, which the provider's lack: in a fast life many steps fall into one second.
"""

from datetime import UTC, datetime
from typing import assert_never

import msgspec

from esimhooks.server.providers.sandbox.esims import Purchase, SimulatedEsim
from esimhooks.server.providers.sandbox.life import NotifyType, Step

Json = dict[str, object]


def order_ready(purchase: Purchase) -> Json:
    """Return the content of ORDER_STATUS, which names no eSIM."""
    return {"orderNo": purchase.order_no, "orderStatus": "GOT_RESOURCE", "transactionId": purchase.transaction_id}


def content_of(step: Step, esim: SimulatedEsim, now: datetime) -> Json:
    """Return the content of the notification that reports a step of one eSIM. Volumes are bytes."""
    content: Json = {
        "iccid": esim.iccid,
        "orderNo": esim.purchase.order_no,
        "esimTranNo": esim.esim_tran_no,
        "transactionId": esim.purchase.transaction_id,
    }
    match step.notify_type:
        case NotifyType.SMDP_EVENT:
            return content | _statuses(esim) | _profile(esim, now)
        case NotifyType.DATA_USAGE:
            return content | _usage(esim)
        case NotifyType.VALIDITY_USAGE:
            return content | _validity(step, esim)
        case NotifyType.ESIM_STATUS | NotifyType.ORDER_STATUS:
            return content | _statuses(esim)
        case _:
            assert_never(step.notify_type)


def notification(notify_type: str, content: Json, *, notify_id: str, now: datetime) -> bytes:
    """Return the body of a notification."""
    envelope = {
        "notifyType": notify_type,
        "notifyId": notify_id,
        "eventGenerateTime": _zulu(now),
        "content": content,
    }
    return msgspec.json.encode(envelope)


def esim(state: SimulatedEsim) -> Json:
    """Return one element of `esimList` of `esim/query`."""
    purchase = state.purchase
    page = f"https://qr.sandbox.invalid/{state.ac.rpartition('$')[2].lower()}"
    return {
        "esimTranNo": state.esim_tran_no,
        "orderNo": purchase.order_no,
        "transactionId": purchase.transaction_id,
        "imsi": state.imsi,
        "iccid": state.iccid,
        "smsStatus": 0,
        "msisdn": "",
        "ac": state.ac,
        "qrCodeUrl": f"{page}.png",
        "shortUrl": page,
        "smdpStatus": state.smdp_status,
        "eid": state.eid,
        "activeType": 2,
        "dataType": 1,
        "activateTime": _offset(state.activated_at) if state.activated_at else None,
        "expiredTime": _offset(state.expires_at),
        "totalVolume": state.total_bytes,
        "totalDuration": purchase.days,
        "durationUnit": "DAY",
        "orderUsage": state.used_bytes,
        # The provider says REVOKE when it is queried and REVOKED when it notifies.
        "esimStatus": "REVOKE" if state.esim_status == "REVOKED" else state.esim_status,
        "pin": "",
        "puk": "",
        "apn": "sandbox.invalid",
        "packageList": [_package(state)],
    }


def usage(state: SimulatedEsim) -> Json:
    """Return one element of `esimUsageList` of `esim/usage/query`."""
    return {
        "esimTranNo": state.esim_tran_no,
        "dataUsage": state.used_bytes,
        "totalData": state.total_bytes,
        "lastUpdateTime": _offset(state.used_at),
    }


def success(obj: Json) -> Json:
    """Return the envelope of a successful answer."""
    return {"success": True, "errorCode": "0", "errorMsg": None, "obj": obj}


def failure(code: str, message: str) -> Json:
    """Return the envelope of a refusal."""
    return {"success": False, "errorCode": code, "errorMsg": message, "obj": None}


def _statuses(esim: SimulatedEsim) -> Json:
    return {"esimStatus": esim.esim_status, "smdpStatus": esim.smdp_status}


def _profile(esim: SimulatedEsim, now: datetime) -> Json:
    return {
        "eid": esim.eid,
        "timestamp": _zulu(now),
        "seqNumber": esim.sequence,
        "notifyStatus": "Executed-Success",
    }


def _usage(esim: SimulatedEsim) -> Json:
    remain = esim.total_bytes - esim.used_bytes
    return {
        "totalVolume": esim.total_bytes,
        "orderUsage": esim.used_bytes,
        "remain": remain,
        "remainThreshold": round(remain / esim.total_bytes, 2),
        "lastUpdateTime": _zulu(esim.used_at),
    }


def _validity(step: Step, esim: SimulatedEsim) -> Json:
    return {
        "remain": step.days_left,
        "totalDuration": esim.purchase.days,
        "durationUnit": "DAY",
        "expiredTime": _zulu(esim.expires_at),
    }


def _package(state: SimulatedEsim) -> Json:
    purchase = state.purchase
    return {
        "packageName": f"Sandbox {purchase.total_bytes / 1_073_741_824:g}GB {purchase.days}Days",
        "packageCode": purchase.package_code,
        "slug": f"XX_{purchase.days}",
        "duration": purchase.days,
        "volume": purchase.total_bytes,
        "locationCode": "XX",
        "createTime": _offset(state.ordered_at),
    }


def _zulu(time: datetime) -> str:
    return f"{_milliseconds(time)}Z"


def _offset(time: datetime) -> str:
    return f"{_milliseconds(time)}+0000"


def _milliseconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").partition("+")[0]
