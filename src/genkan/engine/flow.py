"""
The flow: what one attempt has proven so far, what it waits for, and the table of what may follow what.

Knows nothing of dialects, storage, the clock or policy.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b
from typing import Literal

from msgspec import Struct, field

from genkan.model import Attempt, Challenge, Demand, Evidence, Identifier, Kind, Purpose, Risk, Scalar, Secret

Part = Literal["first", "second", "verify", "enrol"]
"""Which part of a flow a proof is for: the first or second factor, the address of a sign-up or reset, a new method."""


class Stage(Struct, frozen=True, kw_only=True, tag_field="stage"):
    """What the flow waits for."""


class AwaitingIdentifier(Stage, frozen=True, tag="identifier"):
    """Who is it?"""


class AwaitingChoice(Stage, frozen=True, kw_only=True, tag="choice"):
    """By which method shall they prove it?"""

    part: Part


class AwaitingProof(Stage, frozen=True, kw_only=True, tag="proof"):
    """The answer to a challenge."""

    part: Part
    challenge: Challenge
    preverified: bool = False
    """Enrolment of an address that this flow has proven already: nothing was sent and no code is needed."""


class AwaitingNewPassword(Stage, frozen=True, kw_only=True, tag="new_password"):
    """A password to set. `offered`: the client has been told so in its own turn and may send it now."""

    offered: bool


class AwaitingAttributes(Stage, frozen=True, tag="attributes"):
    """Attributes that the user flow requires; which ones is computed anew each time."""


class AwaitingEnrolment(Stage, frozen=True, tag="enrolment"):
    """A second factor to register."""


class AwaitingResume(Stage, frozen=True, tag="resume"):
    """Everything asked for so far is proven; the client may resume, and only then are tokens decided."""


class Closed(Stage, frozen=True, kw_only=True, tag="closed"):
    """Over. `outcome` is `issued`, `web`, or the reason of the refusal that ended it."""

    outcome: str


AnyStage = (
    AwaitingIdentifier
    | AwaitingChoice
    | AwaitingProof
    | AwaitingNewPassword
    | AwaitingAttributes
    | AwaitingEnrolment
    | AwaitingResume
    | Closed
)


class Offers(Struct, frozen=True, kw_only=True):
    """What the client says it can do. It chooses how a requirement is shown, never whether it holds (FLOW-10)."""

    password: bool
    code: bool
    passkey: bool = False
    """It has listed passkeys once, so it knows of them, though it may want to go on without."""
    second_factor: bool = False
    enrolment: bool = False


class Flow(Struct, frozen=True, kw_only=True):
    """One attempt, from `Begin` until it is `Closed`: evidence accumulating against a requirement."""

    id: bytes
    """16 random bytes."""
    purpose: Purpose
    client: str
    dialect: str
    offers: Offers
    stage: AnyStage
    phase: int = 0
    """How many proofs there have been: a handle of an earlier phase is dead (FLOW-02)."""
    identifier: Identifier | None = None
    hides: bool = False
    """Whether there is an account is not to be seen in this flow (ENUM-01, ENUM-07)."""
    subject: str | None = None
    epoch: int = 0
    """The subject's when the flow learnt of it: once theirs has grown, the flow is dead (OTP-22, SSPR-04)."""
    demand: Demand | None = None
    """Set by the first token request whose proof was right, and kept (native-auth-v1 D26)."""
    evidence: tuple[Evidence, ...] = ()
    misses: tuple[Attempt, ...] = ()
    """Proofs that were wrong, for the sign-in log."""
    enrolled: bool = False
    """A method was registered in this flow: its proof is the second factor (conditional-access 6.2)."""
    seats: str = ""
    """Where it sits among the flows of its account (`engine.seats`); empty: it takes no seat."""
    seat: int = 0
    attributes: dict[str, Scalar] = field(default_factory=dict)
    started: bool = False
    """The extension that is asked before attributes are collected has been."""
    password: Secret | None = None
    """The Argon2id string of a sign-up's password, until the account exists."""
    failures: int = 0
    """Wrong proofs in this phase, whatever the method, resends included (OTP-05)."""
    pending: int = 0
    """Tries spent on passwords that are being compared right now."""
    sends: int = 0
    """Codes sent in this phase."""
    texts: int = 0
    """Those of them by text message: each makes the next one wait longer (MSG-10)."""
    last_sms_at: datetime | None = None
    risk: Risk | None = None
    """The most risky it has looked at any proof: who begins it elsewhere does not shed that by coming home."""
    correlation_id: str
    created_at: datetime
    expires_at: datetime

    @property
    def guid(self) -> str:
        """Its id as logs show it."""
        return guid(self.id)

    @property
    def first_factor(self) -> Kind | None:
        return next((e.kind for e in self.evidence if e.part == "first"), None)


def guid(raw: bytes) -> str:
    """16 bytes, written as a GUID."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# The bookmark: what a client holds of a flow. -------------------------------------------------------

PREFIX = "gk1."
MAC_BYTES = 24


def _mac(content: bytes, key: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693 2.9): a MAC in one pass, an order of magnitude cheaper here than HMAC."""
    return blake2b(content, key=key, digest_size=MAC_BYTES).digest()


def bookmark(flow_id: bytes, phase: int, nonce: bytes, key: bytes) -> str:
    """
    A fresh handle to this phase of a flow.

    Nothing of it is stored: it names the flow and the phase, and a keyed digest that only this tenant can make.
    Shapes: `flow_id` 16 bytes, `nonce` 7 bytes; the answer is 68 URL-safe characters.
    """
    content = flow_id + phase.to_bytes(1) + nonce
    return PREFIX + urlsafe_b64encode(content + _mac(content, key)).decode()


def read_bookmark(text: str, key: bytes) -> tuple[bytes, int] | None:
    """The flow id and phase of a handle that this tenant gave out; None for any other text."""
    if len(text) != len(PREFIX) + 64 or not text.startswith(PREFIX):
        return None
    try:
        raw = urlsafe_b64decode(text[len(PREFIX) :])
    except ValueError:
        return None
    content, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(content, key)):
        return None
    return content[:16], content[16]
