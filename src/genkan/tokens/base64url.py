"""
Write and read base64url without padding, the alphabet of everything a token is made of.

Reading is strict: one text for one value, so that two different texts are never the same token.
Source: RFC 7515 section 2 and appendix C; RFC 4648 sections 3.5 (bits left over must be zero) and 5.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def encode(raw: bytes) -> str:
    """Return the text of these bytes."""
    return b2a_base64(raw, newline=False).translate(_TO_URL, b"=").decode("ascii")


def decode(text: str) -> bytes | None:
    """Return the bytes of this text; None unless it is exactly what `encode` writes for them."""
    try:
        raw = a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except (Error, UnicodeEncodeError):
        return None
    # The library reads many spellings of the same bytes, and passes over what is no letter of its alphabet.
    return raw if encode(raw) == text else None
