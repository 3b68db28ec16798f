"""
The journal: a file outside the database that tells what a restore must not undo.

Lines are added, and none is ever changed; they have ids and nothing of anybody. A line is on the disk before what it
tells is committed, so that what was committed is always told. Where a line cannot be written the work goes on, and the
next one that can be says that some are missing.
Source: security requirements BKP-02; emergency-protocol 13 (AS-41); docs/operations/backup.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from genkan.engine.aftermath import Noted, Since
from genkan.store.sealing import CannotOpen
from genkan.telemetry import log

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Noted).decode


class Journal:
    """The journal of one tenant. Other tenants and processes may write to the same file."""

    def __init__(self, path: Path, tenant: str) -> None:
        self._path = path
        self._tenant = tenant
        self._lacks = False

    def begin(self, now: datetime) -> None:
        """
        Say that from now on everything is told; the file is made when there is none, for its owner's eyes only.

        Raises: `CannotOpen`.
        """
        try:
            self._write([Noted(at=now, tenant=self._tenant, what="begun", about="")])
        except OSError as error:
            raise CannotOpen(
                f"The journal {self._path} cannot be written: {error.strerror}. Name a file with GENKAN_JOURNAL that "
                "can be, on another disk than the database."
            ) from None

    def note(self, notes: Sequence[Noted]) -> None:
        """Add these, and wait until they are on the disk."""
        if not notes:
            return
        if self._lacks:
            notes = [Noted(at=notes[0].at, tenant=self._tenant, what="missing", about=""), *notes]
        try:
            self._write(notes)
        except OSError:
            self._lacks = True
            log.exception("journal.unwritable")
        else:
            self._lacks = False

    def _write(self, notes: Sequence[Noted]) -> None:
        """Raises: `OSError`."""
        text = b"".join(_encode(note) + b"\n" for note in notes)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(file, text) != len(text):
                raise OSError(errno.ENOSPC, "only a part of it was written")
            os.fsync(file)
        finally:
            os.close(file)


def told(paths: Sequence[Path], tenant: str, at: datetime) -> Since:
    """
    What the journals of a deployment tell of a tenant since a backup was made.

    It is whole where every journal had begun by then and lacks nothing.
    Raises: `CannotOpen`.
    """
    notes: list[Noted] = []
    is_whole = bool(paths)
    for path in paths:
        mine, lacks = _read(path)
        of_tenant = [note for note in mine if note.tenant == tenant]
        had_begun = any(note.what == "begun" and note.at <= at for note in of_tenant)
        since = [note for note in of_tenant if note.at >= at]
        is_whole &= had_begun and not lacks and all(note.what != "missing" for note in since)
        notes += since
    return Since.of(notes, is_whole=is_whole)


def _read(path: Path) -> tuple[list[Noted], bool]:
    """The lines of a journal, and whether some cannot be read. Of the last only half may be there."""
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CannotOpen(f"The journal {path} cannot be read: {error.strerror}. Name another.") from None
    notes: list[Noted] = []
    lacks = False
    for line in lines:
        try:
            notes.append(_decode(line))
        except msgspec.DecodeError:
            lacks = True
    return notes, lacks
