"""
Make and compare codes that a person keeps on paper: recovery codes, and the code that can only freeze an account.

A code is shown once and kept as a keyed digest, so that neither a copy of the database nor the key alone yields one.
Knows nothing of limits: the caller spends from one before it compares. Reads no clock and draws no randomness.
Source: SP 800-63B-4 3.1.2, 4.2.1.1; emergency-protocol 6.1; ENR-13, THR-01.
"""

from __future__ import annotations

import hmac
import unicodedata
from datetime import datetime
from typing import Final, Literal

from msgspec.structs import replace

from genkan.model import Paper, PaperCode, Secret

Use = Literal["recovery", "freeze"]
"""What codes are for. One for the one use is never right for the other."""

ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""32 characters, none of which is read for another: five bits each."""

LENGTHS: Final[dict[Use, int]] = {"recovery": 16, "freeze": 8}
"""Characters: 80 bits and 40 bits (6.1)."""

RECOVERY_CODES: Final = 10
"""How many are on one paper; of several shown in one emergency one counts (emergency-protocol 6.1)."""

LONGEST_TYPED: Final = 64
"""Characters; what is longer is no code and is not looked at."""

_GROUP = 4
_BETWEEN = str.maketrans("", "", " \t\r\n-\u2010\u2011\u2012\u2013\u2014\u2212")
_NO_CODE = PaperCode(id="", digest=bytes(32), spent_at=None)


def entropy_wanted(use: Use) -> int:
    """How many random bytes one code takes."""
    return LENGTHS[use] * 5 // 8


def written(use: Use, raw: bytes) -> Secret:
    """
    Write random bytes as a code, as it is shown: `ABCD-EFGH-JKLM-NPQR`.

    Shapes: `raw` is `entropy_wanted(use)` bytes, all of which end up in it. Raises: `ValueError` for any other size.
    """
    if len(raw) != entropy_wanted(use):
        raise ValueError(f"a {use} code is made of {entropy_wanted(use)} bytes")
    number, length = int.from_bytes(raw), LENGTHS[use]
    text = "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))
    return Secret("-".join(text[i : i + _GROUP] for i in range(0, length, _GROUP)))


def digest(key: bytes, subject: str, use: Use, code: str) -> bytes:
    """What is kept of a code: an HMAC under the tenant's key, of no use at another account or for another use."""
    content = "\n".join((use, subject, _normalised(code)))
    return hmac.digest(key, content.encode("utf-8", "surrogatepass"), "sha256")


def verify(
    paper: Paper | None,
    text: str,
    key: bytes,
    subject: str,
    use: Use,
    again: frozenset[str] = frozenset(),
) -> PaperCode | None:
    """
    Return the code that was typed, if it is on the paper and unspent, or one of `again`; else None, whatever the cause.

    Blanks, hyphens, letter case and full-width letters make no difference. Whoever has no paper costs the work of ten
    codes too, so that time does not tell who has one.
    """
    on_it = paper.codes if paper is not None else ()
    typed = digest(key, subject, use, text)
    found = None
    for code in (*on_it, *[_NO_CODE] * (RECOVERY_CODES - len(on_it))):
        if hmac.compare_digest(code.digest, typed) and (code.spent_at is None or code.id in again):
            found = code
    return found if _normalised(text) else None


def spent(paper: Paper, ids: frozenset[str], now: datetime) -> Paper:
    """The paper with these codes used up; one that was before stays as it was."""
    codes = (replace(c, spent_at=now) if c.id in ids and c.spent_at is None else c for c in paper.codes)
    return replace(paper, codes=tuple(codes))


def _normalised(code: str) -> str:
    if len(code) > LONGEST_TYPED:
        return ""
    return unicodedata.normalize("NFKC", code).translate(_BETWEEN).upper()
