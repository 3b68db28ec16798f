"""
What is carried of a tenant's database out of it and into another one, and in which order.

Knows every table, the sealed values in them, and how a row of an earlier day is made harmless; of an account's,
application's or key's fate only that `engine.aftermath` decides it. Knows no driver and no file.
Source: security requirements BKP-01, BKP-02; docs/operations/backup.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from genkan.engine import aftermath
from genkan.engine.aftermath import Since
from genkan.engine.emergency.case import LOCKED, Emergency
from genkan.engine.flow import guid
from genkan.engine.messages import Record
from genkan.model import Authenticator, Client, Reserve, Stream, Subject, Tenant
from genkan.store import sql
from genkan.store.chain import ANCHOR
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, SealBroken, Sealer

ROWS_AT_ONCE: Final = 500
"""Rows that are read, carried and written together."""


class Table(Struct, frozen=True):
    """A table, what it is read by, and what stands in a row."""

    name: str
    key: tuple[str, ...]
    """Its order, and what is unique in it."""
    columns: tuple[str, ...]
    numbered: bool = False
    """Its first column is a number that each database gives by itself."""


def _table(name: str, key: str, columns: str, *, numbered: bool = False) -> Table:
    return Table(name, tuple(key.split()), tuple(columns.split()), numbered)


TABLES: Final = (
    _table("meta", "name", "name value"),
    _table("document", "kind id", "kind id revision body"),
    _table("signing_key", "kid", "kid algorithm created_at activates_at retires_at pem"),
    _table("directory_group", "id", "id revision display_name created_at body"),
    _table(
        "subject",
        "id",
        "id revision body display_name given_name surname mail principal_name enabled risk created_at deleted_at",
    ),
    _table("identifier", "key", "key subject"),
    _table("subject_extension", "subject name", "subject name value"),
    _table("authenticator", "id", "id subject revision state body"),
    _table("passkey", "credential", "credential authenticator"),
    _table("membership", "member_id group_id", "member_id group_id"),
    _table("footprint", "subject", "subject body"),
    _table("reserve", "subject", "subject revision body"),
    _table("emergency", "subject", "subject revision case_id body"),
    _table("detection", "id", "id at subject keep_until body"),
    _table("sign_in", "id", "id at correlation_id subject client interactive reason keep_until body"),
    _table("bucket", "name", "name history keep_until"),
    _table("audit", "seq", "seq at action reason subject client correlation_id detail category link"),
    _table(
        "signal",
        "id",
        "id jti stream subject due_at leased_until attempts expires_at dead_at why body",
        numbered=True,
    ),
    _table("signal_subject", "stream subject", "stream subject until"),
)
"""Each after those that it refers to."""

LEFT_BEHIND: Final = frozenset({"flow", "refresh_grant", "outbox", "schema_version"})
"""What would be dead after a restore anyway (BKP-02), and the number that the database gives itself."""

KEYS: Final = "keys"
"""The name in `meta` of the keys that a tenant brought with it."""

STREAM_AUTHORIZATION: Final = "stream.authorization"
"""The place of the one sealed value that is not under the key for values."""

OWN_META: Final = frozenset({"tenant", "seal", sql.REVISION})
"""What a database says of itself, and learns from nobody."""

ACCOUNTS: Final = (
    ("subject", "id", "id display_name given_name surname mail principal_name created_at"),
    ("identifier", "key", "key subject"),
    ("subject_extension", "subject name", "subject name value"),
    ("membership", "member_id group_id", "member_id group_id"),
)
"""What the checksum of accounts is of: whatever a restore leaves as it was."""

RESTORED: Final = "Restore backup"
"""What it is called in the audit log."""

Told: TypeAlias = Callable[[str, int], None]
"""Hears of a table, and how many of its rows are through."""

_stream = msgspec.json.Decoder(Stream).decode
_keys = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_subject = msgspec.json.Decoder(Subject).decode
_client = msgspec.json.Decoder(Client).decode
_authenticator = msgspec.json.Decoder(Authenticator).decode
_reserve = msgspec.json.Decoder(Reserve).decode
_emergency = msgspec.json.Decoder(Emergency).decode


# What a file is made of. ----------------------------------------------------------------------------------------------


class Opening(Struct, frozen=True, kw_only=True, tag="genkan"):
    """The first frame: what made the file, and when."""

    version: str
    schema: int
    at: datetime
    moves: bool = False
    """A tenant moves to another master key: what is sealed comes open, and its keys come with it."""


class Bearing(Struct, frozen=True, kw_only=True, tag="tenant"):
    """A tenant follows, as it was at one time."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    at: datetime
    keys: dict[str, bytes] = field(default_factory=dict)
    """Those that go with a tenant that moves (`sealing.LASTING`)."""
    sealed_keys: str = ""
    """The same of a tenant that has once come from elsewhere, sealed."""
    seal: str
    """Opens under the master key that its values are sealed with."""


class Rows(Struct, frozen=True, tag="rows"):
    """Rows of a table, in its order."""

    table: str
    rows: list[list[Any]]


class Borne(Struct, frozen=True, kw_only=True, tag="borne"):
    """A tenant has ended."""

    counts: dict[str, int]
    accounts: str
    """The checksum of its accounts (`checksum`)."""


class Closing(Struct, frozen=True, tag="end"):
    """The last frame."""

    tenants: int


Frame: TypeAlias = Opening | Bearing | Rows | Borne | Closing
encode = msgspec.msgpack.Encoder().encode
_frame = msgspec.msgpack.Decoder(Frame).decode


class Carried(Struct, frozen=True, kw_only=True):
    """What a file says of one tenant."""

    bearing: Bearing
    borne: Borne


class Contents(Struct, frozen=True, kw_only=True):
    """What a whole file says of itself."""

    opening: Opening
    tenants: tuple[Carried, ...]

    def of(self, tenant: str) -> Carried:
        return next(c for c in self.tenants if c.bearing.id == tenant)


def read(name: object, frames: Iterable[bytes]) -> Iterator[Frame]:
    """
    Yield what the frames of a file say, in an order that makes sense.

    Raises: `CannotOpen`.
    """
    inside: Counted | None = None
    tenants, is_over = 0, False
    for number, raw in enumerate(frames, 1):
        try:
            frame = _frame(raw)
        except msgspec.DecodeError:
            raise _senseless(name) from None
        fits = isinstance(frame, Opening) == (number == 1) and not is_over
        match frame:
            case Bearing():
                fits, inside = fits and inside is None, Counted()
            case Rows():
                fits = fits and inside is not None and inside.takes(frame)
            case Borne():
                fits, inside = fits and inside is not None and inside.counts == frame.counts, None
                tenants += 1
            case Closing():
                fits, is_over = fits and inside is None and frame.tenants == tenants, True
        if not fits:
            raise _senseless(name)
        yield frame
    if not is_over:
        raise _senseless(name)


class Counted:
    """How many rows of which table there were."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((table.name for table in TABLES), 0)
        self._widths = {table.name: len(table.columns) for table in TABLES}

    def takes(self, frame: Rows) -> bool:
        """Count rows; False for what is none of a table."""
        width = self._widths.get(frame.table)
        if width is None or any(len(row) != width for row in frame.rows):
            return False
        self.counts[frame.table] += len(frame.rows)
        return True


def contents(name: object, frames: Iterable[bytes]) -> Contents:
    """
    Read a whole file and return what it says of itself.

    Raises: `CannotOpen`.
    """
    opening: Opening | None = None
    bearing: Bearing | None = None
    tenants: list[Carried] = []
    for frame in read(name, frames):
        match frame:
            case Opening():
                opening = frame
            case Bearing():
                bearing = frame
            case Borne() if bearing is not None:
                tenants.append(Carried(bearing=bearing, borne=frame))
    if opening is None:
        raise _senseless(name)
    return Contents(opening=opening, tenants=tuple(tenants))


def of_tenant(name: object, frames: Iterable[bytes], tenant: str) -> Iterator[Rows]:
    """Yield the rows of one tenant. The whole file is read all the same, since it is to be believed as a whole."""
    is_this = False
    for frame in read(name, frames):
        if isinstance(frame, Bearing):
            is_this = frame.id == tenant
        elif isinstance(frame, Rows) and is_this:
            yield frame


def _senseless(name: object) -> CannotOpen:
    return CannotOpen(
        f"The file {name} opens, and is no backup that this Genkan can read. Use the one that made it."
    )


# Out of a database. ---------------------------------------------------------------------------------------------------


def carry(
    execute: sql.Execute,
    put: Callable[[Frame], None],
    tenant: Tenant,
    at: datetime,
    told: Told = lambda *_: None,
    opened: Seals | None = None,
) -> Carried:
    """
    Put all that is carried of a tenant's database, as one transaction sees it.

    What is sealed stays so, unless there is something to open it with.
    """
    (seal,) = execute(sql.META, ("seal",)).fetchone()
    own = execute(sql.META, (KEYS,)).fetchone()
    bearing = Bearing(
        id=tenant.id,
        name=tenant.name,
        aliases=tenant.aliases,
        at=at,
        seal=seal,
        keys=opened.lasting if opened else {},
        sealed_keys=own[0] if own and not opened else "",
    )
    put(bearing)
    counts: dict[str, int] = {}
    for table in TABLES:
        counts[table.name] = 0
        for rows in _pages(execute, table.name, table.key, table.columns):
            put(Rows(table.name, [list(opened.open(table.name, row) if opened else row) for row in rows]))
            counts[table.name] += len(rows)
            told(table.name, counts[table.name])
    borne = Borne(counts=counts, accounts=checksum(execute))
    put(borne)
    return Carried(bearing=bearing, borne=borne)


def checksum(execute: sql.Execute) -> str:
    """A digest of all accounts: who there is, by which names, in which groups."""
    digest = hashlib.sha256()
    for name, key, columns in ACCOUNTS:
        for rows in _pages(execute, name, tuple(key.split()), tuple(columns.split())):
            for row in rows:
                digest.update(encode((name, *row)))
    return digest.hexdigest()


def _pages(
    execute: sql.Execute, name: str, key: tuple[str, ...], columns: tuple[str, ...]
) -> Iterator[list[sql.Row]]:
    order = ", ".join(key)
    places = [columns.index(column) for column in key]
    text = f"SELECT {', '.join(columns)} FROM {name} WHERE {{}} ORDER BY {order} LIMIT {ROWS_AT_ONCE}"  # noqa: S608
    rows = execute(text.format("TRUE"), ()).fetchall()
    further = text.format(f"({order}) > ({', '.join('?' * len(key))})")
    while rows:
        yield rows
        if len(rows) < ROWS_AT_ONCE:
            break
        rows = execute(further, tuple(rows[-1][place] for place in places)).fetchall()


# Into a database. -----------------------------------------------------------------------------------------------------


class Seals(Struct, frozen=True, kw_only=True):
    """Opens and seals what is sealed in the rows of a tenant."""

    values: Sealer
    signals: Sealer
    lasting: dict[str, bytes] = field(default_factory=dict)
    """The keys that go with the tenant."""

    @classmethod
    def of(cls, keys: Keys, tenant: str) -> Seals:
        """Those of a tenant under a master key."""
        values, signals = (
            Sealer(keys.of(purpose, tenant), tenant) for purpose in (KeyPurpose.SEALING, KeyPurpose.SIGNALS)
        )
        return cls(values=values, signals=signals, lasting=keys.lasting(tenant))

    def open(self, table: str, row: sql.Row) -> sql.Row:
        """Raises: `SealBroken`."""
        return self._turned(table, row, self.values.open, self.signals.open)

    def seal(self, table: str, row: sql.Row) -> sql.Row:
        """Return a row as it was before it was opened, under these keys."""
        return self._turned(table, row, self.values.seal, self.signals.seal)

    def keys(self, keys: Mapping[str, bytes]) -> str:
        """Return keys as `meta` holds them (`opened_keys`)."""
        return self.values.seal("meta.value", KEYS, encode(keys)).hex()

    def _turned(
        self,
        table: str,
        row: sql.Row,
        value: Callable[[str, str, bytes], bytes],
        signal: Callable[[str, str, bytes], bytes],
    ) -> sql.Row:
        if table == "signing_key":
            return (*row[:-1], value(sql.SIGNING_KEY_PEM, row[0], row[-1]))
        if table == "document" and row[0] == "stream" and (stream := _stream(row[-1])).authorization:
            turned = signal(STREAM_AUTHORIZATION, stream.id, stream.authorization)
            return (*row[:-1], _json(replace(stream, authorization=turned)))
        return row


def opened_keys(sealer: Sealer, sealed: str) -> dict[str, bytes]:
    """Return the keys that `meta` holds of a tenant that has come from elsewhere. Raises: `SealBroken`."""
    return _keys(sealer.open("meta.value", KEYS, bytes.fromhex(sealed)))


class Fate(Struct, frozen=True, kw_only=True):
    """What rows of an earlier day come to."""

    now: datetime
    since: Since = field(default_factory=Since)
    draw: Callable[[], bytes]
    """16 random bytes."""
    seals: Seals | None = None
    """Seals what comes open."""
    key_is_lost: bool = False
    """The master key is: what is sealed is left behind, and the log begins a new chain."""


def fill(execute: sql.Execute, frames: Iterable[Rows], fate: Fate) -> tuple[str, tuple[str, ...]]:
    """
    Put what was carried into a database of which nothing but `OWN_META` is left.

    Return the checksum of its accounts as they are now, and the ids of those that are held.
    """
    tables = {table.name: table for table in TABLES}
    rows_of: Mapping[str, Callable[[sql.Row, Fate], sql.Row | None]] = _FATES
    unheld, held = set(fate.since.held()), set[str]()
    for frame in frames:
        table = tables[frame.table]
        become = rows_of.get(table.name, _as_it_was)
        rows = [row for old in frame.rows if (row := become(tuple(old), fate)) is not None]
        if fate.seals is not None:
            rows = [fate.seals.seal(table.name, row) for row in rows]
        if table.name == "emergency":
            unheld -= {row[0] for row in rows}
            held |= {row[0] for row in rows if _emergency(row[3]).state in LOCKED}
        _insert(execute, table, rows)
    people = [id for id in sorted(unheld) if execute("SELECT 1 FROM subject WHERE id = ?", (id,)).fetchone()]
    _insert(execute, tables["emergency"], [_frozen(id, fate) for id in people])
    return checksum(execute), tuple(sorted({*held, *people}))


def empty(execute: sql.Execute) -> None:
    """Delete everything but what a database says of itself."""
    for text in (*sql.WIPES, "DELETE FROM signing_key"):
        execute(text, ())
    marks = ", ".join("?" * len(OWN_META))
    execute(f"DELETE FROM meta WHERE name NOT IN ({marks})", tuple(OWN_META))  # noqa: S608


def record(carried: Carried, held: tuple[str, ...], since: Since, actor: Mapping[str, str]) -> Record:
    """The audit row of a restore. `actor` has kind, id and name of who asked for it."""
    was = {
        "at": carried.bearing.at.isoformat(),
        "nothing lost since": "yes" if since.is_whole else "no",
        "frozen accounts": str(len(held)),
    }
    changes = [{"name": name, "old": None, "new": new} for name, new in was.items()]
    target = {"id": carried.bearing.id, "name": carried.bearing.name, "type": "Directory", "changes": changes}
    return Record(
        action=RESTORED,
        category="DirectoryManagement",
        detail={"operation": "Update", "actor": dict(actor), "targets": [target]},
    )


def check_seal(seal: str, sealer: Sealer, name: str) -> None:
    """
    See to it that what was carried is sealed under this master key.

    Raises: `CannotOpen`.
    """
    if not is_sealed_by(sealer, seal):
        raise CannotOpen(
            f"The tenant {name} was backed up under another master key than the one in this folder. Put the key file "
            "that belongs to it there first; if it is lost for good, say --master-key-lost."
        )


def is_sealed_by(sealer: Sealer, seal: str) -> bool:
    """Whether what was carried is sealed under this master key."""
    try:
        sealer.open("meta.value", "seal", bytes.fromhex(seal))
    except (SealBroken, ValueError):
        return False
    return True


def _insert(execute: sql.Execute, table: Table, rows: list[sql.Row]) -> None:
    columns = table.columns[int(table.numbered) :]
    if not rows:
        return
    marks = f"({', '.join('?' * len(columns))})"
    text = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([marks] * len(rows))}"  # noqa: S608
    execute(text, tuple(value for row in rows for value in row[int(table.numbered) :]))


def _json(value: Any) -> str:
    return sql.encode(value).decode()


def _as_it_was(row: sql.Row, _: Fate) -> sql.Row:
    return row


def _meta_row(row: sql.Row, fate: Fate) -> sql.Row | None:
    is_ours = row[0] in OWN_META or (row[0] == KEYS and fate.seals is not None)
    is_worthless = fate.key_is_lost and row[0] in (KEYS, ANCHOR)
    return None if is_ours or is_worthless else row


def _document_row(row: sql.Row, fate: Fate) -> sql.Row | None:
    kind, id, revision, body = row
    if kind in ("bootstrap_token", "approval"):  # It may have been used since.
        return None
    if kind == "client":
        body = _json(aftermath.client(_client(body), fate.since, fate.now))
    if kind == "stream" and fate.key_is_lost:
        body = _json(replace(_stream(body), authorization=b""))
    return kind, id, revision, body


def _signing_key_row(row: sql.Row, fate: Fate) -> sql.Row | None:
    if fate.key_is_lost:
        return None
    kid, algorithm, created_at, activates_at, retires_at, pem = row
    note = fate.since.what("key", kid)
    if note is not None and note.until is not None:
        end = sql.to_milliseconds(note.until)
        retires_at = end if retires_at is None else min(end, retires_at)
    return kid, algorithm, created_at, activates_at, retires_at, pem


def _subject_row(row: sql.Row, fate: Fate) -> sql.Row:
    subject = aftermath.subject(_subject(row[2]), fate.since, fate.now)
    return (*row[:2], _json(subject), *row[3:8], int(subject.status == "active"), *row[9:])


def _authenticator_row(row: sql.Row, fate: Fate) -> sql.Row:
    id, subject, revision, _, body = row
    held = aftermath.authenticator(_authenticator(body), fate.since, fate.now)
    return id, subject, revision, held.state, _json(held)


def _reserve_row(row: sql.Row, fate: Fate) -> sql.Row:
    subject, revision, body = row
    return subject, revision, _json(aftermath.reserve(_reserve(body), fate.since, fate.now))


def _emergency_row(row: sql.Row, fate: Fate) -> sql.Row:
    subject, revision, _, body = row
    kept = aftermath.emergency(_emergency(body), subject, guid(fate.draw()), fate.since, fate.now)
    return subject, revision, kept.case.id if kept.case else None, _json(kept)


def _frozen(subject: str, fate: Fate) -> sql.Row:
    kept = aftermath.frozen(subject, guid(fate.draw()), fate.since, fate.now)
    return subject, 1, kept.case.id if kept.case else None, _json(kept)


def _audit_row(row: sql.Row, fate: Fate) -> sql.Row:
    return (*row[:-1], None) if fate.key_is_lost else row


def _signal_row(row: sql.Row, _: Fate) -> sql.Row:
    id, jti, stream, subject, due_at, _leased, *rest = row
    return id, jti, stream, subject, due_at, 0, *rest


_FATES: Final[Mapping[str, Callable[[sql.Row, Fate], sql.Row | None]]] = {
    "meta": _meta_row,
    "document": _document_row,
    "signing_key": _signing_key_row,
    "subject": _subject_row,
    "authenticator": _authenticator_row,
    "reserve": _reserve_row,
    "emergency": _emergency_row,
    "audit": _audit_row,
    "signal": _signal_row,
}
