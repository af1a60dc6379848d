"""Bodies of requests that run as they stand, by method and path; ids in them are those of a new installation.

The documents and the reference show them; a test sends them.
"""

from typing import Any

ACCOUNT = "acc_01jd3v8k5fe8ya3q8r0m2n6x7c"
ENDPOINT = "ep_01jd3v8k5fe8ya3q8r0m2n6x7d"

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/accounts"): {"name": "Acme"},
    ("PATCH", "/v1/accounts/{account_id}"): {"name": "Acme Ltd"},
    ("POST", "/v1/accounts/{account_id}/keys"): {
        "mode": "test",
        "name": "ci",
        "webhookUrl": "https://hooks.example.com/esims",
    },
    ("PATCH", "/v1/accounts/{account_id}/keys/{key_id}"): {"name": "ci 2026", "allowedIps": ["127.0.0.0/8"]},
    ("POST", "/v1/endpoints"): {
        "url": "https://hooks.example.com/esims",
        "eventTypes": ["esim.activated"],
        "retrySchedule": [0, 60, 300],
    },
    ("PATCH", "/v1/endpoints/{endpoint_id}"): {"timeout": 2.5, "headers": {"x-shop": "7"}, "name": None},
    ("POST", "/v1/endpoints/{endpoint_id}/recover"): {
        "from": "2026-01-01T00:00:00Z",
        "statuses": ["failed", "never"],
        "dryRun": True,
    },
    ("POST", "/v1/endpoints/{endpoint_id}/rotate-secret"): {"expireOldIn": 3600},
    ("POST", "/v1/endpoints/{endpoint_id}/test"): {"event": "esim.activated"},
    ("POST", "/v1/events/{event_id}/resend"): {"endpoint": ENDPOINT},
    ("POST", "/v1/esims/requery"): {"status": "IN_USE", "dryRun": True},
    ("POST", "/v1/orders"): {
        "account": ACCOUNT,
        "mode": "test",
        "provider": "upstream",
        "transactionId": "shop-2026-104233",
        "packageCode": "CKH003",
        "quantity": 2,
    },
    ("POST", "/v1/test-events"): {"event": "esim.activated"},
    ("PUT", "/v1/providers/{name}"): {"kind": "esimaccess"},
    ("POST", "/v1/updates"): {
        "account": ACCOUNT,
        "mode": "test",
        "updates": [
            {"transactionId": "shop-7", "iccid": "8943000000123456785", "esimStatus": "IN_USE", "dataUsage": 12.5}
        ],
    },
}
