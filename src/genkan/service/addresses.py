"""
What is known of a client's address: who it is behind our own proxies, where it is, and which lists name it.

Everything is in files that an operator provides and may replace while the server runs. A lookup never waits: a file
that has changed is read in a thread, and until it has been read the old one is right.
Knows nothing of requests or of risk's levels. Source: THR-07; conditional-access 3, 4.5.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

from genkan.model import Place
from genkan.telemetry import log

T = TypeVar("T")

CHECKED_EVERY: Final = 5.0
"""Seconds between two looks at whether a file has changed."""


class CannotRead(Exception):
    """A file cannot be used. The message names it, says why, and what to do."""


class Networks:
    """A set of networks; whether it holds an address is one look for each length of prefix that occurs in it."""

    def __init__(self, lines: Iterable[str]) -> None:
        """
        Read one network or address a line; what follows `#` is a comment.

        Raises: `ValueError`, which names the line.
        """
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                network = ip_network(text, strict=False)
            except ValueError:
                raise ValueError(f"line {number} is no network: {text[:50]}") from None
            if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped):
                network = ip_network((mapped, max(network.prefixlen - 96, 0)), strict=False)
            shift = network.max_prefixlen - network.prefixlen
            self._by_length.setdefault((network.version, shift), set()).add(
                int(network.network_address) >> shift
            )

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        number, version = int(address), address.version
        return any(
            length[0] == version and number >> length[1] in networks
            for length, networks in self._by_length.items()
        )

    def __bool__(self) -> bool:
        return bool(self._by_length)


class Watched(Generic[T]):
    """What a file says, read anew when the file has changed."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        """Raises: `CannotRead`."""
        self._path = path
        self._read = read
        self._stamp = _stamp(path)
        self._value = read(path)
        self._checked_at = time.monotonic()
        self._reading = threading.Lock()

    @property
    def value(self) -> T:
        """What it says, as far as it has been read."""
        if time.monotonic() - self._checked_at > CHECKED_EVERY:
            self._checked_at = time.monotonic()
            if _stamp(self._path) != self._stamp:
                threading.Thread(target=self.refresh, name="reading", daemon=True).start()
        return self._value

    def refresh(self) -> None:
        """Read it now if it has changed. What cannot be read leaves everything as it is, and is told in the log."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            stamp = _stamp(self._path)
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                self._value = self._read(self._path)
                log.info("file.read", extra={"file": self._path.name})
        except CannotRead as fault:
            log.warning("file.unreadable", extra={"file": self._path.name, "reason": str(fault)})
        finally:
            self._reading.release()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


Locate: TypeAlias = Callable[[str], Place]


class Addresses:
    """All of it together, as a deployment has configured it."""

    def __init__(
        self,
        *,
        proxies: Sequence[str] = (),
        geo: Path | None = None,
        lists: dict[str, Path] | None = None,
    ) -> None:
        """
        Read the files. `lists` are by the word of `risk.score` that they stand for.

        Raises: `CannotRead`; `ValueError` for proxies that are no networks.
        """
        self._proxies = Networks(proxies)
        self._geo = None if geo is None else Watched(geo, _open_geo)
        self._lists = {word: Watched(path, _read_list) for word, path in (lists or {}).items()}

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """
        Whose request it is: the peer's, or whom our own proxies say they speak for.

        `forwarded` are the values of `X-Forwarded-For` in order. Each proxy appends whom it heard from, so they are
        read from the end, and only as far as what we trust has written. Whatever else a client sends moves nothing.
        """
        if not self._proxies or not _is_in(peer, self._proxies):
            return peer
        address = peer
        for entry in reversed([part.strip() for value in forwarded for part in value.split(",")]):
            named = _bare(entry)
            if named is None:
                break
            address = named
            if not _is_in(address, self._proxies):
                break
        return address

    def locate(self, address: str) -> Place:
        """Where an address seems to be; nowhere, if nobody knows."""
        return NOWHERE if self._geo is None or not address else self._geo.value(address)

    def listed(self, address: str) -> tuple[str, ...]:
        """The words of the lists that name it."""
        if not self._lists or (number := _address(address)) is None:
            return ()
        return tuple(word for word, watched in self._lists.items() if number in watched.value)

    def refresh(self) -> None:
        """Read now whatever has changed."""
        for watched in (self._geo, *self._lists.values()):
            if watched is not None:
                watched.refresh()


NOWHERE = Place()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address; IPv4 in IPv6 clothes is unwrapped (conditional-access 3)."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=1024)
def _bare(entry: str) -> str | None:
    """The address in an entry of `X-Forwarded-For`, some of which carry a port; None for anything else."""
    text = entry
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = _address(text)
    return None if address is None or "%" in text else str(address)


def _is_in(text: str, networks: Networks) -> bool:
    address = _address(text)
    return address is not None and address in networks


def _read_list(path: Path) -> Networks:
    try:
        return Networks(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise CannotRead(f"The list of networks {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise CannotRead(
            f"The list of networks {path} cannot be used: {error}. It holds one network a line, as 192.0.2.0/24."
        ) from None


def _open_geo(path: Path) -> Locate:
    """
    Where addresses are, by a database in MaxMind's format, of countries or of cities.

    Raises: `CannotRead`.
    """
    try:
        import maxminddb
    except ImportError:
        raise CannotRead(
            f"To read {path} the package maxminddb is needed: install genkan with its extra `geo`."
        ) from None
    try:
        reader = maxminddb.open_database(path)
    except OSError as error:
        raise CannotRead(f"The database of places {path} cannot be read: {error.strerror}.") from None
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise CannotRead(f"The database of places {path} is none in MaxMind's format (.mmdb).") from None
    only_v4 = reader.metadata().ip_version == 4

    @lru_cache(maxsize=8192)
    def locate(text: str) -> Place:
        address = _address(text)
        if address is None or (only_v4 and address.version == 6):
            return NOWHERE
        try:
            return _place(reader.get(address))
        except (maxminddb.InvalidDatabaseError, ValueError):
            return NOWHERE

    return locate


def _place(record: Any) -> Place:
    """A record of GeoLite2, GeoIP2 or what is made like them."""
    country = _member(record, "country") or _member(record, "registered_country")
    code, location = _member(country, "iso_code"), _member(record, "location")
    latitude, longitude = _member(location, "latitude"), _member(location, "longitude")
    has_both = isinstance(latitude, int | float) and isinstance(longitude, int | float)
    return Place(
        country=code.upper() if isinstance(code, str) and len(code) == 2 else None,
        latitude=float(latitude) if has_both else None,
        longitude=float(longitude) if has_both else None,
    )


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
