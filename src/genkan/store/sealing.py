"""
Keep secrets at rest: the master key, the keys derived from it, and sealed values.

Knows nothing of tables or of what it seals; the caller says where a value stands, and it opens only there.
Source: SP 800-38D (GCM), RFC 5869 (HKDF); security requirements KEY-01, KEY-02, KEY-05, PII-01, F-20.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from stat import S_IMODE
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KEY_BYTES = 32
"""256 bits, for the master key and for every key derived from it (KEY-05)."""

SALT_BYTES = 16
NONCE_BYTES = 12
"""What GCM wants (SP 800-38D 8.2); random."""

VALUES_PER_KEY = 2**20
"""Far below the 2^32 values that random nonces allow under one key (SP 800-38D 8.3)."""

LEAST_DISTINCT_BYTES = 16
"""32 random bytes have fewer different values less than once in 10^15 times; zeros and typed phrases always do."""

_FORMAT = b"\x01"


class CannotOpen(Exception):
    """A key file or a database cannot be used as it is. The message says why, and what to do."""


class SealBroken(Exception):
    """A sealed value was altered, moved to another place, or sealed under another key."""


class KeyPurpose(StrEnum):
    """Everything the master key is for. Each purpose has a key of its own in each tenant (KEY-01)."""

    HANDLES = "handles"
    CODES = "codes"
    SEALING = "sealing"
    ROTATION = "rotation"
    PAIRWISE = "pairwise"
    COOKIES = "cookies"
    AUDIT = "audit"
    """Links the rows of the audit log."""
    PAGES = "pages"
    """Vouches for where the next page of a list begins."""
    RECEIPTS = "receipts"
    """What messages are known by to providers that report on them."""
    PAPER = "paper"
    """What codes on paper are compared by."""
    IMPORTS = "imports"
    """The ids of people who come from elsewhere: the same each time, and foretold by nobody."""
    WEBHOOKS = "webhooks"
    """The secrets by which receivers know what they are asked to be ours."""
    SIGNALS = "signals"
    """Seals what receivers of security events want to be shown."""
    EMERGENCY = "emergency"
    """Seals what somebody at the emergency door was asked."""
    DEVELOPMENT = "development"
    """Secrets that `genkan dev` makes up and that stay the same from one start to the next."""


LASTING: Final = (
    KeyPurpose.PAIRWISE,
    KeyPurpose.AUDIT,
    KeyPurpose.PAPER,
    KeyPurpose.IMPORTS,
    KeyPurpose.WEBHOOKS,
)
"""What people, receivers or the log know a tenant by: where it moves to another master key, these go with it."""


class Keys:
    """The keys derived from one master key."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise ValueError(f"the master key has {KEY_BYTES} bytes, not {len(master)}")
        self._master = master
        self._derived: dict[tuple[str, str], bytes] = {}

    def __repr__(self) -> str:
        return "Keys(…)"

    def of(self, purpose: KeyPurpose, tenant: str) -> bytes:
        """Return the tenant's key for this purpose: 32 bytes, the same each time, shared with no other."""
        key = self._derived.get((purpose, tenant))
        if key is None:
            context = msgspec.json.encode(("genkan", 1, purpose, tenant))
            key = HKDF(SHA256(), KEY_BYTES, salt=None, info=context).derive(self._master)
            self._derived[purpose, tenant] = key
        return key

    def lasting(self, tenant: str) -> dict[str, bytes]:
        """Return the keys that go with a tenant where it moves, by their purposes."""
        return {purpose.value: self.of(purpose, tenant) for purpose in LASTING}

    def adopt(self, tenant: str, keys: Mapping[str, bytes]) -> None:
        """
        Use these keys of a tenant that has come from elsewhere, and not those that follow from the master key.

        Raises: `ValueError` for what is no such key.
        """
        found = {KeyPurpose(name): key for name, key in keys.items()}
        if not found.keys() <= set(LASTING) or any(len(key) != KEY_BYTES for key in found.values()):
            raise ValueError("these are not the keys of a tenant that moves")
        self._derived |= {(purpose, tenant): key for purpose, key in found.items()}


class Sealer:
    """
    Seals values of one tenant with AES-256-GCM.

    The key of a value is expanded from the tenant's key and a random salt that stands before the value. A salt is
    drawn when a sealer is made, and anew after `VALUES_PER_KEY`.
    """

    def __init__(self, key: bytes, tenant: str) -> None:
        self._key = key
        self._tenant = tenant
        self._cipher = lru_cache(maxsize=64)(self._expand)
        self._salt = b""
        self._left = 0

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, place: str, row: str, clear: bytes) -> bytes:
        """Return the value sealed for one place, as `outbox.body`, and one row of it."""
        if self._left == 0:
            self._salt = os.urandom(SALT_BYTES)
            self._left = VALUES_PER_KEY
        self._left -= 1
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher(self._salt).encrypt(nonce, clear, self._context(place, row))
        return _FORMAT + self._salt + nonce + sealed

    def open(self, place: str, row: str, sealed: bytes) -> bytes:
        """
        Return the value that was sealed for this place and row.

        Raises: `SealBroken`.
        """
        start = len(_FORMAT) + SALT_BYTES
        salt, nonce = sealed[len(_FORMAT) : start], sealed[start : start + NONCE_BYTES]
        if not sealed.startswith(_FORMAT) or len(nonce) != NONCE_BYTES:
            raise SealBroken(f"{place} of {row} is not a sealed value")
        try:
            return self._cipher(salt).decrypt(nonce, sealed[start + NONCE_BYTES :], self._context(place, row))
        except InvalidTag:
            raise SealBroken(
                f"{place} of {row} does not open: altered, moved, or another master key"
            ) from None

    def _expand(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(SHA256(), KEY_BYTES, info=salt).derive(self._key))

    def _context(self, place: str, row: str) -> bytes:
        return msgspec.json.encode((self._tenant, place, row))


def open_master_key(path: Path) -> bytes:
    """
    Return the master key in the file, which is made with a new random key when there is none.

    Raises: `CannotOpen` for a file that others than its owner may read, or that holds no random key of 32 bytes.
    """
    try:
        key = _read(path)
    except FileNotFoundError:
        key = _make(path)
    if len(key) != KEY_BYTES:
        raise CannotOpen(
            f"The master key file {path} has {len(key)} bytes and must have {KEY_BYTES}. Put back the file that "
            f"was made with this database. If there is no database yet, delete the file and start again."
        )
    if len(set(key)) < LEAST_DISTINCT_BYTES:
        raise CannotOpen(
            f"The master key file {path} does not hold random bytes. Delete it and start again: a random key is "
            f"made then. Do so only if there is no database yet, or you lose what was sealed under this key."
        )
    return key


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & 0o077:
            raise CannotOpen(
                f"The master key file {path} has mode {mode:04o}, so others than its owner may use it. Type: "
                f"chmod 600 '{path}'. If others may have read it, consider everything sealed under it as known."
            )
        return file.read(KEY_BYTES + 1)


def _make(path: Path) -> bytes:
    """
    Make the file, whole and on the disk before anything is sealed under its key.

    It is written beside its place and linked into it, so nobody ever finds half a key there; where another process
    was faster, its key counts.
    """
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return _read(path)


def sync_folder(folder: Path) -> None:
    """See to it that a file just made there is still there after a power failure, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
