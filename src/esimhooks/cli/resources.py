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
    "mapping": "any provider, described by your own document: `--setting document=@FILE`",
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

NAME = Setting("name", "Its name.", metavar="NAME")
ICCID = Setting("iccid", "Only the one with this ICCID.")
TRANSACTION = Setting("transactionId", "Only those of the order with this transaction id.")
ORDER_NO = Setting("orderNo", "Only those of the order with this provider's number.")
ESIM = Setting("esim", "Only those of this eSIM.", metavar="ID")
TYPE = Setting("type", "Only of this type, such as esim.activated.", metavar="T", words=EVENTS)
FROM = Setting("from", "Not before this time, such as 2026-11-23T10:00:00Z.", metavar="TIME")
TO = Setting("to", "Before this time, such as 2026-11-24T10:00:00Z.", metavar="TIME")
SPAN = (FROM, TO)
OWNER = Needed("account", "Account of the keys.", metavar="ACC")
LIMITS = (
    Repeated("allowedIps", "Address or network that may use it; repeatable.", flag="--allowed-ip", metavar="CIDR"),
    Setting("expiresAt", "When it expires, such as 2027-11-23T10:00:00Z.", metavar="TIME"),
)
ROLE = Setting("role", "manage (the default), read or events.", metavar="ROLE", words=OF_MERCHANTS)
KEY = (Setting("webhookUrl", "URL to send webhooks to.", metavar="URL"), *LIMITS)
ENDPOINT = (
    NAME,
    Repeated(
        "eventTypes", "Event type to send, by default all; repeatable.", flag="--event-type", metavar="T", words=EVENTS
    ),
    Setting("filter", "Only events that match, such as data.packageCode == 'EU1'.", metavar="JMESPATH"),
    Setting(
        "retrySchedule", "Seconds before each attempt, or standard or persistent.", metavar="0,60,300", parse=schedule
    ),
    Setting("timeout", "Seconds to answer, 1-30.", float, metavar="S"),
    Setting("maxInFlight", "Concurrent requests, 1-200.", int),
    Setting("rateLimit", "Requests per second.", int),
    Setting("ordering", "Whether events of one eSIM are sent in order", Ordering),
    Repeated("headers", "Sent with every request; repeatable.", flag="--header", metavar="NAME=VALUE", parse=pairs),
    Setting("signatureProfile", "How requests are signed", SignatureProfile),
    Setting(
        "redactCredentials",
        "Whether to leave out activation codes and QR URLs.",
        bool,
        flag="--redact-credentials/--no-redact-credentials",
    ),
    Setting("caCertificate", "Additional CAs to trust, PEM.", Path, metavar="FILE", parse=file_text),
)
SECRET = Setting("secret", "Secret that the receiver already has; - to enter it.", metavar="WHSEC", parse=secret)
PROVIDER = (
    Needed(
        "kind",
        "Kind, such as esimaccess; `esimhooks providers kinds` lists them.",
        metavar="KIND",
        words=(*KINDS, *SHIPPED),
    ),
    Setting("baseUrl", "URL of its API, if not the default.", metavar="URL"),
    Repeated(
        "credentials",
        "Credential; without a value you are asked for it; repeatable.",
        flag="--credential",
        metavar="NAME[=VALUE]",
        parse=credentials,
    ),
    Repeated(
        "settings",
        "Setting of its kind, such as confirm=terminal; repeatable.",
        flag="--setting",
        metavar="NAME=VALUE",
        parse=json_values,
    ),
)
ORDER = (
    Needed("account", "Account of the eSIMs.", metavar="ACC"),
    Needed("mode", "Mode", Mode),
    Needed("provider", "Name of the provider.", metavar="NAME"),
    Needed("transactionId", "Your reference for the order."),
    Setting("orderNo", "The provider's order number."),
    Needed("packageCode", "Code of the plan."),
    Setting("packageName", "Name of the plan."),
    Setting("quantity", "How many eSIMs.", int, default=1, minimum=1),
    Repeated("metadata", "Sent with every event; repeatable.", metavar="NAME=VALUE", parse=pairs),
    Setting("esim", "eSIM to top up, instead of ordering new ones.", metavar="ID"),
)
ESIM_FILTER = (Setting("status", "Only those with this status", EsimStatus), ICCID, TRANSACTION, ORDER_NO)

BRANDING = (
    NAME,
    Setting("accent", "Accent colour, such as #7a1f5c.", metavar="COLOUR"),
    Setting("language", "en, de or es.", words=("en", "de", "es")),
    Setting("logo", "An SVG or PNG, at most 64 KiB.", Path, metavar="FILE", parse=base64_of),
    Setting("favicon", "Icon of the browser tab, likewise.", Path, metavar="FILE", parse=base64_of),
)
PAGES_OF = Needed("account", "Account of the merchant.", metavar="ACC")

EVENT_COLUMNS = "id event timestamp:age data.id:esim newStatus:to previousStatus:from sequence:seq thresholds reason"
ATTEMPT_COLUMNS = "number:no outcome statusCode:status durationMs:ms startedAt:age error"
ORDERED_COLUMNS = "id esimStatus:status iccid esimTranNo"


def show_endpoint_off(client: Client, delivery: str, answer: Answer) -> None:
    """Say where a delivery that was sent again waits because its endpoint is disabled."""
    endpoint = client.get(path("deliveries", delivery)).as_(dict[str, object]).get("endpoint")
    if endpoint and client.get(path("endpoints", str(endpoint))).as_(dict[str, object]).get("enabled") is False:
        output.note("its endpoint is disabled; to send it, run:")
        output.copyable_note(f"  esimhooks endpoints enable {endpoint}")


# fmt: off
# A command is read at a glance where it is one or two lines.
RESOURCES = (
    Resource("accounts", "Merchants' accounts, for operators.", (
        Verb("list", "GET /v1/accounts", "List accounts, newest first.", columns="id name createdAt:age"),
        Verb("show", "GET /v1/accounts/{id}", "Show an account."),
        Verb("create", "POST /v1/accounts", "Create an account.", (Needed("name", "Its name.", metavar="NAME"),),
             title="new account"),
        Verb("update", "PATCH /v1/accounts/{id}", "Change an account's name or quotas.",
             (Setting("name", "Its new name.", metavar="NAME"),
             Repeated("quotas", "Quota, such as endpoints=80, null for the default; repeatable.", flag="--quota",
                      metavar="NAME=N", parse=json_values))),
        Verb("delete", "DELETE /v1/accounts/{id}",
             "Delete an account: with its keys, endpoints, orders and eSIMs. Pending deliveries are cancelled.",
             confirm="Delete {id} and everything in it?", done="{id} is deleted"),
    )),
    Resource("quotas", "Quotas of an account.", (
        OfTenant("list", "GET /v1/quotas", "List an account's quotas and their use.",
             columns="name limit used"),
    )),
    Resource("operator-keys", "API keys of operators.", (
        Verb("list", "GET /v1/operator-keys", "List operators' keys.",
             columns="id name role lastUsedAt:used createdAt:age expiresAt:expires"),
        Verb("create", "POST /v1/operator-keys", "Create an operator's key; it is shown only once.",
             (Needed("name", "Name of the operator.", metavar="NAME"), Needed("role", "admin, support or read.", metavar="ROLE", words=OF_OPERATORS), *LIMITS),
             title="new key, shown only once"),
        Verb("update", "PATCH /v1/operator-keys/{id}", "Change an operator's key.",
             (NAME, *LIMITS)),
        Verb("revoke", "DELETE /v1/operator-keys/{id}", "Revoke an operator's key at once.", done="{id} is revoked"),
    )),
    Resource("keys", "API keys of an account, for operators.", (
        Verb("list", "GET /v1/accounts/{account}/keys", "List an account's keys.", (OWNER,),
             columns="id mode role name lastUsedAt:used createdAt:age expiresAt:expires endpointId:endpoint"),
        Verb("create", "POST /v1/accounts/{account}/keys",
             "Create a key, optionally with an endpoint; the key is shown only once.", (OWNER,
             Needed("mode", "Mode", Mode), Needed("name", "Its name.", metavar="NAME"),
             ROLE, *KEY), title="new key, shown only once"),
        Verb("update", "PATCH /v1/accounts/{account}/keys/{id}", "Change a key.",
             (OWNER, NAME, *KEY)),
        Verb("revoke", "DELETE /v1/accounts/{account}/keys/{id}", "Revoke a key at once.", (OWNER,),
             done="{id} is revoked"),
    )),
    Resource("providers", "Providers of eSIMs, for operators.", (
        Verb("list", "GET /v1/providers", "List providers.",
             columns="name kind baseUrl:address credentialsSet:credentials inboundUrl:inbound"),
        Verb("show", "GET /v1/providers/{id}", "Show a provider and its inbound URL.",
             argument="NAME"),
        Verb("put", "PUT /v1/providers/{id}", "Create or replace a provider; its inbound URL stays.", PROVIDER,
             argument="NAME"),
        Verb("rotate-token", "POST /v1/providers/{id}/rotate-token",
             "Replace a provider's inbound URL; the old one works for another day, or for --expire-old-in.",
             (Setting("expireOldIn", "Seconds for which the old one still works; 0 after a leak.", int, metavar="S", minimum=0),),
             argument="NAME"),
        Verb("documents", "GET /v1/providers/{id}/documents",
             "List the versions of a document, newest first: what changed in each.", argument="NAME",
             columns="version createdAt:age difference"),
        Verb("dry-run", "POST /v1/providers/{id}/dry-run",
             "Try a document on recent notifications; changes nothing.",
             (Setting("document", "The document, by default the stored one.", Path, metavar="FILE", parse=file_text),
              Setting("last", "How many notifications, 1-500.", int)), argument="NAME", rows="notifications",
             columns="notification receivedAt:age kind outcome same before.outcome:before after.outcome:after "
                     "after.detail:why"),
        Verb("delete", "DELETE /v1/providers/{id}", "Delete a provider; its notifications are refused from now on.",
             argument="NAME", confirm="Delete provider {id} and refuse its notifications?", done="{id} is deleted"),
    )),
    Resource("portal", "Links that sign merchants in to the dashboard, for operators.", (
        Verb("link", "POST /v1/accounts/{account}/portal-links", "Create a link that signs somebody in once, without a key.",
             (PAGES_OF, Needed("mode", "Mode", Mode),
             Setting("role", "view or manage.", words=("view", "manage")),
             Setting("page", "Page to open, such as /deliveries.", metavar="PATH"),
             Setting("expiresIn", "Seconds until it expires, 60-86400.", int, metavar="S", minimum=60, maximum=86_400),
             Setting("frame", "Whether it is for a frame in your own page.", bool, flag="--frame/--no-frame")), title="link, works once"),
        Verb("sessions", "GET /v1/accounts/{account}/portal-sessions", "List sessions started by links.",
             (PAGES_OF,), rows="data", columns="id mode role frame lastSeenAt:seen createdAt:age",
             hidden=("nextCursor",), title="sessions"),
        Verb("end", "DELETE /v1/accounts/{account}/portal-sessions/{id}", "End a session at once.", (PAGES_OF,),
             done="{id} has ended"),
    )),
    Resource("branding", "Branding of the dashboard, for operators.", (
        Verb("show", "GET /v1/branding", "Show the branding of the installation.", title="branding"),
        Verb("update", "PATCH /v1/branding", "Change the branding of the installation.", BRANDING, title="branding"),
        Verb("show-account", "GET /v1/accounts/{account}/branding", "Show the branding of an account.", (PAGES_OF,),
             title="branding"),
        Verb("update-account", "PATCH /v1/accounts/{account}/branding", "Change the branding of an account.",
             (PAGES_OF, *BRANDING), title="branding"),
    )),
    Resource("orders", "Orders of eSIMs, for operators.", (
        OfTenant("list", "GET /v1/orders", "List orders of all accounts, newest first.",
             (Setting("provider", "Only those placed with this provider.", metavar="NAME"), TRANSACTION, ORDER_NO),
             columns="id transactionId:transaction quantity:esims createdAt:age account mode provider "
                     "packageCode orderNo"),
        Verb("show", "GET /v1/orders/{id}", "Show an order with its eSIMs.", rows="esims", columns=ORDERED_COLUMNS),
        Verb("create", "POST /v1/orders", "Create an order; the same transaction id returns the same order.",
             ORDER, title="order", rows="esims", columns=ORDERED_COLUMNS),
    )),
    Resource("esims", "eSIMs of an account.", (
        OfTenant("list", "GET /v1/esims", "List eSIMs, newest first.", ESIM_FILTER,
             columns="id esimStatus:status iccid dataUsage:used totalVolume:of validity_usage_remain:days "
                     "smdpStatus:profile transactionId:transaction"),
        OfTenant("show", "GET /v1/esims/{id}", "Show an eSIM."),
        OfTenant("events", "GET /v1/esims/{id}/events", "List the events of an eSIM, newest first.",
             columns=EVENT_COLUMNS),
    )),
    Resource("requeries", "Requeries of many eSIMs, started by `esimhooks esims requery`.", (
        OfTenant("list", "GET /v1/requeries", "List requeries, newest first.",
             columns="id done matched:of failed createdAt:age finishedAt:finished status iccid transactionId orderNo"),
        OfTenant("show", "GET /v1/requeries/{id}", "Show the progress of a requery."),
        OfTenant("cancel", "POST /v1/requeries/{id}/cancel", "Cancel a requery; finished eSIMs stay refreshed.", done="{id} is cancelled"),
    )),
    Resource("events", "Events of an account's eSIMs.", (
        OfTenant("list", "GET /v1/events", "List events, newest first.", (TYPE, ESIM, *SPAN,
             Setting("after", "Only events after this one, oldest first.", metavar="EVT")), watched=True,
             columns=EVENT_COLUMNS),
        OfTenant("show", "GET /v1/events/{id}", "Show an event."),
        OfTenant("resend", "POST /v1/events/{id}/resend",
             "Send an event again, to all subscribed endpoints or to one.",
             (Setting("endpoint", "Only to this endpoint, even if it is not subscribed.", metavar="ID"),), title="sent again"),
    )),
    Resource("event-types", "The event types.", (
        Verb("list", "GET /v1/event-types", "List event types with their meaning.",
             columns="event meaning"),
        Verb("show", "GET /v1/event-types/{id}", "Show an event type with an example; --json includes the schema.",
             argument="EVENT", hidden=("schema",), pretty="example"),
    )),
    Resource("endpoints", "URLs that receive webhooks.", (
        OfTenant("list", "GET /v1/endpoints", "List endpoints, newest first.",
             columns="id url:address enabled disabledReason:reason mode createdAt:age name eventTypes"),
        OfTenant("show", "GET /v1/endpoints/{id}", "Show an endpoint."),
        OfTenant("create", "POST /v1/endpoints", "Create an endpoint and show its secret.",
             (Needed("url", "URL to send webhooks to.", metavar="URL"), *ENDPOINT, SECRET),
             title="new endpoint"),
        OfTenant("update", "PATCH /v1/endpoints/{id}", "Change an endpoint.",
             (Setting("url", "New URL.", metavar="URL"), *ENDPOINT)),
        OfTenant("enable", "POST /v1/endpoints/{id}/enable", "Enable an endpoint; what is queued is sent.",
             done="{id} is enabled"),
        OfTenant("disable", "POST /v1/endpoints/{id}/disable", "Disable an endpoint; what is queued stays.",
             done="{id} is disabled"),
        OfTenant("pause", "POST /v1/endpoints/{id}/pause",
             "Pause an endpoint; its events are queued until it is resumed.", done="{id} is paused"),
        OfTenant("resume", "POST /v1/endpoints/{id}/resume", "Resume a paused endpoint, starting with what is queued.",
             done="{id} is resumed"),
        OfTenant("send-now", "POST /v1/endpoints/{id}/send-now",
             "Attempt all pending deliveries now, after fixing a receiver.", title="sent now"),
        OfTenant("test", "POST /v1/endpoints/{id}/test", "Send an example event to an endpoint, in mode test.",
             (Setting("event", "Event type to send", EventType, default=EventType.ACTIVATED),), title="sent"),
        OfTenant("test-filter", "POST /v1/endpoints/test-filter", "Try a filter on recent events; nothing is sent.",
             (Needed("filter", "Filter to try, such as data.packageCode == 'EU1'.", metavar="JMESPATH"),
             Repeated("eventTypes", "Only of this type; repeatable.", flag="--event-type", metavar="T", words=EVENTS),
             Setting("last", "Number of recent events, 1-100.", int, default=100, minimum=1, maximum=100)),
             rows="events", columns="passes event timestamp:age esim id"),
        OfTenant("stats", "GET /v1/endpoints/{id}/stats", "Show an endpoint's statistics and queue.",
             (Setting("hours", "Hours to look back, 1-168.", int, default=24, minimum=1, maximum=168),)),
        OfTenant("secret", "GET /v1/endpoints/{id}/secret", "Show an endpoint's secret and old ones still in use.",
             title="secret of {id}"),
        OfTenant("rotate-secret", "POST /v1/endpoints/{id}/rotate-secret",
             "Replace an endpoint's secret; the old one signs for another day, or for --expire-old-in.",
             (Setting("expireOldIn", "Seconds for which the old one still signs; 0 after a leak.", int, metavar="S", minimum=0),
             SECRET), title="new secret of {id}"),
        OfTenant("delete", "DELETE /v1/endpoints/{id}", "Delete an endpoint; pending deliveries are cancelled.",
             done="{id} is deleted"),
    )),
    Resource("deliveries", "Deliveries and their attempts.", (
        OfTenant("list", "GET /v1/deliveries", "List deliveries, newest first.",
             (Setting("endpoint", "Only those to this endpoint.", metavar="ID"),
             Setting("event", "Only those of this event.", metavar="ID"), TYPE, ESIM,
             Setting("status", "Only those with this status", DeliveryStatus),
             Setting("statusCode", "Only those last answered with this HTTP status.", int, minimum=100, maximum=999),
             Setting("outcome", "Only those whose last attempt had this outcome", OutcomeClass),
             Setting("failed", "Only those with a failed attempt, or without.", bool,
             flag="--failed/--never-failed"), *SPAN), watched=True,
             columns="id status createdAt:age eventType:event attemptCount:tries nextAttemptAt:next endpoint "
                     "event:of esim"),
        OfTenant("show", "GET /v1/deliveries/{id}", "Show a delivery with its attempts.", rows="attempts",
             columns=ATTEMPT_COLUMNS),
        OfTenant("retry", "POST /v1/deliveries/{id}/retry",
             "Send a delivery again: its schedule restarts, a pending one is attempted now.", done="{id} is pending again",
             after=show_endpoint_off),
        OfTenant("retry-several", "POST /v1/deliveries/retry", "Send up to 100 deliveries again.",
             (Needed("deliveries", "Delivery to send; repeatable.", flag="--delivery", metavar="ID", repeated=True),), title="sent again"),
        OfTenant("cancel", "POST /v1/deliveries/{id}/cancel", "Cancel a pending delivery; it can be sent again later.",
             done="{id} is cancelled"),
    )),
    Resource("recoveries", "Recoveries of an endpoint, started by `esimhooks recover`.", (
        OfTenant("show", "GET /v1/endpoints/{endpoint}/recoveries/{id}", "Show the progress of a recovery.",
             (Needed("endpoint", "Endpoint of the recovery.", metavar="ID"),)),
        OfTenant("cancel", "POST /v1/endpoints/{endpoint}/recoveries/{id}/cancel",
             "Cancel a recovery; what was sent stays sent.", (Needed("endpoint", "Endpoint of the recovery.", metavar="ID"),),
             done="{id} is cancelled"),
    )),
    Resource("notifications", "The journal of what providers sent, for operators.", (
        Verb("list", "GET /v1/notifications", "List notifications of all providers, newest first.",
             (Setting("source", "Only those from this provider, or updates.", metavar="NAME"),
             Setting("outcome", "Only those with this outcome, such as applied.", metavar="OUTCOME"),
             Setting("esim", "Only those about this eSIM.", metavar="ID"), ICCID, TRANSACTION, ORDER_NO, *SPAN),
             columns="id outcome receivedAt:age source kind detail esim"),
        Verb("show", "GET /v1/notifications/{id}", "Show a notification as it was received."),
        Verb("replay", "POST /v1/notifications/{id}/replay", "Process a notification again, as if it arrived now.",
             title="replayed"),
    )),
    Resource("audit", "The audit log.", (
        OfTenant("list", "GET /v1/audit", "List changes, newest first; --json includes the values.",
             (Setting("actor", "Only changes by this key's id, or by operator, merchant or system.", metavar="WHO"),
             Setting("action", "Only this kind of change, such as endpoint.change.", metavar="WORD"),
             Setting("subject", "Only changes of the object with this id.", metavar="ID"), *SPAN),
             columns="at:age action subject actor.kind:by changes:changed actor.name:key address:from account"),
    )),
)
# fmt: on
