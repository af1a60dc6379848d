"""The database that the URL of an inbox names: `sqlite:///path` or `postgresql://...`. Only its driver is imported."""

from esimhooks.receiver.database import Database


def database_of(url: str) -> Database:
    """Return the database of a URL: `sqlite:///inbox.db`, `sqlite:////var/lib/inbox.db`, `postgresql://...`.

    Nothing is opened yet. Raises `ValueError` for other URLs and `MissingExtraError` without the PostgreSQL driver.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from esimhooks.receiver.sqlite import SqliteDatabase  # noqa: PLC0415 - only the driver that is used

        path = rest.removeprefix("/")
        if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
            raise ValueError("expected sqlite:///relative.db or sqlite:////absolute.db: an inbox is a file")
        return SqliteDatabase(path)
    if separator and scheme in {"postgresql", "postgres"}:
        from esimhooks.receiver.postgres import PostgresDatabase  # noqa: PLC0415 - only the driver that is used

        return PostgresDatabase(url)
    raise ValueError("expected an inbox like sqlite:///inbox.db or postgresql://user@host/database")
