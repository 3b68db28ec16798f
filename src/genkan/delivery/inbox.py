"""
The development inbox: e-mails and text messages are kept to be read, instead of being sent.

Knows nothing of the tenant's database: it has its own small SQLite file, and a message is in that file before it
counts as handed over, so a killed process has lost none. One process owns the file.
Writing is done in a thread of its own; the event loop only reads. What is kept is what was to be said, in a few hundred
bytes; it is put into words again whenever somebody looks.
Source: the development-mode contract (dev inbox), which tests and CI jobs of other teams build on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from genkan.delivery.messages import Unrenderable, render
from genkan.engine.transaction import Lane, Outgoing, Settled
from genkan.model import Brand, Channel, Message
from genkan.telemetry import log

KEPT: Final = 10_000
"""The newest messages, which are kept; older ones go."""

_LAYOUT: Final = 1
"""Of the file. A file of another layout is emptied: nothing in it is needed any more."""

_SCHEMA: Final = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so a reader's place stays good when all is cleared
    id TEXT NOT NULL UNIQUE,
    place TEXT NOT NULL,
    channel TEXT NOT NULL,
    words TEXT NOT NULL,  -- what it is searched by, in small letters
    body BLOB NOT NULL    -- the message
);
CREATE INDEX message_place ON message (place, seq);
"""

_INSERT: Final = """
INSERT INTO message (id, place, channel, words, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""

_SELECT: Final = "SELECT seq, id, body FROM message"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Message).decode

_Result = TypeVar("_Result")


class InboxMessage(Struct, frozen=True, kw_only=True):
    """A message as it arrived. Encoded as JSON it is what the development-mode contract shows."""

    id: str
    """Opaque. Names the delivery, so the same delivery repeated is the same message."""
    channel: Channel
    to: str
    purpose: str
    code: str | None
    subject: str | None
    text: str
    html: str | None
    created_at: datetime


class _Listener:
    """Somebody waiting for news, perhaps only of one address or channel."""

    __slots__ = ("channel", "news", "place")

    def __init__(self, place: str | None, channel: Channel | None) -> None:
        self.place = place
        self.channel = channel
        self.news = asyncio.Event()

    def hear(self, arrived: Sequence[tuple[str, Channel]]) -> None:
        """Wake up if one of what arrived is of interest."""
        for place, channel in arrived:
            if self.place in (None, place) and self.channel in (None, channel):
                self.news.set()
                return


class Inbox:
    """Keeps messages for whoever asks. A `Sender` (`service/ports.py`)."""

    def __init__(self, path: Path, brand: Callable[[], Brand] = Brand, page: str = "") -> None:
        """
        Open the file, or make it readable by its owner alone.

        `brand` is how messages look and speak, `page` the tenant's page for lost devices.
        """
        self._brand = brand
        self._page = page
        path.touch(mode=0o600, exist_ok=True)
        self._writing = _open(path)
        self._reading = _open(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="genkan-inbox")
        self._listeners: set[_Listener] = set()
        self._closed = False

    lanes: Final = (Lane(),)

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        """
        Keep all. One that was kept before is not kept twice, so a doubtful one is sent as any other.

        A message that cannot be rendered holds up no other; with a broken file none is handed over. Both are logged
        without a word of what is in them.
        """
        kept, arrived = await self._in_thread(self._keep, outgoing)
        for listener in self._listeners:
            listener.hear(arrived)
        safe = frozenset(kept)
        return [Settled(id=one.id, how="sent" if one.id in safe else "again") for one in outgoing]

    def messages(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        query: str | None = None,
        limit: int | None = None,
    ) -> list[InboxMessage]:
        """
        What has arrived, newest first.

        `to` finds an address however it is capitalised and a number however it is grouped. `after` is the id of a
        message; an id that is not (or no longer) here leaves out nothing, because whatever is here came later.
        `query` is looked for in the address, the code, the subject and the text.
        """
        where = ["seq > ?"]
        values: list[object] = [self._place_of(after)]
        if to is not None:
            where.append("place = ?")
            values.append(place(to))
        if channel is not None:
            where.append("channel = ?")
            values.append(channel.value)
        if query:
            where.append("instr(words, ?)")
            values.append(query.lower())
        statement = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
        rows = self._reading.execute(statement, (*values, KEPT if limit is None else limit))
        return [self._message(row) for row in rows]

    def find(self, id: str) -> InboxMessage | None:
        """One message."""
        row = self._reading.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
        return None if row is None else self._message(row)

    async def wait(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        within: timedelta,
    ) -> list[InboxMessage]:
        """What `messages` finds, as soon as it finds any; nothing once the time is up or the inbox closes."""
        with self._listen(None if to is None else place(to), channel) as listener, suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while not self._closed:
                    listener.news.clear()
                    if found := self.messages(to=to, channel=channel, after=after):
                        return found
                    await listener.news.wait()
        return []

    def subscribe(self, *, after: str | None = None) -> AsyncGenerator[InboxMessage, None]:
        """
        Every message from this call on, oldest first, or every one that came after the message `after`.

        Ends when the inbox closes. A slow reader misses nothing and costs no memory: its place is kept, not its
        messages.
        """
        return self._follow(self._newest() if after is None else self._place_of(after))

    async def clear(self) -> None:
        """Forget every message."""
        await self._in_thread(self._writing.execute, "DELETE FROM message")

    def close(self) -> None:
        """Let everybody go who waits, and close the file."""
        if self._closed:
            return
        self._closed = True
        for listener in self._listeners:
            listener.news.set()
        self._thread.shutdown()
        self._writing.close()
        self._reading.close()

    async def _in_thread(self, act: Callable[..., _Result], *values: Any) -> _Result:
        """What `act` returns; acts follow one another."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, *values)

    def _keep(self, outgoing: Sequence[Outgoing]) -> tuple[list[int], list[tuple[str, Channel]]]:
        """Write messages; the ids that are safe, and where they went."""
        rows, kept, arrived = [], [], []
        for one in outgoing:
            message = one.message
            try:
                said = render(message, self._brand(), self._page, with_html=False)
            except Unrenderable as why:
                log.error("inbox.not_rendered", extra={"message_id": message.id, "why": str(why)})
                continue
            code = message.code.text if message.code else ""
            words = f"{message.to} {code} {said.subject or ''} {said.text}".lower()
            at = place(message.to)
            kept.append(one.id)
            arrived.append((at, message.channel))
            rows.append((f"{one.id}-{message.id}", at, message.channel.value, words, _encode(message)))
        try:
            with _transaction(self._writing) as connection:
                connection.executemany(_INSERT, rows)
                connection.execute(
                    "DELETE FROM message WHERE seq <= (SELECT max(seq) FROM message) - ?", (KEPT,)
                )
        except sqlite3.Error as fault:
            log.error("inbox.not_written", extra={"why": str(fault)})
            return [], []
        return kept, arrived

    async def _follow(self, seen: int) -> AsyncGenerator[InboxMessage, None]:
        """Every message beyond a place."""
        with self._listen(None, None) as listener:
            while not self._closed:
                listener.news.clear()
                rows = self._reading.execute(
                    f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT 100", (seen,)
                ).fetchall()
                for row in rows:
                    seen = row[0]
                    yield self._message(row)
                if not rows:
                    await listener.news.wait()

    def _message(self, row: tuple[int, str, bytes]) -> InboxMessage:
        """A row as the message it is."""
        _, id_, body = row
        message = _decode(body)
        said = render(message, self._brand(), self._page)
        return InboxMessage(
            id=id_,
            channel=message.channel,
            to=message.to,
            purpose=message.purpose,
            code=message.code.text if message.code else None,
            subject=said.subject,
            text=said.text,
            html=said.html,
            created_at=message.created_at,
        )

    def _newest(self) -> int:
        """The place of the newest message."""
        newest: int = self._reading.execute("SELECT ifnull(max(seq), 0) FROM message").fetchone()[0]
        return newest

    def _place_of(self, id: str | None) -> int:
        """The place of a message; before all others when it is not here."""
        row = self._reading.execute("SELECT seq FROM message WHERE id = ?", (id,)).fetchone()
        return 0 if row is None else row[0]

    @contextmanager
    def _listen(self, wanted: str | None, channel: Channel | None) -> Iterator[_Listener]:
        """Hear of what arrives, for as long as the block lasts."""
        listener = _Listener(wanted, channel)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


def place(to: str) -> str:
    """
    An address in the form it is compared in.

    A mailbox loses its capitals, and a blank in it is read as the `+` that it was before somebody forgot to encode a
    query string. A number is its digits.
    """
    if "@" in to:
        return to.strip().replace(" ", "+").casefold()
    return "".join(c for c in to if c.isdecimal()) or to.strip().casefold()


def _open(path: Path) -> sqlite3.Connection:
    """A connection to the file, its tables in place. A commit outlives the process (WAL), though not a power cut."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] != _LAYOUT:
        connection.executescript(
            f"BEGIN IMMEDIATE; DROP TABLE IF EXISTS message; {_SCHEMA} PRAGMA user_version = {_LAYOUT}; COMMIT;"
        )
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
