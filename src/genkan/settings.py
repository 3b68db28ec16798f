"""
Every setting of a deployment, documented in place and read from `GENKAN_…` variables.

What belongs to a tenant (lifetimes, tries, password rules) is not here but in `model.Tenant`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import msgspec
from msgspec import Struct


class BadSettings(Exception):
    """A setting cannot be used. The message names it and says what it may be."""


class Settings(Struct, frozen=True, kw_only=True):
    """One frozen value for the whole process."""

    host: str = "127.0.0.1"
    """Address to listen on. `genkan dev` refuses anything but loopback."""
    port: int = 8400
    """Port to listen on; 0 picks a free one."""
    data: Path = Path(".genkan")
    """Folder of the databases and the master key."""
    tls: bool = False
    """Serve https with a certificate from a local throw-away authority (`genkan dev` only)."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    hashing_workers: int = 0
    """Threads for password work; 0: one per processor."""
    trusted_proxies: str = ""
    """Networks of your own reverse proxies, with commas between. Only from them `X-Forwarded-For` is believed."""
    geo_database: Path | None = None
    """Where addresses are: a file in MaxMind's format, of countries or cities. Needs the extra `geo`."""
    anonymous_networks: Path | None = None
    """Networks that hide who uses them (proxies, Tor): a file, one network a line; read anew when it changes."""
    bad_networks: Path | None = None
    """Networks that attacks come from: the same."""
    leaked_passwords: Path | None = None
    """Passwords known from leaks: a file of SHA-1 hashes in order, as of Pwned Passwords."""
    leaked_passwords_api: str = ""
    """A service to be asked about the first five digits of a hash: `https://api.pwnedpasswords.com/range/`."""
    risk_url: str = ""
    """A service to be asked how risky a sign-in looks; see `docs/explanation/risk-and-limits.md`."""
    risk_token_file: Path | None = None
    """A file with the bearer token for that service."""
    risk_deadline: int = 300
    """Milliseconds to wait for its answer, 10 to 5000; after it the risk is unknown."""

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks of `trusted_proxies`."""
        return tuple(part.strip() for part in self.trusted_proxies.split(",") if part.strip())


OPTIONAL_FILES = (
    "geo_database",
    "anonymous_networks",
    "bad_networks",
    "leaked_passwords",
    "risk_token_file",
)
"""Empty is as good as not given."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


MAY_BE = {
    "host": "an address of this machine",
    "port": "a number from 0 to 65535",
    "data": "a folder",
    "tls": "true or false",
    "log_level": "debug, info, warning or error",
    "hashing_workers": "a number, 0 or more",
    "trusted_proxies": "networks with commas between, as 10.0.0.0/8, 2001:db8::/32",
    "geo_database": "a file",
    "anonymous_networks": "a file",
    "bad_networks": "a file",
    "leaked_passwords": "a file",
    "leaked_passwords_api": "an https address that ends with a slash",
    "risk_url": "an https address (http on this machine only)",
    "risk_token_file": "a file",
    "risk_deadline": "a number from 10 to 5000",
}
"""What a setting may be, for whoever gave something else."""


def read(environment: Mapping[str, str], given: Mapping[str, object]) -> Settings:
    """
    Settings from the command line, then the environment, then the defaults.

    Raises: `BadSettings`.
    """
    names = {f"GENKAN_{name.upper()}": name for name in Settings.__struct_fields__}
    values: dict[str, object] = {names[key]: value for key, value in environment.items() if key in names}
    values |= {name: value for name, value in given.items() if value is not None}
    for name in OPTIONAL_FILES:
        if values.get(name) == "":
            del values[name]
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = str(value)
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _bad(str(error).rpartition("$.")[2].rstrip("`")) from None
    for name, holds in (
        ("host", settings.host != ""),
        ("port", 0 <= settings.port <= 65535),
        ("data", values.get("data") != ""),
        ("log_level", settings.log_level in ("debug", "info", "warning", "error")),
        ("hashing_workers", settings.hashing_workers >= 0),
        ("trusted_proxies", _are_networks(settings.proxies)),
        ("leaked_passwords_api", _is_safe(settings.leaked_passwords_api, ends="/")),
        ("risk_url", _is_safe(settings.risk_url)),
        ("risk_deadline", 10 <= settings.risk_deadline <= 5000),
    ):
        if not holds:
            raise _bad(name)
    return settings


def _are_networks(texts: tuple[str, ...]) -> bool:
    try:
        for text in texts:
            ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_safe(url: str, ends: str = "") -> bool:
    """Over https, or to this machine."""
    return url == "" or (_SAFE_URL.fullmatch(url) is not None and url.endswith(ends))


_SAFE_URL = re.compile(r"https://[^\s@]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/\S*)?")


def _bad(name: str) -> BadSettings:
    return BadSettings(f"The setting GENKAN_{name.upper()} cannot be used: it may be {MAY_BE[name]}.")


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
