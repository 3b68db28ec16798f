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


def read(environment: Mapping[str, str], given: Mapping[str, object]) -> Settings:
    """
    Settings from the command line, then the environment, then the defaults.

    Raises: `BadSettings`.
    """
    names = {f"GENKAN_{name.upper()}": name for name in Settings.__struct_fields__}
    values: dict[str, object] = {names[key]: value for key, value in environment.items() if key in names}
    values |= {name: value for name, value in given.items() if value is not None}
    for name in ("data",):
        if name in values:
            values[name] = str(values[name])
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise BadSettings(f"A setting cannot be used: {error}") from None


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
