"""The AsyncAPI 3 document: the same eight events as messages that the server sends to endpoints and streams."""

from typing import Any

import msgspec

from esimhooks.version import __version__
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of

Json = dict[str, Any]
TEMPLATE = "#/components/schemas/{name}"


def document() -> Json:
    """Return the whole document."""
    _, components = msgspec.json.schema_components((Envelope,), ref_template=TEMPLATE)
    names = {event: event.value.replace(".", "_") for event in EventType}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "esimhooks",
            "version": __version__,
            "description": "Signed webhooks about eSIMs.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "description": "An endpoint of a merchant: each event is a POST, signed by Standard Webhooks.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names.values()},
            }
        },
        "operations": {
            "deliver": {
                "action": "send",
                "summary": "Deliver an event to an endpoint, again and again until it answers in 2xx.",
                "channel": {"$ref": "#/channels/endpoint"},
                "messages": [{"$ref": f"#/channels/endpoint/messages/{name}"} for name in names.values()],
            }
        },
        "components": {
            "messages": {name: _message(event) for event, name in names.items()},
            "schemas": components,
        },
    }


def _message(event: EventType) -> Json:
    return {
        "name": event.value,
        "title": event.value,
        "summary": MEANINGS[event],
        "contentType": "application/json",
        "payload": {"$ref": TEMPLATE.format(name="Envelope")},
        "examples": [{"name": "example", "payload": msgspec.to_builtins(example_of(event))}],
    }
