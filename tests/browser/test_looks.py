"""Every page in light and dark, wide and narrow: nothing scrolls sideways, and axe-core finds nothing serious."""

import re
from itertools import product

import pytest
from playwright.async_api import expect

from api import Api, a_merchant
from browser.conftest import SCHEMES, WIDTHS, Person
from browser.history import History, a_history
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser goes through every page")
PARTS = 6
"""The pages are gone through in so many tests, none of which takes long."""
FOCUS = """() => {
    const style = getComputedStyle(document.activeElement);
    const outline = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
    return {text: document.activeElement.textContent.trim(), outline};
}"""
"""What is focused, and how thick its outline is."""


async def look_at(person: Person, name: str, path: str) -> list[str]:
    found = await person.out_of_shape(path)
    for width, scheme in product(WIDTHS, SCHEMES):
        await person.looks(width=width, scheme=scheme)
        await person.picture(f"{name}-{width}-{scheme}")
        found += [f"{path} at {width} px in {scheme}: {one}" for one in await person.barriers()]
    return found


def pages_of(history: History) -> dict[str, str]:
    query = history.query
    return {
        "overview": f"/{query}",
        "overview-of-all": "/",
        "esims": f"/esims{query}",
        "esim": f"/esims/{history.esim}{query}",
        "events": f"/events{query}",
        "event": f"/events/{history.event}{query}",
        "deliveries": f"/deliveries{query}",
        "delivery-failed": f"/deliveries/{history.failed}{query}",
        "delivery-arrived": f"/deliveries/{history.delivered}{query}",
        "endpoints": f"/endpoints{query}",
        "endpoint-new": f"/endpoints/new{query}",
        "endpoint": f"/endpoints/{history.shop}{query}",
        "endpoint-gone": f"/endpoints/{history.endpoint}{query}",
        "endpoint-edit": f"/endpoints/{history.endpoint}/edit{query}",
        "endpoint-recover": f"/endpoints/{history.shop}/recover{query}",
        "recovery": f"/endpoints/{history.shop}/recoveries/{history.recovery}{query}",
        "search": f"/search{query}&q=nothing-has-this",
        "search-choice": "/search?q=B-many",
        "error": f"/deliveries{query}&from=yesterday",
        "endpoint-secrets": f"/endpoints/{history.endpoint}/secrets{query}",
        "catalogue": f"/event-types{query}",
        "requeries": f"/requeries{query}",
        "audit": f"/audit{query}",
        "audit-of-all": "/audit",
        "journal": "/journal",
        "notification": f"/journal/{history.notification}",
        "accounts": "/accounts",
        "providers": "/providers",
        "provider": "/providers/upstream/health",
        "provider-document": "/providers/upstream/document",
        "system": "/system",
        "not-found": "/nope",
        "account": f"/accounts/{history.account}",
        "choose-account": "/esims",
        **states_of(history),
    }


def states_of(history: History) -> dict[str, str]:
    """Return pages with nothing on them, and lists that are narrowed."""
    query, live = history.query, history.query.replace("mode=test", "mode=live")
    return {
        "overview-hour": f"/{query}&span=1h",
        "overview-week": f"/{query}&span=7d",
        "overview-first-day": f"/{live}",
        "esims-none": f"/esims{live}",
        "esims-no-fit": f"/esims{query}&iccid=nowhere",
        "events-none": f"/events{live}",
        "events-of-one": f"/events{query}&esim={history.esim}",
        "deliveries-none": f"/deliveries{live}",
        "deliveries-given-up": f"/deliveries{query}&status=failed",
        "deliveries-stopped": f"/deliveries{query}&status=stopped",
        "deliveries-of-one": f"/deliveries{query}&esim={history.esim}&code=200&last=24h",
        "endpoints-none": f"/endpoints{live}",
        "endpoint-secrets-new": f"/endpoints/{history.shop}/secrets{query}&new=yes",
        "catalogue-live": f"/event-types{live}",
        "requeries-none": f"/requeries{live}",
        "audit-no-fit": f"/audit{query}&subject=nowhere",
        "audit-of-one": f"/audit{query}&subject={history.shop}",
        "journal-unmatched": "/journal?outcome=unmatched",
        "journal-searched": "/journal?iccid=8952000000000000000&last=24h",
        "accounts-searched": "/accounts?name=acme",
        "accounts-no-fit": "/accounts?name=nowhere",
        "choose-no-fit": "/deliveries?name=nowhere",
        "error-filter": f"/deliveries{query}&status=unknown",
    }


async def test_the_sign_in_page_fits_and_has_no_barriers(person: Person) -> None:
    assert await look_at(person, "sign-in", "/sign-in") == []


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_page_fits_and_has_no_barriers(
    person: Person, operator: Api, receiver: Receiver, part: int
) -> None:
    history = await a_history(operator, receiver)
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    await person.sign_in()
    pages = list(pages_of(history).items())[part::PARTS]
    found = [one for name, path in pages for one in await look_at(person, name, path)]
    person.troubles = [
        one for one in person.troubles if not re.search("422|404", one)
    ]  # the console reports the pages "error" and "not-found"
    assert found == []


async def test_the_pages_of_a_merchant_fit_and_have_no_barriers_in_every_language(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    found = []
    for language in ("de", "es"):
        await operator.call("PATCH", f"/v1/accounts/{history.account}/branding", {"language": language})
        link = await operator.post(f"/v1/accounts/{history.account}/portal-links", {"mode": "test"})
        await person.page.goto(link["url"])
        await person.page.wait_for_url(f"{operator.url}/")
        for path in (
            "/",
            f"/endpoints/{history.endpoint}",
            f"/endpoints/{history.shop}/recover",
            f"/deliveries/{history.failed}",
            "/deliveries",
        ):
            found += await look_at(person, f"{language}-{path.strip('/').split('/')[-1][:12]}", path)
    assert found == []


async def test_what_matters_is_in_a_narrow_window_without_scrolling_sideways(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in(history.key)
    await person.looks(width=390, scheme="light")
    await person.open("/deliveries")
    row = person.page.locator("tbody tr").first
    await expect(row.locator(".pill")).to_be_in_viewport(ratio=1)
    await expect(row.get_by_role("link").first).to_be_in_viewport(ratio=1)
    await person.open("/audit")
    await expect(person.page.locator("nav [aria-current]")).to_be_in_viewport(ratio=1)


async def test_with_colours_forced_by_the_system_states_and_lines_can_be_distinguished(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    history = await a_history(operator, receiver)
    await person.page.emulate_media(forced_colors="active")
    await person.sign_in(history.key)
    dashes = await person.page.evaluate("[...charts.values()][0].series.slice(1).map((one) => String(one.dash))")
    assert len(set(dashes)) == len(dashes)
    samples = (
        "[...document.querySelectorAll('.u-legend .u-marker line')].map((one) => one.getAttribute('stroke-dasharray'))"
    )
    assert [one.replace(",", " ") for one in dashes] == await person.page.evaluate(samples)
    gone = person.page.locator(".trouble.disabled")
    await expect(gone).to_have_css("border-left-width", "4px")
    await expect(gone.locator(".pill")).to_have_css("border-top-style", "solid")
    current = person.page.locator("nav [aria-current]")
    assert await current.evaluate("node => +getComputedStyle(node).fontWeight") >= 600
    await person.picture("forced-colours")


async def test_a_person_without_a_mouse_sees_where_they_are_and_skips_to_the_content(
    person: Person, operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await person.sign_in(merchant.key)
    await person.open("/deliveries")
    keyboard = person.page.keyboard
    await keyboard.press("Tab")
    await expect(person.page.locator(":focus")).to_have_text("Skip to content")
    await expect(person.page.locator(":focus")).to_be_in_viewport()
    await keyboard.press("Enter")
    await expect(person.page.locator("main")).to_be_focused()
    await keyboard.press("/")
    await expect(person.page.get_by_label("Any id, number or name")).to_be_focused()
    await keyboard.type(str(merchant.endpoint))
    await keyboard.press("Enter")
    await person.page.wait_for_url(f"**/endpoints/{merchant.endpoint}")

    seen = []
    for _ in range(40):
        await keyboard.press("Tab")
        seen.append(await person.page.evaluate(FOCUS))
        if seen[-1]["text"] == "Send an example":
            break
    assert [one for one in seen if one["outline"] == 0] == []
    assert [one["text"] for one in seen][-1] == "Send an example"
    await keyboard.press("Enter")
    await person.page.wait_for_url("**/deliveries/dlv_*")
