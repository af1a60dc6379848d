"""The page of an endpoint's secrets: what a receiver verifies with is shown, and a private key never is."""

import re

from api import Api, Json, a_merchant
from web.test_dashboard import Browser
from web.test_dashboard import browser as browser  # noqa: PLC0414 - a fixture

KEY = re.compile(r"\bwh(?:sec|sk|pk)_[\w+/=&#;]+")


async def an_asymmetric_endpoint(operator: Api, browser: Browser) -> tuple[str, Json]:
    merchant = await a_merchant(operator)
    fields = {"url": "https://example.com/hook", "signatureProfile": "standard-asymmetric"}
    endpoint = await operator.post(f"/v1/endpoints?account={merchant.account}&mode=test", fields)
    await browser.sign_in(merchant.key)
    return f"account={merchant.account}&mode=test", endpoint


def keys_on(text: str) -> list[str]:
    """Return the secrets and keys in full on a page, in their order."""
    return [one for one in KEY.findall(text.replace("&#43;", "+")) if len(one) > 20]


async def test_an_asymmetric_endpoint_shows_its_public_key_and_rotates(operator: Api, browser: Browser) -> None:
    tenant, endpoint = await an_asymmetric_endpoint(operator, browser)
    page = f"/endpoints/{endpoint['id']}/secrets"

    status, text = await browser.get(page)

    assert status == 200, text
    assert keys_on(text) == [endpoint["secret"], endpoint["publicKey"]]
    status, text = await browser.post(f"/endpoints/{endpoint['id']}/rotate", overlap="one day")
    assert status == 200, text
    secrets = await operator.get(f"/v1/endpoints/{endpoint['id']}/secret?{tenant}")
    assert keys_on(text) == [secrets["secret"], secrets["publicKey"], endpoint["secret"], endpoint["publicKey"]]
    assert f'data-ends="{secrets["oldSecrets"][0]["expiresAt"]}"' in text


async def test_a_private_key_is_not_shown_after_the_profile_is_standard_again(operator: Api, browser: Browser) -> None:
    tenant, endpoint = await an_asymmetric_endpoint(operator, browser)
    path = f"/v1/endpoints/{endpoint['id']}"
    await operator.call("PATCH", f"{path}?{tenant}", {"signatureProfile": "standard"})
    rotated = await operator.post(f"{path}/rotate-secret?{tenant}", {}, status=200)

    status, text = await browser.get(f"/endpoints/{endpoint['id']}/secrets")

    assert (status, "whsk_" in text) == (200, False)
    assert keys_on(text) == [rotated["secret"], endpoint["secret"]]
