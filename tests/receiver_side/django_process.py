"""A Django process whose connections are ended by the server between events; it prints what came of each event."""

import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
import psycopg
from django.conf import settings

address, secret = sys.argv[1:]
parts = urlsplit(address)
settings.configure(
    INSTALLED_APPS=["esimhooks.django"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path.removeprefix("/"),
            "USER": parts.username,
            "HOST": parse_qs(parts.query)["host"][0],
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
        }
    },
    ESIMHOOKS={"SECRET": secret, "INBOX": "default"},
    USE_TZ=True,
)
django.setup()

from django.db import connection  # noqa: E402 - after the setup

from esimhooks import Event  # noqa: E402
from esimhooks.django import receiver  # noqa: E402
from esimhooks.testing import signed_request  # noqa: E402


@receiver.on("*", name="plain")
def plain(event: Event) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO welcomed VALUES (%s)", [event.id])


@receiver.transactional("*", name="transactional")
def transactional(event: Event, _connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO welcomed VALUES (%s)", [event.id])
        if event.sequence == 5 and len(failed) == 1:
            failed.append(event.id)
            cursor.execute("INSERT INTO orphans VALUES ('nobody')")  # which is refused at the commit
    if event.sequence == 3 and not failed:
        failed.append(event.id)
        raise OSError("after the effect")


failed: list[str] = []
with psycopg.connect(address, autocommit=True) as other:
    other.execute("CREATE TABLE welcomed (id text)")
    other.execute("CREATE TABLE parents (id text PRIMARY KEY)")
    other.execute("CREATE TABLE orphans (parent text REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    for number in range(6):
        request = signed_request(secret, "esim.activated", sequence=number + 1)
        deadline = time.monotonic() + 10
        while receiver.take(request.body, request.headers).status != 200 and time.monotonic() < deadline:
            pass
        receiver.start()
        while receiver.stats().done < 2 * (number + 1) and time.monotonic() < deadline:
            pass
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    effects = other.execute("SELECT count(*), count(DISTINCT id) FROM welcomed").fetchone()
    print(effects, receiver.stats().done, receiver.stats().dead, len(failed))
