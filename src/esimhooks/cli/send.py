"""`esimhooks send URL`: one signed event of one's choice, without any server.

An address, a secret and an event or a file come in; the request goes out as the server would send it, the answer is printed.
"""

from typing import Annotated

import msgspec
import typer

from esimhooks.cli import output
from esimhooks.cli.check_receiver import sender_of
from esimhooks.cli.conformance.exchange import Answer, Line
from esimhooks.cli.conformance.grading import accepted
from esimhooks.cli.conformance.requests import Json, Sender, Sending
from esimhooks.cli.options import AsReport, content_of, esim_fields, web_address
from esimhooks.vocabulary.events import EventType


def send(  # noqa: PLR0913 - the options of a command
    url: Annotated[str, typer.Argument(metavar="URL", help="URL to send it to.")],
    *,
    secret: Annotated[
        str, typer.Option("--secret", envvar="ESIMHOOKS_WEBHOOK_SECRET", help="The receiver's secret, whsec_...")
    ],
    event: Annotated[EventType, typer.Option("--event", metavar="EVENT", help="The event type.")] = EventType.ACTIVATED,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the eSIM; repeatable.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="Send this body unchanged instead; - for standard input."),
    ] = None,
    brand: Annotated[
        str | None, typer.Option("--hex", metavar="BRAND", help="Sign with the hex profile: X-BRAND-Signature.")
    ] = None,
    as_json: AsReport = False,
) -> None:
    """Send one signed event and show the answer.

    The event is an example, or a body from a file. No server is involved. Exits with 1 if the answer is not 2xx.
    """
    if file is not None and change:
        raise typer.BadParameter("--file is sent byte for byte: leave --set out")
    line, sender = Line(web_address(url)), sender_of(secret, brand)
    sending = _make(sender, event, change or []) if file is None else _of_file(sender, event, content_of(file))
    answer = line.send_one(sending)
    if as_json:
        headers = dict(sending.headers)
        output.json({"url": url, "headers": headers, "body": sending.body.decode(errors="replace"), "answer": answer})
    else:
        _show(url, sending, answer)
    raise typer.Exit(int(not accepted(answer)))


def _make(sender: Sender, event: EventType, texts: list[str]) -> Sending:
    """Return the example with these fields, and with what follows from them."""
    made, fields = sender.event(event), esim_fields(texts)
    data = made["data"] | fields
    used, total = data.get("dataUsage"), data.get("totalVolume")
    if {"dataUsage", "totalVolume"} & fields.keys() and "data_usage_remain" not in fields and None not in (used, total):
        data["data_usage_remain"] = round(max(total - used, 0), 2)
    changes: Json = {
        name: change | {"new": data[name]} for name, change in made.get("changes", {}).items() if name in data
    }
    made |= {"data": data} | ({"changes": changes} if changes else {})
    if "newStatus" in made:
        made["newStatus"] = data["esimStatus"]
    return sender.send(made)


def _of_file(sender: Sender, event: EventType, body: bytes) -> Sending:
    """Return the body signed under its own id, where it has one."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = None
    fields = decoded if isinstance(decoded, dict) else {}
    identity = fields.get("id")
    kind = fields.get("event", event)
    return sender.send_bytes(body, message_id=identity if isinstance(identity, str) else None, kind=str(kind))


def _show(url: str, sending: Sending, answer: Answer) -> None:
    headers = dict(sending.headers)
    identity = headers.get("webhook-id") or next((headers[name] for name in headers if name.endswith("event-id")), "")
    shown = {"id": identity, "to": url, "bytes": len(sending.body)}
    if answer.status is None:
        shown |= {"answer": answer.error}
    else:
        shown |= {"answer": answer.status, "after": f"{answer.elapsed_s * 1000:.0f} ms", "body": answer.body}
    output.fields("sent", shown)
