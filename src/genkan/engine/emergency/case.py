"""
The nouns of an emergency: what is kept of an account's case, and what the protocol knows of methods and devices.

Holds no rule longer than a line. Source: emergency-protocol 4, 5.2, 15.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

from genkan.model import Identifier

State = Literal[
    "normal",
    "contained",
    "frozen",
    "recovery_pending",
    "recovery_ready",
    "contested",
    "restored",
    "expired",
]

LOCKED: frozenset[State] = frozenset(
    {"contained", "frozen", "recovery_pending", "recovery_ready", "contested"}
)
"""States in which no token is issued (I4)."""

Hold = Literal["weak", "medium", "strong"]
"""How firmly an account is held: by rank 1 and 2, by 3 to 5, by 6 and above or by two administrators."""

STRONG, MEDIUM = 6, 3
"""Ranks from which evidence is that of an anchor, and from which a claim counts as one."""

Profile = Literal["standard", "lockdown"]


class Means(StrEnum):
    """What somebody can show. Wider than `Kind`: not all of it ever signs anybody in."""

    PASSWORD = "password"
    EMAIL = "email"
    SMS = "sms"
    TOTP = "totp"
    PASSKEY = "passkey"
    SESSION = "session"
    RECOVERY_CODE = "recovery_code"
    FREEZE_CODE = "freeze_code"
    CONTACTS = "trusted_contacts"
    IDENTITY = "identity"


Code = Literal["AN", "SY", "RC", "TC", "IV", "DS", "PW", "EM", "SM", "TO", "FZ"]
"""An item of evidence, as the protocol's tables call it (6.1)."""

CODES: dict[Means, Code] = {
    Means.PASSWORD: "PW",
    Means.EMAIL: "EM",
    Means.SMS: "SM",
    Means.TOTP: "TO",
    Means.PASSKEY: "AN",
    Means.SESSION: "DS",
    Means.RECOVERY_CODE: "RC",
    Means.FREEZE_CODE: "FZ",
    Means.CONTACTS: "TC",
    Means.IDENTITY: "IV",
}
"""What each is called; a synced passkey is `SY` instead."""


class Refusal(StrEnum):
    """Every refusal of the protocol, named as its dialect words it (9.3). The true reason is for the audit alone."""

    INVALID_CODE = "invalid_oob_value"
    INVALID_ASSERTION = "invalid_assertion"
    EVIDENCE_NOT_ACCEPTED = "evidence_not_accepted"
    EVIDENCE_INSUFFICIENT = "evidence_insufficient"
    PENDING = "authorization_pending"
    EXPIRED = "expired_token"
    INVALID_GRANT = "invalid_grant"
    INVALID_REQUEST = "invalid_request"
    CLAIM_KEY_MISMATCH = "claim_key_mismatch"
    UNKNOWN_CASE = "unknown_case"
    ACCOUNT_IN_EMERGENCY = "account_in_emergency"
    TRIGGER_LIMITED = "trigger_limited"
    ACCESS_DENIED = "access_denied"
    STATE_CHANGED = "state_changed"
    CONTESTED = "contested"
    SLOW_DOWN = "slow_down"


# What the account has. ------------------------------------------------------------------------------


class Method(Struct, frozen=True, kw_only=True):
    """A way to prove oneself, and where it lives: what the protocol must know of it beside its secret."""

    id: str
    means: Means
    devices: frozenset[str] = frozenset()
    """Where it can be used or read. Empty: nobody knows, so it is taken to be on whatever phone was lost."""
    roaming: bool = False
    """A security key: a thing of its own, which is lost only if it is lost itself."""
    synced: bool = False
    """A passkey that may leave its device (backup-eligible): control of a sync fabric, and no anchor (WAN-03)."""
    fabric: str = ""
    """Who syncs it: the provider, as its AAGUID tells."""
    created_at: datetime
    changed_at: datetime | None = None
    changed_by: str | None = None
    """The method by means of which it was last set, or registered."""
    resets: frozenset[str] = frozenset()
    """The methods that whoever holds this one can set anew."""
    used_at: datetime | None = None
    used_on: str | None = None
    """The device it was last used from."""
    address: Identifier | None = None
    """Where notices about the account go, of a mailbox or number."""
    is_unsafe: bool = False
    """Somebody else reads this, says its owner: it gets neutral notices only."""
    is_known_bad: bool = False
    """A password known from a leak."""

    @property
    def touched_at(self) -> datetime:
        return self.changed_at or self.created_at

    @property
    def is_anchor(self) -> bool:
        """Hardware that verifies its user and that the key never leaves."""
        return self.means is Means.PASSKEY and not self.synced

    @property
    def has_place(self) -> bool:
        """It lives somewhere: not in a head, on paper, or with other people."""
        return self.means in _PLACED


_PLACED = frozenset({Means.EMAIL, Means.SMS, Means.TOTP, Means.PASSKEY, Means.SESSION})


class Device(Struct, frozen=True, kw_only=True):
    """A device of the owner, as coarsely as it may be shown (7)."""

    id: str
    fabric: str = ""
    """The fabric that its platform syncs passkeys over."""


class Family(Struct, frozen=True, kw_only=True):
    """A family of refresh tokens. `device` None: it is bound to none, so nobody can say where it is."""

    id: str
    device: str | None = None


class Contact(Struct, frozen=True, kw_only=True):
    """Somebody who may recognise the owner."""

    id: str
    accepted_at: datetime
    changed_at: datetime | None = None
    in_emergency: bool = False
    """Their own account is in no state to vouch for another."""
    served_at: datetime | None = None
    """When they last vouched in another case."""


# What is kept of a case. ----------------------------------------------------------------------------


class Shown(Struct, frozen=True, kw_only=True):
    """
    Something that was shown and that its factor has judged. What it is worth is judged here.

    `key` is the claim key that its challenge was begun under: evidence never moves to another claim.
    """

    id: str
    key: str
    method: str
    right: bool
    verified: bool = False
    """Of a passkey: the authenticator verified its user (UV)."""
    counter_ok: bool = True
    """Of a passkey: its signature counter did not go back (WAN-04)."""
    pinned: bool = False
    """Of an identity check: it is the person that was proofed before."""
    at: datetime


class Item(Struct, frozen=True, kw_only=True):
    """A piece of evidence that was accepted, with all that its independence of another is judged by."""

    id: str
    code: Code
    method: str
    devices: frozenset[str] = frozenset()
    has_place: bool = False
    touched_at: datetime
    changed_by: str | None = None
    resets: frozenset[str] = frozenset()
    at: datetime


class Vote(Struct, frozen=True):
    """A contact's confirmation."""

    contact: str
    at: datetime


class Claim(Struct, frozen=True, kw_only=True):
    """One person's attempt to be recognised as owner. Bound to a key; its evidence is nobody else's."""

    key: str
    """The thumbprint of the claim key (RFC 7638)."""
    items: tuple[Item, ...] = ()
    votes: tuple[Vote, ...] = ()
    triggered: int = 0
    """The rank by which it set the hold off; what it condemned since does not lower it."""
    holds: int = 0
    """The highest rank by which it wants the account held: nobody weaker lifts that."""
    objected: bool = False
    """It has been objected to: weak objections buy time once (P6)."""
    status: Literal["open", "lost", "withdrawn"] = "open"


class Recovery(Struct, frozen=True, kw_only=True):
    """A recovery that waits. Its clock starts once somebody can have heard of it."""

    key: str
    path: str
    rank: int
    started_at: datetime
    delay: timedelta
    modifiers: tuple[str, ...] = ()
    clock_from: datetime | None = None
    """When a notice was handed to a clean channel, or a day after it should have been."""
    extra: timedelta = timedelta(0)
    """What an objection, or the end of a contest, has added."""

    @property
    def ready_at(self) -> datetime | None:
        return None if self.clock_from is None else self.clock_from + self.delay + self.extra


class Contest(Struct, frozen=True):
    """Two claims of one rank. The clock stands still."""

    key: str
    since: datetime


class Lift(Struct, frozen=True):
    """A lift that takes effect later, because a demoted anchor asked for it (5.4)."""

    key: str
    at: datetime


class Case(Struct, frozen=True, kw_only=True):
    """One emergency on one account."""

    id: str
    opened_at: datetime
    operators: int = 0
    """The rank by which operators hold it: 2 for one of them, 5 for two, so that an anchor can always lift it."""
    hold: Hold
    hold_until: datetime
    extended: bool = False
    quiet: bool = False
    """The lost device is told nothing, and only clean channels get notices (8)."""
    claims: tuple[Claim, ...] = ()
    lost: tuple[str, ...] = ()
    """Devices declared lost, in the order they were named."""
    struck: str | None = None
    """The one device whose methods evidence below an anchor has zeroed; anchors on any further one are demoted."""
    quarantined: frozenset[str] = frozenset()
    demoted: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()
    """Families that refuse to refresh until a lift wakes them."""
    burned: frozenset[str] = frozenset()
    """Evidence and single-use methods that nobody can show again in this case."""
    must_change: bool = False
    """The password was known to whoever set this off."""
    attested_at: datetime | None = None
    """Two administrators followed their script (AD)."""
    floor: int = 0
    """After a contest that nobody won: the rank from which a recovery may start again (E18)."""
    recovery: Recovery | None = None
    contest: Contest | None = None
    lift: Lift | None = None

    def claim(self, key: str) -> Claim | None:
        return next((c for c in self.claims if c.key == key and c.status == "open"), None)


class Held(Struct, frozen=True, kw_only=True):
    """A time for which the account was held. Bounds how long weak evidence can hold it (I3)."""

    hold: Hold
    since: datetime
    until: datetime | None = None


class Immunity(Struct, frozen=True, kw_only=True):
    """After a false alarm was lifted, the same or weaker evidence cannot raise it again for a while."""

    until: datetime
    rank: int


class Doubt(Struct, frozen=True):
    """A method that an outside signal speaks against, for a while (E5)."""

    method: str
    until: datetime


class Restored(Struct, frozen=True, kw_only=True):
    """What a recovery left behind, so that it can be undone."""

    at: datetime
    opened_at: datetime
    """When its case was opened: an anchor that is older can undo it."""
    rank: int
    quarantined: frozenset[str]
    """Methods that were on the lost device: they cannot undo anything."""
    tombstones: frozenset[str]
    probation_until: datetime
    undo_until: datetime


class Ticket(Struct, frozen=True, kw_only=True):
    """The right to register new methods: what a recovery yields, and never a token (P9)."""

    digest: bytes
    """SHA-256 of the ticket."""
    expires_at: datetime
    used: bool = False


class AfterReset(Struct, frozen=True, kw_only=True):
    """A password was reset through the very phone that holds the only second factor (AS-02)."""

    until: datetime
    devices: frozenset[str]
    """That phone; empty: nobody knows where either lives."""
    tokens_wait: bool
    """`coresidency = strict`: tokens need a factor off that phone, or wait."""


class Emergency(Struct, frozen=True, kw_only=True):
    """What is kept of an account's emergencies. One value, guarded by its version."""

    state: State = "normal"
    version: int = 0
    """Grows by one with every transition (I5)."""
    clock: datetime | None = None
    """The latest time seen: a clock that steps back takes nothing back (TIM-03)."""
    case: Case | None = None
    held: tuple[Held, ...] = ()
    immunity: Immunity | None = None
    watch_until: datetime | None = None
    restored: Restored | None = None
    ticket: Ticket | None = None
    doubts: tuple[Doubt, ...] = ()
    reports: tuple[int, ...] = ()
    """When reports were passed on, as a history of `risk.rate`."""
    after_reset: AfterReset | None = None


NORMAL = Emergency()
"""Of nearly every account: nothing was ever noted."""


# What an operator may set. --------------------------------------------------------------------------


def _hours(n: float) -> timedelta:
    return timedelta(hours=n)


def _days(n: float) -> timedelta:
    return timedelta(days=n)


class Parameters(Struct, frozen=True, kw_only=True):
    """The spans of the protocol. Nothing outside `ALLOWED` can be configured (5.2)."""

    hold_weak: timedelta = _hours(72)
    """A hold by evidence of rank 1 or 2."""
    hold_weak_extend: timedelta = _hours(96)
    """What its claim may add, once."""
    hold_budget: timedelta = _hours(168)
    """All that weak evidence may hold an account in `WINDOW`."""
    hold_medium: timedelta = _days(7)
    """A hold by evidence of rank 3 to 5."""
    hold_strong: timedelta = _days(30)
    """A hold by an anchor, or by two administrators."""
    watch: timedelta = _days(7)
    """How long takeover stays blocked after a hold has ended."""
    season_method: timedelta = _days(7)
    """How old a method must have been when the case was opened."""
    season_contact: timedelta = _days(7)
    """The same of a contact."""
    touch2: timedelta = timedelta(minutes=60)
    """Between the two touches of a change of security info."""
    objection_weak: timedelta = _hours(24)
    """What a weak objection adds, once per claim."""
    contest_max: timedelta = _days(30)
    """When a contest that nobody won is over."""
    ready_window: timedelta = _hours(72)
    """How long a recovery that has waited may be completed."""
    probation: timedelta = _days(7)
    """After a recovery."""
    undo: timedelta = _days(30)
    """How long an anchor can undo a recovery."""
    immunity: timedelta = _days(30)
    """After a false alarm was lifted."""
    new_method_cool: timedelta = _hours(12)
    """Before a new method counts for recovery or reset."""
    delays: Mapping[str, timedelta] = field(default_factory=dict)
    """The delay of a path, where it is not the default; never below its floor."""
    attested_weak: bool = False
    """Path R9 is open."""
    coresidency: Literal["limited", "strict", "off"] = "limited"
    """What a reset is worth whose mailbox and only second factor live on one phone."""

    def __post_init__(self) -> None:
        for name, (least, most) in ALLOWED.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be between {least} and {most}")


ALLOWED: dict[str, tuple[timedelta, timedelta]] = {
    "hold_weak": (_hours(24), _hours(72)),
    "hold_weak_extend": (_hours(0), _hours(96)),
    "hold_budget": (_hours(24), _hours(168)),
    "hold_medium": (_days(3), _days(14)),
    "hold_strong": (_days(7), _days(90)),
    "watch": (_days(3), _days(30)),
    "season_method": (_days(3), timedelta.max),
    "season_contact": (_days(3), timedelta.max),
    "touch2": (timedelta(minutes=30), _hours(24)),
    "objection_weak": (_hours(0), _hours(48)),
    "contest_max": (_days(7), _days(60)),
    "ready_window": (_hours(24), _days(7)),
    "probation": (_days(3), timedelta.max),
    "undo": (_days(14), timedelta.max),
    "immunity": (_days(7), _days(90)),
    "new_method_cool": (_hours(1), _hours(72)),
}
"""The least and the most of each (5.2)."""

WINDOW = _days(90)
"""The rolling time over which holds are counted, and a recovery is remembered."""

MEDIUM_BUDGET = _days(30)
"""All that evidence of rank 3 to 5 may freeze an account in `WINDOW` while no recovery is pending."""
