"""An endpoint's own authorities: refused with what was expected, shown with subject and end, and removed by null."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from api import Api
from web.routes import a_tenant, is_field

pytestmark = [pytest.mark.slow(reason="makes key pairs"), pytest.mark.timeout(60)]

URL = "http://127.0.0.1:9/hook"


def pem_of(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def test_authorities_are_shown_and_removed_by_null(operator: Api) -> None:
    query = await a_tenant(operator)
    pem = pem_of(trustme.CA(organization_name="Shop"))
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL, "caCertificate": f"# ours\n{pem}"})
    path = f"/v1/endpoints/{made['id']}{query}"
    renamed = (await operator.call("PATCH", path, {"name": "shop"})).body
    removed = (await operator.call("PATCH", path, {"caCertificate": None})).body

    assert made["caCertificate"] == renamed["caCertificate"] == pem
    [authority] = made["authorities"]
    assert "O=Shop" in authority["subject"]
    assert authority["expiresAt"].endswith("Z")
    assert (removed["caCertificate"], removed["authorities"]) == (None, [])


async def test_what_cannot_vouch_for_a_receiver_is_refused(operator: Api) -> None:
    query = await a_tenant(operator)
    authority = trustme.CA()
    leaf = authority.issue_cert("shop.example", not_after=datetime.now(UTC) + timedelta(days=1))
    key = leaf.private_key_pem.bytes().decode()
    refused = {
        "no certificate": "PEM",
        leaf.cert_chain_pems[0].bytes().decode(): "may not sign",
        key + pem_of(authority): "private key",
        "".join(pem_of(trustme.CA()) for _ in range(6)): "at most 5",
    }
    for pem, word in refused.items():
        is_field(
            await operator.call("POST", f"/v1/endpoints{query}", {"url": URL, "caCertificate": pem}),
            "/caCertificate",
            word,
        )
