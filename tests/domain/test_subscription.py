"""Which events an endpoint gets."""

import pytest

from esimhooks.server.domain.endpoint_rules import wants
from esimhooks.vocabulary.events import EventType


@pytest.mark.parametrize("event", sorted(EventType))
def test_an_endpoint_without_a_selection_gets_everything(event: EventType) -> None:
    assert wants(None, event)
    assert wants(("esim.*",), event)


def test_an_endpoint_gets_what_it_selected_and_nothing_else() -> None:
    selected = ("esim.activated", "esim.expired")

    assert {event for event in EventType if wants(selected, event)} == {EventType.ACTIVATED, EventType.EXPIRED}


@pytest.mark.parametrize("event", sorted(EventType))
@pytest.mark.parametrize("selected", [(), ("order.*",), ("esim",), ("esim.",), ("esim.activ",), ("esi.*",)])
def test_an_empty_selection_and_parts_of_names_select_nothing(selected: tuple[str, ...], event: EventType) -> None:
    assert not wants(selected, event)
