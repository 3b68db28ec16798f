"""
What is said in an emergency: events come in, replies go out, effects must last.

Values only, as `engine.messages`, whose effects are used where they fit. Source: emergency-protocol 5.3, 9.2, 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct, field

from genkan.engine.emergency.case import (
    Contact,
    Device,
    Emergency,
    Family,
    Method,
    Parameters,
    Profile,
    Refusal,
    Shown,
    State,
)
from genkan.engine.emergency.evidence import Lost
from genkan.engine.messages import Count, Deliver, Entropy, PutSubject, Record
from genkan.model import Secret, Subject

# Events. `key` is always the claim key that the call was signed with. -------------------------------


class Tick(Struct, frozen=True):
    """Nothing is said: only what time has brought about is settled."""


class Report(Struct, frozen=True):
    """Somebody who proves nothing says that the device is lost (E1)."""


class Start(Struct, frozen=True):
    """Open a claim, or join the open case with one (E22)."""

    key: str


class Contain(Struct, frozen=True, kw_only=True):
    """Hold the account (E2, E3, E22)."""

    key: str
    shown: Shown
    lost: Lost = field(default_factory=Lost)
    quiet: bool = False


class OperatorContain(Struct, frozen=True, kw_only=True):
    """Hold the account at the owner's call: two administrators firmly, one as a weak factor does (E4)."""

    by: str
    approved_by: str | None = None
    reason: str


class OutsideSignal(Struct, frozen=True, kw_only=True):
    """A mail provider, a SIM-change service or another party says something of one method (E5)."""

    method: str
    signed: bool
    tightens: bool


class Extend(Struct, frozen=True):
    """Hold it longer, once (E6)."""

    key: str


class AskLift(Struct, frozen=True):
    """It was a false alarm (E7)."""

    key: str


class SignIn(Struct, frozen=True):
    """Somebody signs in to a contained account, and has shown this: an anchor lifts the hold (E7)."""

    shown: tuple[Shown, ...]


class Show(Struct, frozen=True):
    """Add an item of evidence to a claim."""

    key: str
    shown: Shown


class Answer(Struct, frozen=True, kw_only=True):
    """A contact, signed in, answers whether they recognise the owner."""

    key: str
    """The claim they were picked by."""
    contact: str
    decision: Literal["confirm", "refuse", "suspicious"]
    number_right: bool
    two_factors: bool
    """Their own sign-in was with two."""


class Attest(Struct, frozen=True, kw_only=True):
    """Two administrators say that they followed their script, with evidence attached (AD)."""

    by: str
    approved_by: str
    attachment: str


class Recover(Struct, frozen=True):
    """Start a recovery by the quickest path, or by the one named (E9)."""

    key: str
    path: str | None = None


class HandedOver(Struct, frozen=True):
    """A notice was handed to the channel of this method."""

    method: str


class Object(Struct, frozen=True):
    """Object to a recovery with little in hand (E10)."""

    key: str
    shown: Shown


class Dispute(Struct, frozen=True, kw_only=True):
    """Contest a recovery by a claim of equal or higher rank (E11, E12)."""

    key: str
    lift: bool = False
    """If it is an anchor's, end the emergency with it."""


class Complete(Struct, frozen=True):
    """Complete a recovery that has waited, showing its strongest item again (E14)."""

    key: str
    shown: Shown


class Resolve(Struct, frozen=True, kw_only=True):
    """Decide a contest: by an identity check of the winner, or by two administrators with evidence attached (E17)."""

    winner: str
    by: str | None = None
    approved_by: str | None = None
    attachment: str = ""


class Withdraw(Struct, frozen=True):
    """Give up one's own claim. The hold stays."""

    key: str


class Undo(Struct, frozen=True):
    """Take a recovery back (E20)."""

    key: str
    shown: tuple[Shown, ...]


class Release(Struct, frozen=True, kw_only=True):
    """Two administrators end a hold, a day after they were asked (E23)."""

    by: str
    approved_by: str
    reason: str
    asked_at: datetime


class Look(Struct, frozen=True):
    """Ask how it stands, as far as the caller may know. Changes nothing."""

    key: str


class WasReset(Struct, frozen=True, kw_only=True):
    """The password was reset by this method, and these are the account's second factors (AS-02)."""

    method: str
    second: tuple[str, ...]


class Redeem(Struct, frozen=True):
    """Use the ticket of a recovery, up to registration or the new password."""

    ticket: Secret


Event: TypeAlias = (
    Tick
    | Report
    | Start
    | Contain
    | OperatorContain
    | OutsideSignal
    | Extend
    | AskLift
    | SignIn
    | Show
    | Answer
    | Attest
    | Recover
    | HandedOver
    | Object
    | Dispute
    | Complete
    | Resolve
    | Withdraw
    | Undo
    | Release
    | Look
    | WasReset
    | Redeem
)


# Replies. -------------------------------------------------------------------------------------------


class Noted(Struct, frozen=True):
    """Heard. Says nothing of what came of it."""


class Holding(Struct, frozen=True, kw_only=True):
    """The account is held; or is said to be, to somebody whose right proof could only have a notice sent."""

    state: State
    case: str
    rank: int
    hold_until: datetime
    revoked: int
    """Families of refresh tokens."""
    suspended: int
    quarantined: tuple[str, ...]
    """What kinds of methods, in words of `Means`."""


class Accepted(Struct, frozen=True, kw_only=True):
    """An item counts."""

    item: str
    rank: int
    paths: tuple[str, ...] = ()
    """Open ones; told from rank 3."""


class Moved(Struct, frozen=True, kw_only=True):
    """The state is this now. `until` only where the caller may know."""

    state: State
    until: datetime | None = None


class Restoration(Struct, frozen=True, kw_only=True):
    """Recovered: a ticket to register new methods, and no token (P9)."""

    ticket: Secret
    expires_in: timedelta


class Status(Struct, frozen=True, kw_only=True):
    """How it stands. Times and other claims are told to anchors alone (8)."""

    state: State
    rank: int
    path: str | None
    objected: bool
    other_claims: bool | None = None
    hold_until: datetime | None = None
    ready_at: datetime | None = None


class Refused(Struct, frozen=True):
    """No. `because` is the true reason, for the audit alone."""

    refusal: Refusal
    because: str = ""


Reply: TypeAlias = Noted | Holding | Accepted | Moved | Restoration | Status | Refused


# Effects beside those of the engine. ----------------------------------------------------------------


class Families(Struct, frozen=True, kw_only=True):
    """End these families of refresh tokens, let them sleep, or wake them under the epoch of now."""

    do: Literal["end", "suspend", "wake"]
    families: tuple[str, ...]


class EndAll(Struct, frozen=True):
    """End what has no name here: remembered devices, browser sessions, personal tokens, pending changes."""

    subject: str


class Mark(Struct, frozen=True, kw_only=True):
    """What becomes of methods. `spent`: a single-use one was used."""

    methods: tuple[str, ...]
    state: Literal["active", "quarantined", "tombstoned", "removed", "spent"]


class Emit(Struct, frozen=True, kw_only=True):
    """Tell other parties: a security event token, in the same outbox batch (11)."""

    event: str
    detail: Mapping[str, str] = field(default_factory=dict)


class Alarm(Struct, frozen=True):
    """Tell the operator now."""

    word: str


Effect: TypeAlias = Record | Deliver | PutSubject | Count | Families | EndAll | Mark | Emit | Alarm


class Step(Struct, frozen=True, kw_only=True):
    """The outcome of one event."""

    emergency: Emergency
    reply: Reply
    effects: tuple[Effect, ...] = ()


# Facts. ---------------------------------------------------------------------------------------------


class Facts(Struct, frozen=True, kw_only=True):
    """All that the protocol may know of the world at this step."""

    now: datetime
    subject: Subject | None
    """None: there is no such account, and every proof is wrong."""
    methods: tuple[Method, ...] = ()
    devices: tuple[Device, ...] = ()
    families: tuple[Family, ...] = ()
    contacts: tuple[Contact, ...] = ()
    parameters: Parameters = field(default_factory=Parameters)
    failures: tuple[int, ...] = ()
    """Wrong proofs shown to this account's emergency door, as a history of `risk.rate`."""
    profile: Profile = "standard"
    proofed: bool = False
    """The owner's identity was proofed, and is pinned."""
    had_mfa: bool = True
    """The account ever had a second factor."""
    new_place: bool = False
    """The claimant's network or country was never seen for this account."""
    quiet_allowed: bool = False
    """The owner asked for quiet containment, long enough ago."""
    is_break_glass: bool = False
    """An administrator's account that must not be frozen by whoever knows its password."""
    breaker_open: bool = False
    """So many accounts of the tenant are being contained that weak ones only send notices (7)."""
    clock_in_doubt: bool = False
    """The clock has jumped: nothing becomes ready by it (AS-40)."""
    entropy: Entropy
