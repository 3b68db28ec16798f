"""
Password hashes that another system made: read, kept as they are, and compared until their owner signs in.

Knows nothing of accounts or files. A hash is kept under its own rules (the text as typed, no composing), and only for
as long as it takes: `password.needs_rehash` is true of every one of them. What may be asked of this process is bounded
when a hash is read, and again when it is compared.
Source: the PHC string format; RFC 7914 (scrypt), RFC 8018 (PBKDF2), RFC 9106 (Argon2), OpenBSD's bcrypt; RFC 2307 as
directories extend it (salted SHA); Firebase's documentation of its scrypt; AVL-04, PWD-05, PWD-09.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from hmac import compare_digest
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from genkan.model import Secret

PREFIX = "foreign:"
"""How what is stored of them begins."""

Digest = Literal["sha1", "sha256", "sha384", "sha512"]

# The most that a hash may ask for. None of it takes much more than a second of one processor.
_GREATEST_MEMORY_KIB = 262_144
_GREATEST_ARGON2_WORK = 4 * 262_144  # memory times passes
_GREATEST_LANES = 16
_GREATEST_BCRYPT_COST = 14
_GREATEST_PBKDF2_ROUNDS = 2_000_000

_Salt = Annotated[bytes, Meta(max_length=1024)]
_Tag = Annotated[bytes, Meta(min_length=16, max_length=512)]
_Count = Annotated[int, Meta(ge=1, le=2**31)]


class Bcrypt(Struct, frozen=True, tag="bcrypt"):
    """`text` is the usual string of 60 characters."""

    text: Annotated[str, Meta(pattern=r"\A\$2[aby]\$[0-3][0-9]\$[./A-Za-z0-9]{53}\Z")]


class Argon2(Struct, frozen=True, tag="argon2", kw_only=True):
    """Version 1.3 of any of the three."""

    variant: Literal["argon2id", "argon2i", "argon2d"]
    memory_kib: _Count
    passes: _Count
    lanes: _Count
    salt: Annotated[bytes, Meta(min_length=8, max_length=1024)]
    tag: _Tag


class Scrypt(Struct, frozen=True, tag="scrypt", kw_only=True):
    """N is 2 to the power of `log_n`."""

    log_n: Annotated[int, Meta(ge=1, le=24)]
    r: _Count
    p: _Count
    salt: _Salt
    tag: _Tag
    is_stream: bool = False
    """`tag` is not the derived key but the stream of AES-256-CTR under its first half, as Firebase uses it."""


class Pbkdf2(Struct, frozen=True, tag="pbkdf2", kw_only=True):
    """With HMAC of this digest."""

    digest: Digest
    rounds: _Count
    salt: _Salt
    tag: _Tag


class Salted(Struct, frozen=True, tag="salted", kw_only=True):
    """A digest of password and salt, in this order, once: what directories call SSHA."""

    digest: Digest
    salt: Annotated[bytes, Meta(min_length=4, max_length=1024)]
    tag: _Tag


Hash: TypeAlias = Bcrypt | Argon2 | Scrypt | Pbkdf2 | Salted

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Hash).decode

# Reading. ------------------------------------------------------------------------------------------------------------


def read(text: str) -> Secret | str:
    """
    Take a hash from the way it is usually written; return what to store of it, or in a few words why it is no use.

    Shapes:   bcrypt, PHC strings of Argon2, scrypt and PBKDF2, what passlib and Django make of the latter, and
              `{SSHA}`, `{SSHA256}` and `{SSHA512}`.
    """
    text = text.strip()
    if (found := _scheme(text)) is not None and found[1] in ("CRYPT", "ARGON2", "BCRYPT"):
        text = text[found.end() :]
    for pattern, make in _WRITTEN:
        if (found := pattern(text)) is not None:
            try:
                return keep(make(*found.groups()))
            except (ValueError, NotBase64):
                return "the password hash is damaged"
    return f"password hashes of this kind cannot be kept ({_kind(text)})"


def keep(made: Hash) -> Secret | str:
    """Return what to store of a hash, or in a few words why it is no use."""
    text = _encode(made)
    try:
        _decode(text)
    except msgspec.ValidationError:
        return "the password hash is damaged"
    if not _is_bearable(made):
        return "the password hash costs more to compare than one sign-in may"
    return Secret(PREFIX + text.decode())


def firebase(
    *, log_n: int, r: int, salt: bytes, separator: bytes, signer_key: bytes, tag: bytes
) -> Secret | str:
    """
    Take a hash of Firebase's own scrypt; return as `keep`.

    It is the project's signer key, encrypted under a key derived from the password. Taking the known key off leaves
    the cipher's stream, which proves the password as well. So the signer key is not kept.
    """
    if not tag or len(tag) != len(signer_key):
        return "the password hash is not of this signer key"
    stream = bytes(a ^ b for a, b in zip(tag, signer_key, strict=True))
    return keep(Scrypt(log_n=log_n, r=r, p=1, salt=salt + separator, tag=stream, is_stream=True))


def unpadded(text: str) -> bytes:
    """
    Read base64 of either alphabet, padded or not.

    Raises: ValueError (`binascii.Error` is one).
    """
    text = text.strip().rstrip("=").replace("-", "+").replace("_", "/").replace(".", "+")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def _kind(text: str) -> str:
    """Name the kind of a hash by how it begins, and nothing of the hash itself."""
    found = _marked(text)
    return found[0] if found is not None else f"{len(text)} characters without a mark of their kind"


_scheme = re.compile(r"\{([A-Za-z0-9-]{2,16})\}").match
_marked = re.compile(r"\{[A-Za-z0-9-]{2,16}\}|\$?[A-Za-z0-9_-]{1,16}\$").match

_B64 = r"([A-Za-z0-9+/=._-]+)"
_NUMBER = r"([0-9]{1,9})"
_SHA = r"(sha[0-9]{1,3})"
_WRITTEN: tuple[tuple[Callable[[str], re.Match[str] | None], Callable[..., Hash]], ...] = (
    (
        re.compile(r"(\$2[aby]\$[0-9]{2}\$)(.*)").fullmatch,
        lambda start, rest: Bcrypt(start + _canonical(rest)),
    ),
    (
        re.compile(
            rf"\$(argon2id|argon2i|argon2d)\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}\${_B64}\${_B64}"
        ).fullmatch,
        lambda variant, m, t, p, salt, tag: Argon2(
            variant=variant,
            memory_kib=int(m),
            passes=int(t),
            lanes=int(p),
            salt=unpadded(salt),
            tag=unpadded(tag),
        ),
    ),
    (
        re.compile(rf"\$scrypt\$ln={_NUMBER},r={_NUMBER},p={_NUMBER}\${_B64}\${_B64}").fullmatch,
        lambda ln, r, p, salt, tag: Scrypt(
            log_n=int(ln), r=int(r), p=int(p), salt=unpadded(salt), tag=unpadded(tag)
        ),
    ),
    (
        re.compile(rf"\$pbkdf2(?:-{_SHA})?\$(?:i=)?{_NUMBER}(?:,l=[0-9]+)?\${_B64}\${_B64}").fullmatch,
        lambda digest, rounds, salt, tag: Pbkdf2(
            digest=digest or "sha1", rounds=int(rounds), salt=unpadded(salt), tag=unpadded(tag)
        ),
    ),
    (
        # Django: its salt is plain text.
        re.compile(rf"pbkdf2_{_SHA}\${_NUMBER}\$([^$]+)\$([A-Za-z0-9+/=]+)").fullmatch,
        lambda digest, rounds, salt, tag: Pbkdf2(
            digest=digest, rounds=int(rounds), salt=salt.encode(), tag=unpadded(tag)
        ),
    ),
    (
        re.compile(r"\{(SSHA|SSHA256|SSHA384|SSHA512)\}([A-Za-z0-9+/=]+)").fullmatch,
        lambda scheme, both: _salted(scheme, unpadded(both)),
    ),
)

_BCRYPT_64 = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _canonical(rest: str) -> str:
    """
    Clear the bits of salt and tag of bcrypt that stand for nothing, which some systems left set.

    Raises: ValueError.
    """
    if len(rest) != 53:
        raise ValueError("bcrypt has 22 characters of salt and 31 of tag")
    salt, tag = _BCRYPT_64.index(rest[21]) & 0x30, _BCRYPT_64.index(rest[52]) & 0x3C
    return f"{rest[:21]}{_BCRYPT_64[salt]}{rest[22:52]}{_BCRYPT_64[tag]}"


def _salted(scheme: str, both: bytes) -> Salted:
    digest: Digest = {"SSHA256": "sha256", "SSHA384": "sha384", "SSHA512": "sha512"}.get(scheme, "sha1")  # type: ignore[assignment]
    size = hashlib.new(digest, usedforsecurity=False).digest_size
    return Salted(digest=digest, salt=both[size:], tag=both[:size])


# Comparing. ----------------------------------------------------------------------------------------------------------


def verify(material: Secret, text: str) -> bool:
    """Say whether `text`, as typed, is the password. A stored string that cannot be one is wrong at once."""
    stored = _stored(material)
    try:
        given = text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no password has one
        stored, given = None, b""
    if stored is None:
        return False
    expected, found = _derived(stored, given)
    return compare_digest(expected, found)


def dummy(material: Secret) -> str:
    """
    Return a hash that costs as much to compare and that no password fits: the same one for all that cost alike.

    Empty for what is none of these hashes.
    """
    stored = _stored(material)
    match stored:
        case None:
            return ""
        case Bcrypt(text=text):
            blank: Hash = Bcrypt(f"$2b${text[4:6]}${'.' * 53}")
        case Salted(digest=digest, tag=tag):
            blank = Salted(digest=digest, salt=bytes(8), tag=bytes(len(tag)))
        case _:
            blank = msgspec.structs.replace(stored, salt=bytes(16), tag=bytes(len(stored.tag)))
    return PREFIX + _encode(blank).decode()


def _stored(material: Secret) -> Hash | None:
    """Take what is stored apart; None if it is no foreign hash, or asks for more than this process will do."""
    if not material.text.startswith(PREFIX):
        return None
    try:
        stored = _decode(material.text.removeprefix(PREFIX))
    except msgspec.MsgspecError:
        return None
    return stored if _is_bearable(stored) else None


def _is_bearable(made: Hash) -> bool:
    match made:
        case Bcrypt(text=text):
            return 4 <= int(text[4:6]) <= _GREATEST_BCRYPT_COST
        case Argon2(memory_kib=memory, passes=passes, lanes=lanes):
            return (
                8 * lanes <= memory <= _GREATEST_MEMORY_KIB  # RFC 9106 3.1
                and lanes <= _GREATEST_LANES
                and memory * passes <= _GREATEST_ARGON2_WORK
            )
        case Scrypt(log_n=log_n, r=r, p=p):
            return (
                2**log_n * r <= 8 * _GREATEST_MEMORY_KIB
                and p <= _GREATEST_LANES
                and 2**log_n * r * p <= 8 * _GREATEST_ARGON2_WORK
            )
        case Pbkdf2(rounds=rounds, digest=digest, tag=tag):
            blocks = -(-len(tag) // hashlib.new(digest, usedforsecurity=False).digest_size)
            return rounds * blocks <= _GREATEST_PBKDF2_ROUNDS
        case Salted():
            return True


def _derived(stored: Hash, given: bytes) -> tuple[bytes, bytes]:
    """What is stored, and what this password makes of it."""
    match stored:
        case Bcrypt(text=text):
            import bcrypt

            # What lies behind the 72nd byte was never hashed; the library wants it said.
            return text.encode(), bcrypt.hashpw(given[:72], text.encode())
        case Argon2(tag=tag):
            return tag, _argon2(stored, given)
        case Scrypt(tag=tag):
            key = hashlib.scrypt(
                given,
                salt=stored.salt,
                n=2**stored.log_n,
                r=stored.r,
                p=stored.p,
                dklen=64 if stored.is_stream else len(tag),
                maxmem=2 * 1024 * _GREATEST_MEMORY_KIB,
            )
            return tag, _stream(key[:32], len(tag)) if stored.is_stream else key
        case Pbkdf2(tag=tag):
            return tag, hashlib.pbkdf2_hmac(stored.digest, given, stored.salt, stored.rounds, len(tag))
        case Salted(tag=tag):
            return tag, hashlib.new(stored.digest, given + stored.salt).digest()


def _argon2(stored: Argon2, given: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2d, Argon2i, Argon2id

    kinds: dict[str, type[Argon2id | Argon2i | Argon2d]] = {
        "argon2id": Argon2id,
        "argon2i": Argon2i,
        "argon2d": Argon2d,
    }
    return kinds[stored.variant](
        salt=stored.salt,
        length=len(stored.tag),
        iterations=stored.passes,
        lanes=stored.lanes,
        memory_cost=stored.memory_kib,
    ).derive(given)


def _stream(key: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))
