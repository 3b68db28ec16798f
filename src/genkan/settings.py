"""
Every setting of a deployment, documented in place and read from `GENKAN_…` variables.

What belongs to a tenant (lifetimes, tries, password rules) is not here but in `model.Tenant`.
"""

from __future__ import annotations

from collections.abc import Mapping
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


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


MAY_BE = {
    "host": "an address of this machine",
    "port": "a number from 0 to 65535",
    "data": "a folder",
    "tls": "true or false",
    "log_level": "debug, info, warning or error",
    "hashing_workers": "a number, 0 or more",
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
    ):
        if not holds:
            raise _bad(name)
    return settings


def _bad(name: str) -> BadSettings:
    return BadSettings(f"The setting GENKAN_{name.upper()} cannot be used: it may be {MAY_BE[name]}.")


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
