"""Migrations are plain SQL files; this runs the one beside a revision."""

from pathlib import Path

from alembic import op


def run(revision_file: str) -> None:
    """Run the `.sql` file beside the revision, all of its statements in the migration's transaction."""
    statements = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    adapted = op.get_bind().connection.dbapi_connection
    adapted.run_async(lambda driver_connection: driver_connection.execute(statements))  # type: ignore[union-attr]
