"""
Where the tenants of a deployment lie: each in a file of one folder, or each in a schema of one PostgreSQL database.

Knows which kind there is and how each is opened; nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from genkan.store.sealing import CannotOpen, Keys
from genkan.store.sqlite import SqliteReader, SqliteStore
from genkan.store.tenant import Reader, Store

if TYPE_CHECKING:
    from genkan.store.postgres import Database


class Places(Protocol):
    """The databases of a deployment."""

    name: str
    """What messages call them all."""

    def tenants(self) -> list[str]:
        """The ids of the tenants that are there, in a lasting order. Raises: `CannotOpen`."""
        ...

    def open(self, tenant_id: str, clock: Callable[[], datetime], name: str = "") -> Store:
        """Open a tenant's database; a new one becomes that of a tenant called `name`. Raises: `CannotOpen`."""
        ...

    def peek(self, tenant_id: str, clock: Callable[[], datetime]) -> Reader:
        """Look into a tenant's database. Raises: `CannotOpen`."""
        ...

    def remove(self, tenant_id: str) -> None:
        """Delete a tenant's database, which nobody has open, for good. Raises: `CannotOpen`."""
        ...

    def close(self) -> None:
        """Let go of what the databases share. Done again it does nothing."""
        ...


class Files:
    """Each tenant in a SQLite file of one folder."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.name = f"the folder {folder}"
        self._folder = folder
        self._keys = keys

    def tenants(self) -> list[str]:
        return list(self._paths())

    def open(self, tenant_id: str, clock: Callable[[], datetime], name: str = "") -> SqliteStore:
        path = self._paths().get(tenant_id) or self._folder / f"{name}.db"
        return SqliteStore.open(path, tenant_id, self._keys, clock)

    def peek(self, tenant_id: str, clock: Callable[[], datetime]) -> SqliteReader:
        return SqliteReader.peek(self._paths()[tenant_id], tenant_id, self._keys, clock)

    def remove(self, tenant_id: str) -> None:
        path = self._paths()[tenant_id]
        for end in ("", "-wal", "-shm", ".lock"):
            path.with_name(path.name + end).unlink(missing_ok=True)

    def close(self) -> None:
        pass

    def _paths(self) -> dict[str, Path]:
        found = ((SqliteReader.tenant_of(path), path) for path in sorted(self._folder.glob("*.db")))
        return {id: path for id, path in found if id is not None}


class Schemas:
    """Each tenant in a schema of one PostgreSQL database, whose clock is that of all (TIM-01)."""

    def __init__(self, database: Database, keys: Keys, *, has_the_time: bool) -> None:
        """`has_the_time` False: the clock that is handed in is asked, not the database's."""
        self._has_the_time = has_the_time
        self.name = f"the database {database.name}"
        self._database = database
        self._keys = keys

    def tenants(self) -> list[str]:
        return self._database.tenants()

    def open(self, tenant_id: str, clock: Callable[[], datetime], name: str = "") -> Store:
        from genkan.store.postgres import PostgresStore

        asked = None if self._has_the_time else clock
        return PostgresStore.open(self._database, tenant_id, self._keys, asked)

    def peek(self, tenant_id: str, clock: Callable[[], datetime]) -> Reader:
        from genkan.store.postgres import PostgresReader

        asked = None if self._has_the_time else clock
        return PostgresReader.peek(self._database, tenant_id, self._keys, asked)

    def remove(self, tenant_id: str) -> None:
        self._database.remove(tenant_id)

    def close(self) -> None:
        self._database.close()


def places(
    folder: Path,
    keys: Keys,
    url: str = "",
    *,
    connections: int = 4,
    prepares: bool = True,
    has_the_time: bool = True,
) -> Places:
    """
    Return the databases of a deployment: at PostgreSQL's address if one is given, else in the folder.

    `has_the_time` False: PostgreSQL is not asked for the time.

    Raises: `CannotOpen`.
    """
    if not url:
        return Files(folder, keys)
    try:
        from genkan.store.postgres import Database
    except ImportError:
        raise CannotOpen(
            "For PostgreSQL the packages of the extra `postgres` are needed: pip install 'genkan[postgres]'"
        ) from None
    database = Database(url, prepares=prepares, connections=connections)
    return Schemas(database, keys, has_the_time=has_the_time)
