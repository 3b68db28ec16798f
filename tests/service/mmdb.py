"""
Write a small database in MaxMind's format, so that the real reader reads a real file.

Source: the MaxMind DB file format specification, version 2.0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

RECORD_BITS = 24
SEPARATOR = bytes(16)
MARKER = b"\xab\xcd\xefMaxMind.com"


class Long(int):
    """Of 32 bits."""


class Wide(int):
    """Of 64 bits."""


def write(path: Path, places: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write networks and their records; addresses of version 4 lie where the reader looks for them, in ::/96."""
    data, offsets = b"", {}
    for network, record in places.items():
        offsets[network] = len(data)
        data += _encoded(record)
    nodes: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], int] = {}
    for network, offset in offsets.items():
        bits = _bits(network)
        at = 0
        for bit in bits[:-1]:
            following = nodes[at][bit]
            if following is None:
                nodes.append([None, None])
                following = nodes[at][bit] = len(nodes) - 1
            at = following
        leaves[at, bits[-1]] = offset
    count = len(nodes)
    tree = b""
    for number, node in enumerate(nodes):
        for side in (0, 1):
            value = node[side]
            if (number, side) in leaves:
                value = count + len(SEPARATOR) + leaves[number, side]
            tree += (count if value is None else value).to_bytes(RECORD_BITS // 8)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": Wide(1_900_000_000),
        "database_type": "Test-City",
        "description": {"en": "A test"},
        "ip_version": 6,
        "languages": ["en"],
        "node_count": Long(count),
        "record_size": RECORD_BITS,
    }
    new = path.with_suffix(".new")
    new.write_bytes(tree + SEPARATOR + data + MARKER + _encoded(metadata))
    new.replace(path)
    return path


def city(country: str, latitude: float, longitude: float) -> dict[str, Any]:
    """A record as GeoLite2-City has it."""
    return {
        "country": {"iso_code": country},
        "location": {"latitude": latitude, "longitude": longitude},
    }


def _bits(network: str) -> list[int]:
    found = ip_network(network)
    length = found.prefixlen + (96 if found.version == 4 else 0)
    number = int(found.network_address)
    return [number >> (127 - position) & 1 for position in range(length)]


def _encoded(value: Any) -> bytes:
    match value:
        case str():
            text = value.encode()
            return _control(2, len(text)) + text
        case float():
            return _control(3, 8) + struct.pack(">d", value)
        case int():
            kind = 9 if isinstance(value, Wide) else 6 if isinstance(value, Long) else 5
            raw = value.to_bytes((value.bit_length() + 7) // 8)
            return _control(kind, len(raw)) + raw
        case list():
            return _control(11, len(value)) + b"".join(map(_encoded, value))
        case _:
            pairs = (_encoded(name) + _encoded(member) for name, member in value.items())
            return _control(7, len(value)) + b"".join(pairs)


def _control(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size]) if kind <= 7 else bytes([size, kind - 7])
