"""What the API has, as commands: each resource with its columns, paths and options. Adding one is adding rows here.

A test compares this table with the OpenAPI document of a running server: no operation, parameter or field is left out.
"""

from functools import partial
from importlib.resources import files
from pathlib import Path

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.options import base64_of, credentials, file_text, json_values, pairs, path, schedule, secret
from esimhooks.cli.verbs import Resource, Setting, Verb
from esimhooks.server.domain.delivery import DeliveryStatus, OutcomeClass
from esimhooks.server.domain.endpoint import Ordering, SignatureProfile
from esimhooks.server.domain.roles import OF_MERCHANTS, OF_OPERATORS
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Mode

KINDS = {
    "es2plus": "any SM-DP+ that speaks GSMA ES2+",
    "esimaccess": "eSIM Access, and resellers with its API",
    "esimgo": "eSIM Go",
    "mapping": "any provider, described by a document of your own: `--setting document=@FILE`",
    "sandbox": "the simulated provider of `esimhooks simulate`",
}
SHIPPED = tuple(
    sorted(one.name.removesuffix(".toml") for one in (files("esimhooks.server.providers") / "mappings").iterdir())
)
"""Kinds whose documents come with the product."""
EVENTS = tuple(EventType)

OfTenant = partial(Verb, tenant=True)
Needed = partial(Setting, required=True)
Repeated = partial(Setting, repeated=True)

NAME = Setting("name", "What it is called.", metavar="NAME")
ICCID = Setting("iccid", "Only this one.")
TRANSACTION = Setting("transactionId", "Only those of this order.")
ORDER_NO = Setting("orderNo", "The same, by the provider's number.")
ESIM = Setting("esim", "Only those of this eSIM.", metavar="ID")
TYPE = Setting("type", "As esim.activated.", metavar="T", words=EVENTS)
FROM = Setting("from", "Not before, as 2026-11-23T10:00:00Z.", metavar="TIME")
TO = Setting("to", "Before, as 2026-11-24T10:00:00Z.", metavar="TIME")
SPAN = (FROM, TO)
OWNER = Needed("account", "Whose keys.", metavar="ACC")
LIMITS = (
    Repeated("allowedIps", "Who may use it; repeatable.", flag="--allowed-ip", metavar="CIDR"),
    Setting("expiresAt", "When it ends, as 2027-11-23T10:00:00Z.", metavar="TIME"),
)
ROLE = Setting("role", "manage (the default), read or events.", metavar="ROLE", words=OF_MERCHANTS)
KEY = (Setting("webhookUrl", "Where webhooks go.", metavar="URL"), *LIMITS)
ENDPOINT = (
    NAME,
    Repeated("eventTypes", "What it gets, by default all; repeatable.", flag="--event-type", metavar="T", words=EVENTS),
    Setting("filter", "Only events for which it holds, as data.packageCode == 'EU1'.", metavar="JMESPATH"),
    Setting("retrySchedule", "Seconds before each attempt, or a schedule's name.", metavar="0,60,300", parse=schedule),
    Setting("timeout", "Seconds for an answer, 1-30.", float, metavar="S"),
    Setting("maxInFlight", "Requests at a time, 1-200.", int),
    Setting("rateLimit", "Requests a second.", int),
    Setting("ordering", "Whether those of an eSIM wait for each other", Ordering),
    Repeated("headers", "Sent with every request; repeatable.", flag="--header", metavar="NAME=VALUE", parse=pairs),
    Setting("signatureProfile", "How requests are signed", SignatureProfile),
    Setting(
        "redactCredentials",
        "Leave activation codes and QR addresses out, or send them.",
        bool,
        flag="--redact-credentials/--no-redact-credentials",
    ),
    Setting("caCertificate", "Authorities to trust besides, PEM.", Path, metavar="FILE", parse=file_text),
)
SECRET = Setting("secret", "One that the receiver has already, or - to be asked for it.", metavar="WHSEC", parse=secret)
PROVIDER = (
    Needed("kind", "As esimaccess; `esimhooks providers kinds` lists them.", metavar="KIND", words=(*KINDS, *SHIPPED)),
    Setting("baseUrl", "Its API, where it is not the usual one.", metavar="URL"),
    Repeated(
        "credentials",
        "Without a value it is asked for; repeatable.",
        flag="--credential",
        metavar="NAME[=VALUE]",
        parse=credentials,
    ),
    Repeated("settings", "As confirm=terminal; repeatable.", flag="--setting", metavar="NAME=VALUE", parse=json_values),
)
ORDER = (
    Needed("account", "Whose eSIMs they are.", metavar="ACC"),
    Needed("mode", "Real business or a test", Mode),
    Needed("provider", "The provider's name here.", metavar="NAME"),
    Needed("transactionId", "Your own reference."),
    Setting("orderNo", "The provider's number."),
    Needed("packageCode", "What was bought."),
    Setting("packageName", "What it is called."),
    Setting("quantity", "How many eSIMs.", int, default=1, minimum=1),
    Repeated("metadata", "Comes with every event; repeatable.", metavar="NAME=VALUE", parse=pairs),
    Setting("esim", "The eSIM that it tops up, instead of making new ones.", metavar="ID"),
)
ESIM_FILTER = (Setting("status", "Only those that are", EsimStatus), ICCID, TRANSACTION, ORDER_NO)

BRANDING = (
    NAME,
    Setting("accent", "The colour of what is chosen, as #7a1f5c.", metavar="COLOUR"),
    Setting("language", "en, de or es.", words=("en", "de", "es")),
    Setting("logo", "An SVG or PNG, at most 64 KiB.", Path, metavar="FILE", parse=base64_of),
    Setting("favicon", "The same, for tabs.", Path, metavar="FILE", parse=base64_of),
)
PAGES_OF = Needed("account", "Whose pages.", metavar="ACC")

EVENT_COLUMNS = "id event timestamp:age data.id:esim newStatus:to previousStatus:from sequence:seq thresholds reason"
ATTEMPT_COLUMNS = "number:no outcome statusCode:status durationMs:ms startedAt:age error"
ORDERED_COLUMNS = "id esimStatus:status iccid esimTranNo"


def show_endpoint_off(client: Client, delivery: str, answer: Answer) -> None:
    """Say where a delivery that was sent again waits because its endpoint is disabled."""
    endpoint = client.get(path("deliveries", delivery)).as_(dict[str, object]).get("endpoint")
    if endpoint and client.get(path("endpoints", str(endpoint))).as_(dict[str, object]).get("enabled") is False:
        output.note("it waits, as its endpoint is disabled; this lets it go:")
        output.copyable_note(f"  esimhooks endpoints enable {endpoint}")


# fmt: off
# A command is read at a glance where it is one or two lines.
RESOURCES = (
    Resource("accounts", "Merchants' accounts, for operators.", (
        Verb("list", "GET /v1/accounts", "List accounts, newest first.", columns="id name createdAt:age"),
        Verb("show", "GET /v1/accounts/{id}", "Show an account."),
        Verb("create", "POST /v1/accounts", "Make an account.", (Needed("name", "What it is called.", metavar="NAME"),),
             title="new account"),
        Verb("update", "PATCH /v1/accounts/{id}", "Give an account another name, or other quotas.",
             (Setting("name", "Its new name.", metavar="NAME"),
             Repeated("quotas", "As endpoints=80, null for the usual; repeatable.", flag="--quota",
                      metavar="NAME=N", parse=json_values))),
        Verb("delete", "DELETE /v1/accounts/{id}",
             "Delete an account with its keys, endpoints, orders and eSIMs; what waits for delivery is cancelled.",
             confirm="Delete {id} and all that it has?", done="{id} is deleted"),
    )),
    Resource("quotas", "What an account may have and do.", (
        OfTenant("list", "GET /v1/quotas", "List an account's quotas, and what it has of each.",
             columns="name limit used"),
    )),
    Resource("operator-keys", "Operators' own keys, with names and roles.", (
        Verb("list", "GET /v1/operator-keys", "List operators' keys.",
             columns="id name role lastUsedAt:used createdAt:age expiresAt:expires"),
        Verb("create", "POST /v1/operator-keys", "Make an operator's key; its text is printed this once.",
             (Needed("name", "Who uses it.", metavar="NAME"), Needed("role", "admin, support or read.", metavar="ROLE", words=OF_OPERATORS), *LIMITS),
             title="new key, shown this once"),
        Verb("update", "PATCH /v1/operator-keys/{id}", "Change an operator's key; what is not named stays.",
             (NAME, *LIMITS)),
        Verb("revoke", "DELETE /v1/operator-keys/{id}", "Revoke an operator's key at once.", done="{id} is revoked"),
    )),
    Resource("keys", "API keys of an account, for operators.", (
        Verb("list", "GET /v1/accounts/{account}/keys", "List an account's keys.", (OWNER,),
             columns="id mode role name lastUsedAt:used createdAt:age expiresAt:expires endpointId:endpoint"),
        Verb("create", "POST /v1/accounts/{account}/keys",
             "Make a key; its text and its endpoint's secret are printed this once.", (OWNER,
             Needed("mode", "Of real business or of tests", Mode), Needed("name", "What it is called.", metavar="NAME"),
             ROLE, *KEY), title="new key, shown this once"),
        Verb("update", "PATCH /v1/accounts/{account}/keys/{id}", "Change a key; what is not named stays.",
             (OWNER, NAME, *KEY)),
        Verb("revoke", "DELETE /v1/accounts/{account}/keys/{id}", "Revoke a key at once.", (OWNER,),
             done="{id} is revoked"),
    )),
    Resource("providers", "Providers of eSIMs, for operators.", (
        Verb("list", "GET /v1/providers", "List providers.",
             columns="name kind baseUrl:address credentialsSet:credentials inboundUrl:inbound"),
        Verb("show", "GET /v1/providers/{id}", "Show a provider, with the address that it sends notifications to.",
             argument="NAME"),
        Verb("put", "PUT /v1/providers/{id}", "Store a provider; one of that name keeps its inbound address.", PROVIDER,
             argument="NAME"),
        Verb("rotate-token", "POST /v1/providers/{id}/rotate-token",
             "Give a provider another inbound address; the old one works for a day more, or as --expire-old-in says.",
             (Setting("expireOldIn", "Seconds the old one still works; 0 after a leak.", int, metavar="S", minimum=0),),
             argument="NAME"),
        Verb("documents", "GET /v1/providers/{id}/documents",
             "List the versions of a provider's document, newest first, each with what changed.", argument="NAME",
             columns="version createdAt:age difference"),
        Verb("dry-run", "POST /v1/providers/{id}/dry-run",
             "Try a document on a provider's newest notifications; nothing is changed.",
             (Setting("document", "The document; without it the stored one.", Path, metavar="FILE", parse=file_text),
              Setting("last", "How many notifications, 1-500.", int)), argument="NAME", rows="notifications",
             columns="notification receivedAt:age kind outcome same before.outcome:before after.outcome:after "
                     "after.detail:why"),
        Verb("delete", "DELETE /v1/providers/{id}", "Forget a provider; what it sends from now on is refused.",
             argument="NAME", confirm="Delete provider {id}, and refuse what it sends?", done="{id} is deleted"),
    )),
    Resource("portal", "Links that sign a merchant's people in to the dashboard, for operators.", (
        Verb("link", "POST /v1/accounts/{account}/portal-links", "Make a link that signs somebody in once, without a key.",
             (PAGES_OF, Needed("mode", "Of real business or of tests", Mode),
             Setting("role", "view or manage.", words=("view", "manage")),
             Setting("page", "Where it leads, as /deliveries.", metavar="PATH"),
             Setting("expiresIn", "Seconds, 60-86400.", int, metavar="S", minimum=60, maximum=86_400),
             Setting("frame", "For a frame in a page of yours.", bool, flag="--frame/--no-frame")), title="link, works once"),
        Verb("sessions", "GET /v1/accounts/{account}/portal-sessions", "List the sessions that links began.",
             (PAGES_OF,), rows="data", columns="id mode role frame lastSeenAt:seen createdAt:age",
             hidden=("nextCursor",), title="sessions"),
        Verb("end", "DELETE /v1/accounts/{account}/portal-sessions/{id}", "End a session at once.", (PAGES_OF,),
             done="{id} has ended"),
    )),
    Resource("branding", "How the pages look, for operators.", (
        Verb("show", "GET /v1/branding", "Show how the pages of the installation look.", title="branding"),
        Verb("update", "PATCH /v1/branding", "Change how they look; what is not named stays.", BRANDING, title="branding"),
        Verb("show-account", "GET /v1/accounts/{account}/branding", "Show how an account's pages differ.", (PAGES_OF,),
             title="branding"),
        Verb("update-account", "PATCH /v1/accounts/{account}/branding", "Change how an account's pages look.",
             (PAGES_OF, *BRANDING), title="branding"),
    )),
    Resource("orders", "Orders of eSIMs, for operators.", (
        OfTenant("list", "GET /v1/orders", "List orders of all accounts, newest first.",
             (Setting("provider", "Only those placed there.", metavar="NAME"), TRANSACTION, ORDER_NO),
             columns="id transactionId:transaction quantity:esims createdAt:age account mode provider "
                     "packageCode orderNo"),
        Verb("show", "GET /v1/orders/{id}", "Show an order with its eSIMs.", rows="esims", columns=ORDERED_COLUMNS),
        Verb("create", "POST /v1/orders", "Store an order; the same transaction id again returns the same order.",
             ORDER, title="order", rows="esims", columns=ORDERED_COLUMNS),
    )),
    Resource("esims", "eSIMs of an account.", (
        OfTenant("list", "GET /v1/esims", "List eSIMs, newest first.", ESIM_FILTER,
             columns="id esimStatus:status iccid dataUsage:used totalVolume:of validity_usage_remain:days "
                     "smdpStatus:profile transactionId:transaction"),
        OfTenant("show", "GET /v1/esims/{id}", "Show an eSIM."),
        OfTenant("events", "GET /v1/esims/{id}/events", "List what happened to an eSIM, newest first.",
             columns=EVENT_COLUMNS),
    )),
    Resource("requeries", "Requeries of many eSIMs, begun by `esimhooks esims requery`.", (
        OfTenant("list", "GET /v1/requeries", "List requeries, newest first.",
             columns="id done matched:of failed createdAt:age finishedAt:finished status iccid transactionId orderNo"),
        OfTenant("show", "GET /v1/requeries/{id}", "Show how far a requery is."),
        OfTenant("cancel", "POST /v1/requeries/{id}/cancel", "End a requery; what is done stays.", done="{id} is cancelled"),
    )),
    Resource("events", "What happened to the eSIMs of an account.", (
        OfTenant("list", "GET /v1/events", "List events, newest first.", (TYPE, ESIM, *SPAN,
             Setting("after", "Those after this event, oldest first.", metavar="EVT")), watched=True,
             columns=EVENT_COLUMNS),
        OfTenant("show", "GET /v1/events/{id}", "Show an event."),
        OfTenant("resend", "POST /v1/events/{id}/resend",
             "Send an event again, to all enabled endpoints that want it or to one.",
             (Setting("endpoint", "Only there, even if it is not subscribed.", metavar="ID"),), title="sent again"),
    )),
    Resource("event-types", "The events that there are.", (
        Verb("list", "GET /v1/event-types", "List the events with their meaning.",
             columns="event meaning"),
        Verb("show", "GET /v1/event-types/{id}", "Show an event's meaning and example; --json has its schema.",
             argument="EVENT", hidden=("schema",), pretty="example"),
    )),
    Resource("endpoints", "Addresses that webhooks go to.", (
        OfTenant("list", "GET /v1/endpoints", "List endpoints, newest first.",
             columns="id url:address enabled disabledReason:reason mode createdAt:age name eventTypes"),
        OfTenant("show", "GET /v1/endpoints/{id}", "Show an endpoint."),
        OfTenant("create", "POST /v1/endpoints", "Make an endpoint; its secret is printed this once.",
             (Needed("url", "Where webhooks go.", metavar="URL"), *ENDPOINT, SECRET),
             title="new endpoint, its secret shown this once"),
        OfTenant("update", "PATCH /v1/endpoints/{id}", "Change an endpoint; what is not named stays.",
             (Setting("url", "Where webhooks go from now on.", metavar="URL"), *ENDPOINT)),
        OfTenant("enable", "POST /v1/endpoints/{id}/enable", "Switch an endpoint on; what waits for it goes out.",
             done="{id} is enabled"),
        OfTenant("disable", "POST /v1/endpoints/{id}/disable", "Switch an endpoint off; what waits for it stays.",
             done="{id} is disabled"),
        OfTenant("pause", "POST /v1/endpoints/{id}/pause",
             "Send an endpoint nothing until it is resumed; events go on being queued for it.", done="{id} is paused"),
        OfTenant("resume", "POST /v1/endpoints/{id}/resume", "Go on sending to a paused endpoint, what has waited first.",
             done="{id} is resumed"),
        OfTenant("send-now", "POST /v1/endpoints/{id}/send-now",
             "Attempt what waits for its next attempt now, once a receiver is mended.", title="sent now"),
        OfTenant("test", "POST /v1/endpoints/{id}/test", "Send an endpoint an example, marked mode: test.",
             (Setting("event", "Whose example to send", EventType, default=EventType.ACTIVATED),), title="sent"),
        OfTenant("test-filter", "POST /v1/endpoints/test-filter", "Try a filter on the newest events; nothing is sent.",
             (Needed("filter", "As data.packageCode == 'EU1'.", metavar="JMESPATH"),
             Repeated("eventTypes", "Only these; repeatable.", flag="--event-type", metavar="T", words=EVENTS),
             Setting("last", "How many of the newest events, 1-100.", int, default=100, minimum=1, maximum=100)),
             rows="events", columns="passes event timestamp:age esim id"),
        OfTenant("stats", "GET /v1/endpoints/{id}/stats", "Show how an endpoint has done, and what waits for it.",
             (Setting("hours", "How far back, 1-168.", int, default=24, minimum=1, maximum=168),)),
        OfTenant("secret", "GET /v1/endpoints/{id}/secret", "Show an endpoint's secret, and the old ones that still sign.",
             title="secret of {id}"),
        OfTenant("rotate-secret", "POST /v1/endpoints/{id}/rotate-secret",
             "Replace an endpoint's secret; the old one signs for a day more, or as --expire-old-in says.",
             (Setting("expireOldIn", "Seconds the old one still signs; 0 after a leak.", int, metavar="S", minimum=0),
             SECRET), title="new secret of {id}"),
        OfTenant("delete", "DELETE /v1/endpoints/{id}", "Delete an endpoint; what it did not get yet is cancelled.",
             done="{id} is deleted"),
    )),
    Resource("deliveries", "Deliveries and their attempts.", (
        OfTenant("list", "GET /v1/deliveries", "List deliveries, newest first.",
             (Setting("endpoint", "Only those to it.", metavar="ID"),
             Setting("event", "Only those of it.", metavar="ID"), TYPE, ESIM,
             Setting("status", "Only those that are", DeliveryStatus),
             Setting("statusCode", "Only those whose last answer has this status.", int, minimum=100, maximum=999),
             Setting("outcome", "Only those whose last attempt ended so", OutcomeClass),
             Setting("failed", "Only those of which an attempt has failed, or none has.", bool,
             flag="--failed/--never-failed"), *SPAN), watched=True,
             columns="id status createdAt:age eventType:event attemptCount:tries nextAttemptAt:next endpoint "
                     "event:of esim"),
        OfTenant("show", "GET /v1/deliveries/{id}", "Show a delivery and all of its attempts.", rows="attempts",
             columns=ATTEMPT_COLUMNS),
        OfTenant("retry", "POST /v1/deliveries/{id}/retry",
             "Send a delivery again: its schedule starts again, and a pending one is attempted now.", done="{id} is pending again",
             after=show_endpoint_off),
        OfTenant("retry-several", "POST /v1/deliveries/retry", "Send up to 100 deliveries again.",
             (Needed("deliveries", "Which; repeatable.", flag="--delivery", metavar="ID", repeated=True),), title="sent again"),
        OfTenant("cancel", "POST /v1/deliveries/{id}/cancel", "Give a pending delivery up; it can be sent again later.",
             done="{id} is cancelled"),
    )),
    Resource("recoveries", "Recoveries of an endpoint, begun by `esimhooks recover`.", (
        OfTenant("show", "GET /v1/endpoints/{endpoint}/recoveries/{id}", "Show how far a recovery is.",
             (Needed("endpoint", "Whose recovery.", metavar="ID"),)),
        OfTenant("cancel", "POST /v1/endpoints/{endpoint}/recoveries/{id}/cancel",
             "End a recovery; what is sent again stays.", (Needed("endpoint", "Whose recovery.", metavar="ID"),),
             done="{id} is cancelled"),
    )),
    Resource("notifications", "What providers sent, for operators.", (
        Verb("list", "GET /v1/notifications", "List notifications of all providers, newest first.",
             (Setting("source", "A provider, or updates.", metavar="NAME"),
             Setting("outcome", "As applied.", metavar="OUTCOME"),
             Setting("esim", "Only those about this eSIM.", metavar="ID"), ICCID, TRANSACTION, ORDER_NO, *SPAN),
             columns="id outcome receivedAt:age source kind detail esim"),
        Verb("show", "GET /v1/notifications/{id}", "Show a notification as it came."),
        Verb("replay", "POST /v1/notifications/{id}/replay", "Work a notification through again, as if it came now.",
             title="replayed"),
    )),
    Resource("audit", "Who changed what.", (
        OfTenant("list", "GET /v1/audit", "List who changed what, newest first; --json has the values.",
             (Setting("actor", "A key's id, or operator, merchant or system.", metavar="WHO"),
             Setting("action", "As endpoint.change.", metavar="WORD"),
             Setting("subject", "Only what was done to it.", metavar="ID"), *SPAN),
             columns="at:age action subject actor.kind:by changes:changed actor.name:key address:from account"),
    )),
)
# fmt: on
