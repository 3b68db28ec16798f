"""
Judge passkeys: a key that was just made, and a signature by one that is known (WebAuthn Level 3, 7.1 and 7.2). And
make up ids of keys that there are not, so that nobody learns who has one.

The library is imported on first use. What it does not look at is looked at here: the exact origin, that nothing of
another site embeds the page, and the counter, of which the caller hears. No attestation is asked for.
Knows nothing of flows, storage, the clock or randomness; that a challenge is used once is the caller's to see to.
Source: WAN-01 to WAN-06; emergency-protocol 6.1 (AN, SY).
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from genkan.model import Passkey

CHALLENGE_BYTES: Final = 32
HANDLE_BYTES: Final = 32
"""Of a user handle: random, and of nobody's name (WAN-05)."""

LONGEST: Final = 32 * 1024
"""Characters of a credential as JSON; an attestation with certificates has some 4,000."""

ALGORITHMS: Final = (-8, -7, -257)
"""EdDSA, ES256, RS256 (COSE)."""

FAULTS: Final = (Exception,)
"""What a library of parsers may raise at bytes of a stranger: all of it means no."""


MOST: Final = 10
"""Passkeys of one account."""

DECOY_LENGTHS: Final = (16, 16, 20, 20, 20, 32, 32, 32, 32, 32, 32, 32, 32, 48, 64, 64)
"""Bytes of an id, as often as they are met: of password managers, of Apple's, of Google's and Windows', of keys."""

NOBODYS_KEY: Final = bytes.fromhex(
    "a5010203262001215820a194c0bc4eddb04119da815ea9a73e9b0617d2ed9fba011d313f62898e79bcc122582011fce94fb400a912fb8b2099c77adf39aa1e9aac7f49218234f747784a98d376"
)
"""A public key (COSE, P-256) that nobody knows the private half of: its `x` is the first SHA-256 on the curve."""


class Signed(Struct, frozen=True, kw_only=True):
    """A signature that is right."""

    verified: bool
    """The authenticator verified its user (UV)."""
    counter_ok: bool
    """The counter went on, or the authenticator keeps none (WAN-04)."""
    passkey: Passkey
    """As it must be from now on. Where the counter went back it is as it was."""


def load() -> None:
    """Import the library: half a second, which nobody should wait for in the middle of a step."""
    import webauthn  # noqa: F401


def origin_of(credential: dict[str, Any]) -> str:
    """The origin that the client says it was used at; empty where it says none, or where another site embeds it."""
    try:
        said = json.loads(_bytes(credential["response"]["clientDataJSON"]))
        origin = said["origin"]
        is_embedded = said.get("crossOrigin", False) is not False or "topOrigin" in said
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ""
    return origin if isinstance(origin, str) and not is_embedded else ""


def read(text: str) -> dict[str, Any] | None:
    """A credential as JSON; None where it is no object, or longer than any is."""
    if len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def id_of(credential: dict[str, Any]) -> bytes:
    """Which key it says that it is by; empty where it says none."""
    try:
        return _bytes(credential["rawId"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return b""


def decoys(name: str, key: bytes) -> tuple[bytes, ...]:
    """
    Ids of keys that there are not, for a name that has none: the same each time, and like real ones (WAN-06).

    As many as somebody might have: mostly one, ever more seldom more, ten at most. So neither a long list nor a short
    one says that they are real.
    Shapes: `name` is any text, `key` 32 secret bytes; each id has 16 to 64.
    """
    drawn = _drawn(f"passkey/decoys/{name}", key)
    count = 1
    while count < MOST and drawn[count] < 90:
        count += 1
    lengths = (DECOY_LENGTHS[byte % len(DECOY_LENGTHS)] for byte in drawn[MOST : MOST + count])
    return tuple(_drawn(f"passkey/decoy {n}/{name}", key)[:length] for n, length in enumerate(lengths))


def nobodys(credential: bytes, rp_id: str) -> Passkey:
    """A key to compare with where there is none of this id: the work is the same, and the answer is no."""
    return Passkey(
        credential=credential,
        key=NOBODYS_KEY,
        counter=0,
        aaguid="",
        synced=False,
        backed_up=False,
        roaming=False,
        rp_id=rp_id,
    )


def _drawn(text: str, key: bytes) -> bytes:
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha512")


def made(
    credential: dict[str, Any], challenge: bytes, rp_id: str, origin: str, *, roaming: bool
) -> Passkey | None:
    """
    The key that was made in answer to a challenge; None whatever is wrong.

    Shapes: `credential` is a RegistrationResponseJSON; `origin` is one that is allowed, by exact comparison; `roaming`:
            it is a security key, as the client says.
    """
    from webauthn import verify_registration_response
    from webauthn.helpers import parse_attestation_object
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import CredentialDeviceType

    if not origin or origin_of(credential) != origin:
        return None
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(a) for a in ALGORITHMS],
        )
        flags = parse_attestation_object(found.attestation_object).auth_data.flags
    except FAULTS:
        return None
    if flags.bs and not flags.be:
        return None  # WebAuthn 6.1.3: what is not eligible cannot be backed up.
    return Passkey(
        credential=found.credential_id,
        key=found.credential_public_key,
        counter=found.sign_count,
        aaguid=found.aaguid,
        synced=found.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
        roaming=roaming,
        rp_id=rp_id,
    )


def signed(
    credential: dict[str, Any],
    passkey: Passkey,
    challenge: bytes,
    origin: str,
    handle: bytes,
) -> Signed | None:
    """
    What a signature by a known key shows; None whatever is wrong.

    Shapes: `credential` is an AuthenticationResponseJSON; `origin` is one that is allowed. A user handle in the answer
            must be the account's (WAN-05). Whether UV and the counter will do is for the caller: both are told.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.structs import CredentialDeviceType

    if not origin or origin_of(credential) != origin:
        return None
    try:
        if _bytes(credential["rawId"]) != passkey.credential:
            return None
        named = credential["response"].get("userHandle")
        if named and _bytes(named) != handle:
            return None
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=passkey.rp_id,
            expected_origin=origin,
            credential_public_key=passkey.key,
            credential_current_sign_count=0,
            require_user_verification=False,
        )
    except FAULTS:
        return None
    is_synced = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    if is_synced != passkey.synced:
        return None  # WebAuthn 7.2 step 21: eligibility never changes.
    counter_ok = found.new_sign_count > passkey.counter or found.new_sign_count == passkey.counter == 0
    after = passkey
    if counter_ok:
        after = replace(passkey, counter=found.new_sign_count, backed_up=found.credential_backed_up)
    return Signed(verified=found.user_verified, counter_ok=counter_ok, passkey=after)


def _bytes(text: str) -> bytes:
    """Raises: `ValueError`, `TypeError`."""
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
