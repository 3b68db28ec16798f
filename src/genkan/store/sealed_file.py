"""
A file that is written once and read whole: frames that open only in their order, up to the last, and under one key.

The key of a file is its own: wrapped for a recipient whose private key is elsewhere (HPKE), or drawn from a passphrase
(scrypt). Each frame is sealed under its number and whether it is the last (the STREAM construction), so that one that
was altered, dropped, doubled, moved or cut off is found. Knows nothing of what is in them.
Source: RFC 9180 (HPKE), RFC 7914 (scrypt), RFC 5869 (HKDF), SP 800-38D (GCM); Hoang, Reyhanitabar, Rogaway, Vizár,
"Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (STREAM); security requirements BKP-01, KEY-05.
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from genkan.store.sealing import KEY_BYTES, CannotOpen, sync_folder

MAGIC: Final = b"genkan sealed 1\n"
SALT_BYTES: Final = 32
LEAST_PASSPHRASE: Final = 16
"""Characters. A file can be tried at leisure by whoever has it."""

SCRYPT: Final = {"n": 2**17, "r": 8, "p": 1}
"""128 MiB and some tenths of a second for each passphrase that is tried."""

LONGEST_FRAME: Final = 16 * 2**20
"""Bytes of a frame, before and after it was made smaller."""

_TAG_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_WRAPPED_BYTES: Final = KEM.X25519.enc_length() + KEY_BYTES + _TAG_BYTES


class Lock(ABC):
    """How the key of a new file is kept in its head."""

    kind: bytes
    """One byte, which says how."""

    @abstractmethod
    def made(self) -> tuple[bytes, bytes]:
        """Return what stands in the head, and the secret that it stands for: each time another."""


class Opener(ABC):
    """Whoever opens a file."""

    kind: bytes
    head_bytes: int

    @abstractmethod
    def opened(self, head: bytes) -> bytes:
        """Return the secret that a head stands for. Raises: `InvalidTag`."""


class Passphrase(Lock, Opener):
    """Who knows the phrase reads the file."""

    kind = b"P"
    head_bytes = SALT_BYTES

    def __init__(self, text: str) -> None:
        """Raises: `CannotOpen` for a phrase that is too short."""
        if len(text) < LEAST_PASSPHRASE:
            raise CannotOpen(
                f"The passphrase has {len(text)} characters and must have {LEAST_PASSPHRASE} at least: whoever finds "
                "the file can try as many as they like. Take six random words or more."
            )
        self._text = text.encode()
        self._known: dict[bytes, bytes] = {}
        """Each salt is worked on once."""

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def made(self) -> tuple[bytes, bytes]:
        salt = os.urandom(SALT_BYTES)
        return salt, self.opened(salt)

    def opened(self, head: bytes) -> bytes:
        if head not in self._known:
            self._known[head] = Scrypt(salt=head, length=KEY_BYTES, **SCRYPT).derive(self._text)
        return self._known[head]


class Recipient(Lock):
    """Only who has the private key reads the file; whoever writes it cannot."""

    kind = b"R"

    def __init__(self, key: X25519PublicKey) -> None:
        self._key = key

    @classmethod
    def read(cls, path: Path) -> Recipient:
        """Raises: `CannotOpen`."""
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _no_key(path, "public", error) from None
        if not isinstance(key, X25519PublicKey):
            raise _no_key(path, "public", "it is of another kind")
        return cls(key)

    def made(self) -> tuple[bytes, bytes]:
        secret = os.urandom(KEY_BYTES)
        return _SUITE.encrypt(secret, self._key, info=MAGIC), secret


class Identity(Opener):
    """The private key of a recipient."""

    kind = b"R"
    head_bytes = _WRAPPED_BYTES

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Identity(…)"

    @classmethod
    def read(cls, path: Path) -> Identity:
        """Raises: `CannotOpen`."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise _no_key(path, "private", error) from None
        if not isinstance(key, X25519PrivateKey):
            raise _no_key(path, "private", "it is of another kind")
        return cls(key)

    def opened(self, head: bytes) -> bytes:
        return _SUITE.decrypt(head, self._key, info=MAGIC)


class Writer:
    """Takes the frames of one file, in their order."""

    def __init__(self, sink: BinaryIO, lock: Lock) -> None:
        head, secret = lock.made()
        self._sink = sink
        self._cipher = _cipher(secret, lock.kind + head)
        self._number = 0
        self._last: bytes | None = None
        """Kept back until it is known whether another follows."""
        sink.write(MAGIC + lock.kind + head)

    def put(self, frame: bytes) -> None:
        """Add a frame of `LONGEST_FRAME` bytes at most."""
        if len(frame) > LONGEST_FRAME:
            raise ValueError(f"a frame has {LONGEST_FRAME} bytes at most, not {len(frame)}")
        if self._last is not None:
            self._write(self._last, is_last=False)
        self._last = frame

    def end(self) -> None:
        """Say that there are no more. A file has one frame at least."""
        if self._last is None:
            raise ValueError("there is nothing to write")
        self._write(self._last, is_last=True)

    def _write(self, frame: bytes, *, is_last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, is_last), zlib.compress(frame, 1), None)
        self._sink.write(len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed)
        self._number += 1


@contextmanager
def written(path: Path, lock: Lock) -> Iterator[Writer]:
    """
    Make the file, for its owner's eyes only. It is there when it is whole and on the disk, and never otherwise.

    Raises: `CannotOpen` where it cannot be written, or where there is one already.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        try:
            with os.fdopen(descriptor, "wb") as sink:
                writer = Writer(sink, lock)
                yield writer
                writer.end()
                sink.flush()
                os.fsync(sink.fileno())
            path.hardlink_to(draft)  # Unlike a renaming it takes no other file's place.
        except FileExistsError:
            raise CannotOpen(f"There is a file {path} already. Name another, or move it away.") from None
        except OSError as error:
            raise _unwritable(path, error) from None
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def frames(path: Path, opener: Opener) -> Iterator[bytes]:
    """
    Yield the frames of a file. What was yielded is to be believed only when all of them were.

    Raises: `CannotOpen`: not such a file, not for this key, or altered anywhere.
    """
    try:
        with path.open("rb") as source:
            yield from _opened(path, source, opener)
    except OSError as error:
        raise CannotOpen(f"The file {path} cannot be read: {error.strerror}. Name another.") from None


def _opened(path: Path, source: BinaryIO, opener: Opener) -> Iterator[bytes]:
    if source.read(len(MAGIC)) != MAGIC:
        raise CannotOpen(f"The file {path} is no backup of Genkan, or of a newer one. Name another.")
    if (kind := source.read(1)) != opener.kind:
        wanted = {Passphrase.kind: "a passphrase", Recipient.kind: "the private key of a recipient"}.get(kind)
        raise _broken(path) if wanted is None else CannotOpen(f"The file {path} opens with {wanted}.")
    head = source.read(opener.head_bytes)
    if len(head) != opener.head_bytes:
        raise _broken(path)
    try:
        cipher = _cipher(opener.opened(head), kind + head)
        number, sealed = 0, _next(path, source)
        while sealed is not None:
            after = _next(path, source)
            frame = cipher.decrypt(_nonce(number, after is None), sealed, None)
            yield _grown(path, frame)
            number, sealed = number + 1, after
    except InvalidTag:
        raise _broken(path) from None
    if not number:
        raise _broken(path)


def _next(path: Path, source: BinaryIO) -> bytes | None:
    """The next sealed frame; None at the end of the file."""
    if not (said := source.read(_LENGTH_BYTES)):
        return None
    length = int.from_bytes(said, "big")
    if len(said) != _LENGTH_BYTES or length > LONGEST_FRAME + 2**16:
        raise _broken(path)
    sealed = source.read(length)
    if len(sealed) != length:
        raise _broken(path)
    return sealed


def _grown(path: Path, small: bytes) -> bytes:
    found = zlib.decompressobj()
    frame = found.decompress(small, LONGEST_FRAME)
    if not found.eof:
        raise _broken(path)
    return frame


def _cipher(secret: bytes, head: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=MAGIC + head).derive(secret))


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _broken(path: Path) -> CannotOpen:
    return CannotOpen(
        f"The file {path} does not open: the passphrase or key is not its own, or it was altered or cut off. "
        "Nothing of it was used. Try the right key, or another copy of the file."
    )


def _no_key(path: Path, which: str, why: object) -> CannotOpen:
    text = why.strerror if isinstance(why, OSError) else "it is no PEM" if isinstance(why, Exception) else why
    return CannotOpen(
        f"The file {path} has no {which} key for backups: {text}. Make a pair: openssl genpkey -algorithm x25519 "
        "-out backup.key, and its public half: openssl pkey -in backup.key -pubout -out backup.pub"
    )


def _unwritable(path: Path, error: OSError) -> CannotOpen:
    return CannotOpen(f"The file {path} cannot be written: {error.strerror}. Name a place where it can be.")
