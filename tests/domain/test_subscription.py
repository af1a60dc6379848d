"""Which events an endpoint gets."""

import pytest

from esimhooks.server.domain.endpoint_rules import is_subscribed
from esimhooks.vocabulary.events import EventType


@pytest.mark.parametrize("event", sorted(EventType))
def test_an_endpoint_without_a_selection_gets_everything(event: EventType) -> None:
    assert is_subscribed(None, event)
    assert is_subscribed(("esim.*",), event)


def test_an_endpoint_gets_what_it_selected_and_nothing_else() -> None:
    selected = ("esim.activated", "esim.expired")

    assert {event for event in EventType if is_subscribed(selected, event)} == {EventType.ACTIVATED, EventType.EXPIRED}


@pytest.mark.parametrize("event", sorted(EventType))
@pytest.mark.parametrize("selected", [(), ("order.*",), ("esim",), ("esim.",), ("esim.activ",), ("esi.*",)])
def test_an_empty_selection_and_parts_of_names_select_nothing(selected: tuple[str, ...], event: EventType) -> None:
    assert not is_subscribed(selected, event)
