"""
Passwords that are known from leaks: a file on this machine, and a service that is asked about a prefix alone.

A hash never leaves this machine: the service hears five of its forty digits, and answers with all that begin so
(k-anonymity). What cannot be asked in time is not known to be leaked; the list that comes with Genkan holds all the
same.
Source: PWD-04, PWD-08, THR-06; SP 800-63B-4 3.1.1.2; the range API of Have I Been Pwned, version 3.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from hashlib import sha1
from pathlib import Path
from typing import Final
from unicodedata import normalize

from genkan.model import Secret
from genkan.service.addresses import CannotRead
from genkan.service.outside import Outside
from genkan.telemetry import log

PREFIX: Final = 5
LONGEST_ANSWER: Final = 256 * 1024
"""Some two thousand hashes of 35 digits, with their counts and the padding."""

KEPT: Final = 256
"""Answers kept in memory, each for an hour."""
KEPT_FOR: Final = 3600.0


class LeakedPasswords:
    """Both sources, or one."""

    def __init__(self, corpus: Path | None = None, api: str = "", timeout: float = 1.0) -> None:
        """
        `corpus` is a file of SHA-1 hashes in hexadecimal, one a line and in order; a count may follow after a colon.

        `api` is what the prefix is appended to. Raises: `CannotRead`.
        """
        self._corpus = corpus
        self._api = api
        self._timeout = timeout
        self._service = Outside(LONGEST_ANSWER) if api else None
        self._answers: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()
        if corpus is not None:
            _check(corpus)

    async def knows(self, password: Secret) -> bool:
        """Say whether it is known from a leak; it never raises."""
        text = normalize("NFKC", password.text).encode("utf-8", "surrogatepass")
        digest = sha1(text, usedforsecurity=False).hexdigest().upper()
        if self._corpus is not None and await asyncio.to_thread(_is_in, self._corpus, digest):
            return True
        if self._service is None:
            return False
        return digest[PREFIX:] in await self._range(self._service, digest[:PREFIX])

    async def close(self) -> None:
        if self._service is not None:
            await self._service.close()

    async def _range(self, service: Outside, prefix: str) -> frozenset[str]:
        """What the service knows that begins like this; nothing, if it does not say so in time."""
        known = self._answers.get(prefix)
        if known is not None and time.monotonic() - known[0] < KEPT_FOR:
            self._answers.move_to_end(prefix)
            return known[1]
        try:
            async with asyncio.timeout(self._timeout):
                suffixes = await self._fetch(service, prefix)
        except Exception as fault:  # noqa: BLE001 - whatever it was, sign-ins go on
            log.warning("leaks.unreachable", extra={"reason": type(fault).__name__})
            return frozenset()
        self._answers[prefix] = (time.monotonic(), suffixes)
        if len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return suffixes

    async def _fetch(self, service: Outside, prefix: str) -> frozenset[str]:
        # The padding keeps the length of the answer from telling the prefix; what it adds has the count 0.
        read = await service.ask("GET", f"{self._api}{prefix}", {"Add-Padding": "true"})
        lines = (line.strip().upper().partition(":") for line in read.decode("ascii").splitlines())
        return frozenset(suffix for suffix, _, count in lines if suffix and count != "0")


def _check(corpus: Path) -> None:
    """
    See to it that the file is what it should be, as far as its first and its last line tell.

    Raises: `CannotRead`.
    """
    try:
        with corpus.open("rb") as file:
            first = _hash_of(file.readline())
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 128, 0))
            last = _hash_of(file.read().rstrip().rpartition(b"\n")[2])
    except OSError as error:
        raise CannotRead(f"The file of leaked passwords {corpus} cannot be read: {error.strerror}.") from None
    if first is None or last is None or first > last:
        raise CannotRead(
            f"The file of leaked passwords {corpus} cannot be used: it holds SHA-1 hashes in hexadecimal, one a line, "
            "in order, as the downloader of Pwned Passwords writes them into a single file."
        )


def _hash_of(line: bytes) -> bytes | None:
    digest = line.strip().partition(b":")[0].upper()
    return digest if len(digest) == 40 and not digest.strip(b"0123456789ABCDEF") else None


def _is_in(corpus: Path, digest: str) -> bool:
    """Look for a hash by halving the file: some thirty reads, however large it is."""
    wanted = digest.encode()
    try:
        with corpus.open("rb") as file:
            low, high = 0, file.seek(0, os.SEEK_END)
            while low < high:
                middle = (low + high) // 2
                file.seek(middle)
                if middle > 0:
                    file.seek(middle - 1)
                    file.readline()  # to where a line begins
                begins = file.tell()
                line = file.readline()
                found = line.strip().partition(b":")[0].upper()
                if not line or begins >= high or found > wanted:
                    high = middle
                elif found < wanted:
                    low = file.tell()
                else:
                    return True
    except OSError as error:
        log.warning("leaks.unreadable", extra={"file": corpus.name, "reason": error.strerror})
    return False
