"""Pages: a template and its values in, an answer with strict headers out. Everything is escaped unless it is markup."""

import gettext
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import jinja2
import msgspec

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.dashboard import formats
from esimhooks.server.dashboard.assets import VERSION
from esimhooks.server.dashboard.page_branding import DEFAULT, NEUTRAL, PageBranding
from esimhooks.server.dashboard.session_user import SessionUser
from esimhooks.server.domain.advice import Advice, advise
from esimhooks.server.domain.delivery import Attempt
from esimhooks.server.domain.errors import NotNow, Refused, Undecryptable
from esimhooks.server.domain.health import LastFailure
from esimhooks.server.domain.ids import Prefix, made_at, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.provider import ProviderHealth, ProviderState
from esimhooks.server.observe.log import get_logger

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

REDACTED = "\u2026"
"""Stands for a value that is not shown."""

log = get_logger("web")


def advice_for(failure: Attempt | LastFailure) -> Advice:
    """Return what an attempt came to, in words, and what to do."""
    return advise(failure.outcome, status_code=failure.status_code, error=failure.error)


PROVIDER_WORDS = {
    ProviderState.SILENT: "It has sent nothing for much longer than usual. Check that its notifications still go to our URL.",
    ProviderState.REFUSED: "It rejects our credentials. Set the right ones: until then it cannot be queried.",
    ProviderState.LOW_BALANCE: "It reports a low balance. Top it up before orders fail.",
    ProviderState.INVALID: "Its latest notification could not be read. The journal says what was wrong.",
    ProviderState.BEHIND: "Notifications are waiting because it does not answer our queries. Check its credentials and its status page.",
}


def provider_words(health: ProviderHealth) -> str:
    """Return what is wrong with a provider, and what to do."""
    return PROVIDER_WORDS.get(health.state, "")


SPANS_OF_TIME = {
    "15min": "last 15 minutes",
    "1h": "last hour",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
}
"""What the spans that end now are called."""
FILTERS: Mapping[str, Callable[..., object]] = {
    "time_text": formats.time_text,
    "pretty": formats.pretty,
    "value_text": formats.value_text,
    "advice": advice_for,
    "merged": lambda first, second: {**first, **second},
    "query": lambda fields: urlencode({name: value for name, value in fields.items() if value}),
    "word": lambda value: value.replace("_", " "),
    "json": lambda value: msgspec.json.encode(value).decode(),
    "made_at": made_at,
    "short": lambda text: text if len(text) <= 18 else f"{text[:9]}…{text[-6:]}",
}


NUMBERS: Mapping[str, Callable[..., str]] = {
    "span": formats.span,
    "many": formats.many,
    "byte_size": formats.byte_size,
    "percent": formats.percent,
    "number": "{:,}".format,
}
"""Filters whose texts hold numbers as English writes them; other languages swap point and comma."""
SWAPPED = str.maketrans(",.", ".,")


ONCE_BYTES = 16
"""What names a form that makes something is not guessed, and no two are the same."""


@cache
def environment(language: str) -> jinja2.Environment:
    """Return the environment whose templates speak the language; what its catalogue lacks is said in English."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.filters |= FILTERS
    made.filters |= {name: _localize(one, language) for name, one in NUMBERS.items()}
    made.tests["unreadable"] = lambda row: isinstance(row, Unreadable)
    made.globals |= {
        "assets": VERSION,
        "provider_words": provider_words,
        "spans_of_time": SPANS_OF_TIME,
        "id": lambda kind, value: text_of(Prefix(kind), value),
        "once": lambda: secrets.token_urlsafe(ONCE_BYTES),
    }
    texts = gettext.translation("dashboard", FOLDER / "locales", [language], fallback=True)

    def translate(text: str) -> str:
        """Return a name or a sentence made elsewhere: no percent sign in it is a place for a value."""
        return texts.gettext(text) if text else ""

    def sentence(advice: Advice) -> str:
        why = str(advice.values.get("why", ""))
        return translate(advice.text).format(
            **{**advice.values, "why": why and f": {translate(why.removeprefix(': '))}"}
        )

    made.globals |= {"translate": translate, "sentence": sentence}
    install: Callable[..., None] = vars(made)["install_gettext_translations"]  # which the extension has added
    install(texts, newstyle=True)
    return made


def _localize(write: Callable[..., str], language: str) -> Callable[..., str]:
    """Return a filter that writes numbers as the language does."""
    return write if language == "en" else lambda value: write(value).translate(SWAPPED)


def page(
    template: str,
    user: SessionUser | None,
    values: Mapping[str, object],
    *,
    status: int = 200,
    branding: PageBranding = DEFAULT,
    frame_origins: Sequence[str] = (),
) -> Response:
    """Return the page. `user` None: a person who has not signed in, who sees `branding`."""
    if user is not None:
        branding, frame_origins = user.branding, user.frame_origins
    made = environment(branding.language).get_template(template)
    text = made.render(**values, user=user, branding=branding, language=branding.language)
    return Response(status, text.encode(), "text/html; charset=utf-8", framed_headers(frame_origins))


def live_page(request: Request, name: str, user: SessionUser, values: Mapping[str, object]) -> Response:
    """Return the page of that name, or only its parts that change, `<name>_parts.html`, where a page refreshes itself."""
    return page(f"{name}_parts.html" if "x-live" in request.headers else f"{name}.html", user, values)


def framed_headers(origins: Sequence[str]) -> dict[str, str]:
    """Return the headers of a page that pages of these origins, and no others, may show in a frame."""
    if not origins:
        return dict(HEADERS)
    policy = POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(origins)}")
    left_out = ("x-frame-options", "cross-origin-opener-policy")
    return {name: value for name, value in HEADERS.items() if name not in left_out} | {
        "content-security-policy": policy
    }


def show_error(request: Request, error: Exception) -> Response:
    """Return a page that says what went wrong; nothing of the inside."""
    user: SessionUser | None = request.session_user
    status, detail = 500, "Something broke on our side; it is in the log."
    if isinstance(error, Refused):
        fields = "; ".join(f"{one.pointer.lstrip('/').removeprefix('query:')}: {one.detail}" for one in error.errors)
        status, detail = error.status, fields or error.detail
    elif isinstance(error, NotNow):
        status, detail = 503, "The database does not answer at the moment. Try again in a few seconds."
    else:
        log.error("request.failed", method=request.method, path=request.path, exc_info=error)
        if isinstance(error, Undecryptable):
            detail = "What is stored here cannot be decrypted; the log names it."
    in_frame = request.headers.get("sec-fetch-dest") == "iframe"
    filtered = request.method == "GET" and isinstance(error, Refused) and bool(error.errors)
    values = {
        "title": "Not found" if status == HTTPStatus.NOT_FOUND else "That did not work",
        "status": status,
        "detail": detail,
        "path": request.path if filtered else None,
        "home": user.link("/") if user else None if in_frame else "/",
    }
    origins = request.services[Installation].frame_origins if in_frame else ()
    return page("error.html", user, values, status=status, branding=NEUTRAL, frame_origins=origins)
