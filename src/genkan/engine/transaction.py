"""
What passes between the shell and a store: what a step is decided on, and what it wants written.

Values only, so that the two rooms need not see each other. Knows nothing of databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct, field

from genkan.engine.emergency.case import NORMAL, Emergency
from genkan.engine.flow import Flow
from genkan.engine.messages import Detection, Directory, Effect, Record, Signal, SignIn
from genkan.model import Authenticator, Channel, Grant, Message, Reserve, Subject
from genkan.risk.footprint import NOTHING, Footprint

T = TypeVar("T")


class Loaded(Struct, frozen=True, kw_only=True):
    """What a step is decided on: one consistent view, read in the transaction that will write its outcome."""

    now: datetime
    """The store's clock, read once for the batch and never going backwards (TIM-01, TIM-03)."""
    directory: Directory
    flow: Flow | None = None
    flow_version: int = 0
    subject: Subject | None = None
    authenticators: tuple[Authenticator, ...] = ()
    """The subject's, active ones only, oldest first."""
    groups: frozenset[str] = frozenset()
    """Ids of every group the subject is in, directly or through other groups."""
    grant: Grant | None = None
    footprint: Footprint = NOTHING
    reserve: Reserve | None = None
    """The subject's, where it was asked for; None as well where nothing was ever laid by."""
    emergency: Emergency = NORMAL
    """The subject's. `NORMAL` itself, the very object, where nothing was ever noted."""
    emergency_revision: int = 0
    """Of the row that holds it; 0: there is none."""
    held: tuple[Authenticator, ...] = ()
    """Whatever has ever proven the subject, oldest first; with an emergency, or where the step asked for it."""
    families: tuple[Grant, ...] = ()
    """The subject's grants that nobody has ended; likewise."""
    histories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Needs(Struct, frozen=True, kw_only=True):
    """
    What to load.

    The subject loaded is the one named here, else the flow's or the grant's; where these have none, the holder of
    `identifier`, or else of the flow's own identifier.
    """

    flow: bytes | None = None
    identifier: str | None = None
    """A lookup key (`Identifier.key`)."""
    grant: str | None = None
    subject: str | None = None
    """The id of a subject, for administration: no flow leads to it."""
    reserve: bool = False
    """What the subject has laid by, too: of sign-ins only one by a passkey asks for it."""
    case: str | None = None
    """The id of an open case: it stands for the subject that it is about."""
    whole: bool = False
    """Load `held` and `families` too, as is done for every subject with an emergency."""
    buckets: Callable[[Loaded], Iterable[str]] | None = None
    """Names the limits to load, once the rest is known."""


class Change(Struct, frozen=True, kw_only=True):
    """What a step wants written. With neither a flow nor effects nothing is written at all."""

    flow: Flow | None = None
    effects: tuple[Effect, ...] = ()


Decide = Callable[[Loaded], tuple[Change, T]]


class StoreUnavailable(Exception):
    """The store cannot commit now (locked, full, gone). Nothing was changed; the request may be repeated."""


class Conflict(Exception):
    """
    What was to be written contradicts what is stored, however often it was decided. Nothing of it was written.

    A fault of the caller, unless it wrote something it could not look at first: an identifier that another subject
    holds, a revision it has kept from earlier.
    """


class Outgoing(Struct, frozen=True, kw_only=True):
    """A leased outbox row."""

    id: int
    message: Message
    attempts: int
    """Which attempt this is, counting from 1."""
    doubtful: bool = False
    """An earlier attempt never came to an end that is known: a process died, or its lease ran out."""


class Settled(Struct, frozen=True, kw_only=True):
    """What became of a leased outbox row."""

    id: int
    how: Literal["sent", "unclear", "refused", "again"]
    """
    `sent`: somebody else answers for it now. `unclear`: perhaps it was, and to repeat it might make it two.
    `refused`: nobody will ever take it. `again`: certainly not sent, so it is due again after a wait.
    """
    provider: str = ""
    """Who said so, by the name of the setting; empty for the development inbox."""
    reference: str = ""
    """What the provider calls it."""
    why: str = ""
    """In the operator's words; never an address, a number or a code (LOG-01)."""
    wait: timedelta | None = None
    """How long at least before the next attempt, where the provider said so."""


class Waiting(Struct, frozen=True, kw_only=True):
    """A signal that waits for a receiver."""

    signal: Signal
    attempts: int
    """How often it was sent, this time counted; 0 while it is only asked for."""


class Taken(Struct, frozen=True, kw_only=True):
    """What became of a signal."""

    id: str
    """Of the signal, as its receiver knows it."""
    how: Literal["taken", "refused", "again", "unsent"]
    """`taken`: acknowledged. `refused`: never will be. `again`: not now. `unsent`: it was not even tried."""
    why: str = ""
    """In the operator's words."""
    wait: timedelta | None = None
    """How long at least before the next attempt."""


class Dead(Struct, frozen=True, kw_only=True):
    """A signal that a receiver did not take."""

    signal: Signal
    stream: str
    attempts: int
    at: datetime
    why: str


Way: TypeAlias = Channel | Literal["extension"]
"""How a message leaves: by a channel's providers, or by an extension that sends it in their place."""


def way(message: Message) -> Way:
    """The way of a message."""
    return "extension" if message.listener else message.channel


class Lane(Struct, frozen=True, kw_only=True):
    """A share of the outbox that is sent beside the others: what is stuck in one holds up none of them."""

    channel: Way | None = None
    """Whose messages; None: everybody's."""
    at_once: int = 1
    """How many calls of `send` may be under way."""
    batch: int = 100
    """How many messages go into one call."""


class Pulse(NamedTuple):
    """What a look at a database says of how it goes."""

    now: datetime
    waiting: int
    """Messages in the outbox."""
    overdue: timedelta
    """For how long the one has been due that has waited longest and that nobody is sending."""
    audit_rows: int
    """Ever written."""


class SignInQuery(Struct, frozen=True, kw_only=True):
    """Which entries of the sign-in log; a member that is None asks nothing."""

    id: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    client: str | None = None
    interactive: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Before this time."""
    before: SignIn | None = None
    """The last entry of the page before."""
    limit: int = 100


class DetectionQuery(Struct, frozen=True, kw_only=True):
    """Which detections of risk; a member that is None asks nothing."""

    id: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Before this time."""
    before: Detection | None = None
    """The last one of the page before."""
    limit: int = 100


class Audited(Struct, frozen=True, kw_only=True):
    """An audit row."""

    seq: int
    at: datetime
    record: Record
