"""Every page in light and dark, wide and narrow: nothing scrolls sideways, and axe-core finds nothing serious."""

import pytest

from api import Api
from browser.conftest import Person, Scheme
from browser.history import History, a_history
from receiver import Receiver

pytestmark = pytest.mark.slow(reason="a real browser goes through every page")
WIDTHS = (390, 1440)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


async def look_at(person: Person, name: str, path: str) -> list[str]:
    await person.open(path)
    found = []
    for width in WIDTHS:
        for scheme in SCHEMES:
            await person.looks(width=width, scheme=scheme)
            await person.picture(f"{name}-{width}-{scheme}")
            if (more := await person.sideways()) > 0:
                found.append(f"{path} at {width} px scrolls {more} px")
    for scheme in SCHEMES:
        await person.looks(width=WIDTHS[0], scheme=scheme)
        found += [f"{path} in {scheme}: {one}" for one in await person.barriers()]
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
        "endpoint": f"/endpoints/{history.endpoint}{query}",
        "endpoint-edit": f"/endpoints/{history.endpoint}/edit{query}",
        "endpoint-secrets": f"/endpoints/{history.endpoint}/secrets{query}",
        "catalogue": f"/event-types{query}",
        "journal": "/journal",
        "notification": f"/journal/{history.notification}",
        "accounts": "/accounts",
        "account": f"/accounts/{history.account}",
        "choose-account": "/esims",
    }


async def test_the_sign_in_page_fits_and_has_no_barriers(person: Person) -> None:
    assert await look_at(person, "sign-in", "/sign-in") == []


async def test_every_page_fits_and_has_no_barriers(person: Person, operator: Api, receiver: Receiver) -> None:
    history = await a_history(operator, receiver)
    await person.sign_in()
    found = [one for name, path in pages_of(history).items() for one in await look_at(person, name, path)]
    assert found == []
