"""Calls five operations of a running server with a generated client, and prints what they answered as JSON."""

import json
import sys

from client import AuthenticatedClient
from client.api.accounts import create_account, list_accounts
from client.api.deliveries import list_deliveries
from client.api.endpoints import change_endpoint, create_endpoint
from client.models import (
    AccountBody,
    AccountView,
    DeliveryStatus,
    EndpointBody,
    EndpointPatch,
    EndpointView,
    ListedAccountView,
    ListedDeliveryView,
    MadeEndpointView,
    Mode,
)

base_url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=base_url, token=key)

account = create_account.sync(client=client, body=AccountBody(name="Python"))
assert isinstance(account, AccountView)
accounts = list_accounts.sync(client=client, limit=100)
assert isinstance(accounts, ListedAccountView)
new = EndpointBody(url="https://hooks.example.com/esims", event_types=["esim.activated"])
made = create_endpoint.sync(client=client, body=new, account=account.id, mode=Mode.TEST)
assert isinstance(made, MadeEndpointView)
changed = change_endpoint.sync(
    made.id, client=client, body=EndpointPatch(timeout=2.5), account=account.id, mode=Mode.TEST
)
assert isinstance(changed, EndpointView)
failed = list_deliveries.sync(client=client, status=DeliveryStatus.FAILED, account=account.id, mode=Mode.TEST)
assert isinstance(failed, ListedDeliveryView)

print(
    json.dumps(
        {
            "account": account.name,
            "accounts": [one.name for one in accounts.data],
            "secret": made.secret.startswith("whsec_"),
            "timeout": changed.timeout,
            "deliveries": len(failed.data),
        }
    )
)
