"""
A puzzle that costs an honest client a moment, and whoever guesses at thousands of names a long time.

The answer is any text that makes SHA-256 of `puzzle:answer` begin with as many zero bits as the puzzle says. Nothing of
it is stored: a puzzle carries its own end and a keyed digest, which binds it to what it was given out for.
Pure; who has to do it is not decided here. Source: THR-08; Back, "Hashcash", 2002.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from hmac import compare_digest

from genkan.risk.rate import milliseconds

LIFETIME = timedelta(minutes=2)
LONGEST = 256
"""Characters of an answered puzzle."""


def puzzle(about: str, bits: int, nonce: bytes, now: datetime, key: bytes) -> str:
    """A puzzle as a client gets it: `bits.end.nonce.digest`, of digits, letters and dots."""
    content = f"{bits}.{milliseconds(now + LIFETIME)}.{nonce.hex()}"
    return f"{content}.{_mac(content, about, key)}"


def answered(text: str, about: str, now: datetime, key: bytes) -> str | None:
    """The puzzle, if this is one of ours for this purpose, not too old, with a right answer behind the colon."""
    given, _, answer = text.partition(":")
    content, _, mac = given.rpartition(".")
    if not answer or len(text) > LONGEST or not text.isascii():
        return None
    if not compare_digest(mac, _mac(content, about, key)):
        return None
    bits, end, _ = content.split(".")  # It is ours, so it is well formed.
    if milliseconds(now) >= int(end) or not is_right(text, int(bits)):
        return None
    return given


def is_right(text: str, bits: int) -> bool:
    """Its digest begins with so many zero bits."""
    return int.from_bytes(sha256(text.encode()).digest()) >> (256 - bits) == 0


def _mac(content: str, about: str, key: bytes) -> str:
    message = f"{content}\n{about}".encode("utf-8", "surrogatepass")
    return blake2b(message, key=key, digest_size=16, person=b"puzzle").hexdigest()
