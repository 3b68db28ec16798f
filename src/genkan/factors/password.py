"""
Judge new passwords, hash them, and compare a password with its hash.

Knows nothing of accounts, tries or limits. Hashing and judging take tens of milliseconds and are called in worker
threads: nothing here keeps state but two caches, which are only ever filled with what is always the same.
Source: SP 800-63B-4 3.1.1.2; RFC 9106 (Argon2id); PWD-01 to PWD-05, PWD-09; native-auth-v1 10.4.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from functools import cache
from hmac import compare_digest
from unicodedata import normalize

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from genkan.factors import foreign
from genkan.model import Reason, Secret

LONGEST = 256
"""Code points of a new password (PWD-01, AVL-04)."""

_MEMORY_KIB = 19_456  # 19 MiB; this and the next two: PWD-05
_PASSES = 2
_LANES = 1
_TAG_BYTES = 32
_SALT_BYTES = 16  # RFC 9106 3.1

# One code point composes from at most four, so nothing longer can be the same as a lawful password. The bound is also
# what keeps normalising cheap: its time grows with the square of a run of combining marks.
_LONGEST_TYPED = 4 * LONGEST

_forbidden = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search

# The most that a stored string may ask for: what it asks for, this process does.
_GREATEST_MEMORY_KIB = 262_144
_GREATEST_PASSES = 16
_GREATEST_LANES = 8
_phc = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9][0-9]?)"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
).fullmatch


def judge(text: str, *, words: Iterable[str], min_length: int, min_strength: int) -> Reason | None:
    """
    Say what is wrong with a new password; None if nothing is.

    Shapes:   `words` are the person's own names and address and the tenant's words, compared as wholes and not told
              to the estimate, so that each refusal has one cause. `min_strength` is 0 to 4. Length counts the
              composed form, which is what is hashed.
    Refuses:  `password_invalid`, `password_too_long`, `password_too_short`, `password_too_weak`, `password_banned`,
              in this order.
    """
    if _forbidden(text):
        return Reason.PASSWORD_INVALID
    if len(text) > LONGEST:
        return Reason.PASSWORD_TOO_LONG
    composed = normalize("NFKC", text)
    if len(composed) < min_length:
        return Reason.PASSWORD_TOO_SHORT
    if not _reaches(composed, min_strength):
        return Reason.PASSWORD_TOO_WEAK
    folded = _folded(composed)
    if folded in _banned() or any(len(word) <= _LONGEST_TYPED and _folded(word) == folded for word in words):
        return Reason.PASSWORD_BANNED
    return None


def hash_new(text: str, salt: bytes) -> Secret:
    """
    Turn a judged password into the Argon2id string to store.

    Shapes:   `salt` is 16 random bytes or more.
    Raises:   ValueError for a shorter salt or a lone surrogate.
    """
    if len(salt) < _SALT_BYTES:
        raise ValueError(f"a salt has at least {_SALT_BYTES} bytes")
    return Secret(
        Argon2id(
            salt=salt, length=_TAG_BYTES, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB
        ).derive_phc_encoded(normalize("NFKC", text).encode())
    )


def verify(
    material: Secret | None, text: str, *, like: Secret | None = None, beside: Iterable[str] = ()
) -> bool:
    """
    Say whether `text` is the password that was hashed, exactly: after composing both, or as typed if another system
    hashed it.

    None as material, or material that is no hash, costs one full hash and is wrong (PWD-09); with `like`, as much as
    that one.

    Shapes:   `beside` are dummies of `foreign`. One of each kind is compared, and one of ours, the real one in its
              place: so everybody's password costs the same where some are still another system's hashes.
    """
    real = material or like
    kinds = {"": _DUMMY_TEXT} | {kind: Secret(kind) for kind in beside}
    kind = "" if real is None else foreign.dummy(real)
    work = kinds | {kind: real or _DUMMY_TEXT} if len(kinds) > 1 else {kind: real or _DUMMY_TEXT}
    right = {name: _verify(hashed, text) for name, hashed in work.items()}
    return right[kind] and material is not None


def _verify(material: Secret, text: str) -> bool:
    if len(text) > _LONGEST_TYPED:
        material, text = Secret(foreign.dummy(material)), ""
    if foreign.dummy(material):
        return foreign.verify(material, text)
    stored = _stored(material)
    try:
        given = normalize("NFKC", text).encode()
    except UnicodeEncodeError:  # a lone surrogate: no password has one
        stored, given = None, b""
    hashing = stored or _DUMMY
    tag = Argon2id(
        salt=hashing.salt,
        length=len(hashing.tag),
        iterations=hashing.passes,
        lanes=hashing.lanes,
        memory_cost=hashing.memory_kib,
    ).derive(given)
    return compare_digest(tag, hashing.tag) & (stored is not None)


def needs_rehash(material: Secret) -> bool:
    """Say whether the stored string is weaker than what `hash_new` makes today, or another system's."""
    stored = _stored(material)
    return (
        stored is None
        or stored.memory_kib < _MEMORY_KIB
        or stored.passes < _PASSES
        or len(stored.salt) < _SALT_BYTES
        or len(stored.tag) < _TAG_BYTES
    )


class _Hash(Struct, frozen=True, kw_only=True):
    """A stored string, taken apart."""

    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    tag: bytes


_DUMMY = _Hash(
    memory_kib=_MEMORY_KIB,
    passes=_PASSES,
    lanes=_LANES,
    salt=bytes(_SALT_BYTES),
    tag=bytes(_TAG_BYTES),
)


_DUMMY_TEXT = Secret("")
"""No hash, so that `_DUMMY` is compared."""


def _stored(material: Secret) -> _Hash | None:
    """Take a PHC string apart; None if it is none, or asks for more than this process will do."""
    found = _phc(material.text)
    if found is None:
        return None
    memory_kib, passes, lanes = (int(part) for part in found.groups()[:3])
    if memory_kib > _GREATEST_MEMORY_KIB or passes > _GREATEST_PASSES or lanes > _GREATEST_LANES:
        return None
    if memory_kib < 8 * lanes:  # RFC 9106 3.1
        return None
    salt, tag = (_decoded(part) for part in found.groups()[3:])
    if salt is None or tag is None:
        return None
    return _Hash(memory_kib=memory_kib, passes=passes, lanes=lanes, salt=salt, tag=tag)


def _decoded(part: str) -> bytes | None:
    """Read base64 without padding, as the PHC format writes it."""
    if len(part) % 4 == 1:
        return None
    return b64decode(part + "=" * (-len(part) % 4))


def _folded(text: str) -> str:
    """Write a word as it is compared with the block list."""
    return normalize("NFKC", normalize("NFKC", text).casefold())


@cache
def _banned() -> frozenset[str]:
    """Read the block list: passwords found in breaches, folded, eight code points and more (see its LICENSE file)."""
    from importlib.resources import files

    return frozenset(
        files("genkan.factors").joinpath("banned_passwords.txt").read_text(encoding="utf-8").split("\n")
    ) - {""}


# The estimator holds the interpreter's lock, and its time doubles with every symbol that can stand for a letter: 256
# code points chosen for it stop every other request for a second. Hence stretches of 32, since a password is at least
# as strong as any part of it, and one symbol for each letter where there are many (for a letter, not for a guesser:
# the estimate only falls). Measured worst case: 3 ms a stretch.
_STRETCH = 32
_MANY_SYMBOLS = 7
_symbols = frozenset("@48({[<369!1|70$5+%2")
_one_for_each = str.maketrans("@{[<!|$+", "4(((1157")


def _reaches(text: str, min_strength: int) -> bool:
    """Say whether the estimate of strength, 0 to 4, is at least so much."""
    if min_strength <= 0:
        return True
    from zxcvbn_rs_py import zxcvbn

    for start in range(0, len(text), _STRETCH):
        stretch = text[start : start + _STRETCH]
        if len(_symbols.intersection(stretch)) > _MANY_SYMBOLS:
            stretch = stretch.translate(_one_for_each)
        if int(zxcvbn(stretch).score) >= min_strength:
            return True
    return False
