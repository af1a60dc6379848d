"""Types that bodies of requests are made of: text that PostgreSQL can hold, identifiers, times."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=PRINTABLE)]
ProviderName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
Moment = Annotated[datetime, Meta(tz=True)]
