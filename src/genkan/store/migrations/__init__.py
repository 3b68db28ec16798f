"""
Bring a database to the schema that this code knows.

The schema is the numbered SQL files beside this module, each applied once and in order, all in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from genkan.store.sealing import CannotOpen


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """
    Apply what is not applied yet. `name` is what a message calls the database.

    Shapes: the connection is in autocommit mode.
    Raises: `CannotOpen` for a schema that is newer than this code; `sqlite3.Error`, and nothing has changed then.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        found = connection.execute("SELECT version FROM schema_version").fetchone()
        version: int = found[0] if found else 0
        scripts = dict(_scripts())
        newest = max(scripts)
        if version > newest:
            raise CannotOpen(
                f"The database {name} has schema {version}, and this Genkan knows schemas up to {newest}. Start the "
                f"newer Genkan that it was last used with, or put back a backup made before the upgrade."
            )
        for number in sorted(scripts):
            if number > version:
                for statement in _statements(scripts[number]):
                    connection.execute(statement)
        if version < newest:
            connection.execute("DELETE FROM schema_version")
            connection.execute("INSERT INTO schema_version (version) VALUES (?)", (newest,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def expect_schema(connection: sqlite3.Connection, name: str) -> None:
    """
    See to it that a database has the schema of this code, and change nothing.

    Raises: `CannotOpen`; `sqlite3.Error`.
    """
    (version,) = connection.execute("SELECT version FROM schema_version").fetchone()
    if version != (newest := max(dict(_scripts()))):
        raise CannotOpen(
            f"The database {name} has schema {version}, and this Genkan reads schema {newest}. Start this Genkan's "
            f"server on it once to bring it up to date, or use the Genkan that it was last used with."
        )


def _scripts() -> Iterator[tuple[int, str]]:
    for file in files(__name__).iterdir():
        if file.name.endswith(".sql"):
            yield int(file.name.partition("_")[0]), file.read_text(encoding="utf-8")


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, cut where one is complete."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
