"""What the operator is shown of a doubt about a provider."""

import msgspec

from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.operational import ProviderDoubt, doubt_event
from factories import NOON


def test_a_doubt_names_the_notification_and_one_about_an_answer_names_none() -> None:
    notification_id = new_id()
    doubt = ProviderDoubt(provider="one", field="status", word="Odd", detail="no such word", notification_id=None)

    answered = msgspec.json.decode(doubt_event(doubt, event_id=new_id(), now=NOON).body)
    pushed = msgspec.json.decode(
        doubt_event(msgspec.structs.replace(doubt, notification_id=notification_id), event_id=new_id(), now=NOON).body
    )

    assert answered["data"] == {"provider": "one", "field": "status", "word": "Odd", "detail": "no such word"}
    assert pushed["data"] == answered["data"] | {"notification": text_of(Prefix.NOTIFICATION, notification_id)}
