"""Compile the catalogues of the pages' texts (gettext, with Babel), and say which texts they lack.

In come the templates and `locales/*/LC_MESSAGES/dashboard.po`, out go the `dashboard.mo` beside them, which are committed:
a running server needs no Babel.
"""

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from esimhooks.server.dashboard.jobs import MEANINGS
from esimhooks.server.dashboard.render import PROVIDER_WORDS, SPANS_OF_TIME
from esimhooks.server.dashboard.system import ADVICE
from esimhooks.server.delivery.http import failures, gate
from esimhooks.server.domain.advice import advise
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.job import Missed
from esimhooks.server.domain.provider import ProviderState

DASHBOARD = Path(__file__).parents[1] / "src" / "esimhooks" / "server" / "dashboard"
CATALOGUES = sorted(DASHBOARD.glob("locales/*/LC_MESSAGES/dashboard.po"))


def texts() -> set[str]:
    """Return the texts that templates ask to be translated, of a plural the first form, and the sentences on failures."""
    found = extract_from_dir(DASHBOARD / "templates", [("**.html", "jinja2")], keywords={"_": None, "ngettext": (1, 2)})
    asked = {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}
    codes = (None, 200, 301, 400, 401, 404, 410, 429, 500)
    sentences = [advise(outcome, status_code=code, error=None) for outcome in OutcomeClass for code in codes]
    return asked | {text for one in sentences for text in (one.text, one.todo) if text} | _named_in_code()


def _named_in_code() -> set[str]:
    """Return what handlers hand to templates as it is: names of states, spans and fields, and sentences."""
    labels = {one.value.capitalize() for one in UpdateOutcome} | {
        one.value.replace("_", " ") for one in (*Missed, *ProviderState)
    }
    titles = {"System", "Not found", "Recovery", "Requery", "Requeries", "Another recovery", "Its deliveries"}
    causes = {*failures.TEXTS.values(), failures.UNANSWERED, failures.NO_SUCH_HOST}
    causes |= {gate.NOT_HTTPS, gate.NOT_PUBLIC, gate.NO_PUBLIC_NAME}
    return {
        *causes,
        *SPANS_OF_TIME.values(),
        *PROVIDER_WORDS.values(),
        *ADVICE.values(),
        *MEANINGS.values(),
        *labels,
        *titles,
    }


def catalogue(path: Path) -> Catalog:
    """Return a catalogue. Raises `ValueError` where a translation has other places than its text."""
    with path.open("rb") as file:
        read = read_po(file, abort_invalid=True)
    for message in read:
        for error in message.check():
            raise ValueError(f"{path.parts[-3]}: {message.id}: {error}")
    return read


def lacking(read: Catalog) -> Iterator[str]:
    """Return the texts that the catalogue does not translate."""
    known = {(one.id if isinstance(one.id, str) else one.id[0]): one.string for one in read}
    for text in sorted(texts()):
        string = known.get(text)
        if not string or (not isinstance(string, str) and not all(string)):
            yield text


def compiled(read: Catalog) -> bytes:
    """Return the catalogue as it is read at run time."""
    out = BytesIO()
    write_mo(out, read)
    return out.getvalue()


def main() -> int:
    """Compile all; return 1 where one lacks a text."""
    missing = 0
    for path in CATALOGUES:
        read = catalogue(path)
        path.with_suffix(".mo").write_bytes(compiled(read))
        for text in lacking(read):
            missing += 1
            print(f"{path.parts[-3]} lacks: {text}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
