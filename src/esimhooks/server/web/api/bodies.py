"""Types that bodies of requests are made of: text that PostgreSQL can hold, identifiers, times."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from esimhooks.server.model.patterns import END, PRINTABLE

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=PRINTABLE)]
ProviderName = Annotated[str, Meta(pattern=f"^[a-z0-9][a-z0-9-]{{0,62}}{END}")]
Moment = Annotated[datetime, Meta(tz=True)]
