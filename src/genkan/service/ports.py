"""
What the shell needs from outside: a store, channels, a clock, entropy.

`bootstrap` plugs the real ones in. A contract test is the interface's other half (`tests/store/test_contract.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from genkan.engine.messages import (
    Cleared,
    Detection,
    Directory,
    Heard,
    NeedClearance,
    Question,
    Signals,
    SignIn,
)
from genkan.engine.queries import AuditQuery, Listed, Query
from genkan.engine.transaction import (
    Audited,
    Change,
    Dead,
    Decide,
    DetectionQuery,
    Lane,
    Loaded,
    Needs,
    Outgoing,
    Settled,
    SignInQuery,
    Taken,
    Waiting,
    Way,
)
from genkan.model import Authenticator, Group, Risk, Secret, Stream, Subject

T = TypeVar("T")


class Store(Protocol):
    """One tenant's database."""

    async def run(self, needs: Needs, decide: Decide[T]) -> T:
        """
        Load, decide, write, commit; return what `decide` returned, only after the commit.

        `decide` is pure and may be called again on newer state when its outcome could not be written. An exception
        it raises reaches the caller and nothing of this step is written; other steps of the batch are untouched.
        Raises: `StoreUnavailable`; `Conflict` when its outcome cannot be written on any state.
        """
        ...

    async def read(self, needs: Needs) -> Loaded:
        """One consistent read, for what must be known before a slow wait."""
        ...

    async def lease(self, limit: int, channel: Way | None = None) -> Sequence[Outgoing]:
        """Take up to `limit` outbox rows that are due, each to one worker; expired ones are dropped unsent (TIM-01)."""
        ...

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Forget the rows that came to an end; give the others back, due after a growing wait."""
        ...

    async def sweep(self) -> int:
        """Delete flows, counters and grants that ended long enough ago (PII-06); how many rows."""
        ...


class Leaks(Protocol):
    """Passwords that are known from leaks."""

    async def knows(self, password: Secret) -> bool:
        """Say whether it is one. What cannot be asked in time is not known; it never raises (PWD-08)."""
        ...


class RiskSource(Protocol):
    """A service outside that is asked how risky an attempt looks."""

    async def ask(self, subject: str | None, client: str, signals: Signals) -> Risk:
        """Its answer, or `hidden` when there is none before the deadline; it never raises."""
        ...


class TelephonyRisk(Protocol):
    """A service outside that is asked before a text message is sent."""

    async def ask(self, need: NeedClearance, client: str, signals: Signals) -> Cleared:
        """Its answer, or `silent` when there is none before the deadline; it never raises."""
        ...


class Extensions(Protocol):
    """The services of an operator's that have a say in flows."""

    async def ask(self, question: Question, signals: Signals) -> Heard:
        """What the extension says, or how it failed, within its deadline; it never raises."""
        ...


class View(Protocol):
    """What an administrator's step may look at: one consistent state, in the transaction that writes its outcome."""

    now: datetime
    directory: Directory

    def person(self, id: str) -> Subject | None:
        """A person, deleted ones too."""
        ...

    def holder(self, key: str) -> Subject | None:
        """Whose a name is: `Identifier.key`, `ForeignIdentity.key`, or a line break and a principal name."""
        ...

    def authenticators(self, subject: str) -> tuple[Authenticator, ...]:
        """What proves a person, active ones only, oldest first."""
        ...

    def every_authenticator(self, subject: str) -> tuple[Authenticator, ...]:
        """Whatever has ever proven a person, what was taken away too, oldest first (ENR-12)."""
        ...

    def loaded(self, subject: str) -> Loaded:
        """All that a step about a person is decided on."""
        ...

    def group(self, id: str) -> Group | None:
        """A group."""
        ...

    def is_member(self, member: str, group: str) -> bool:
        """Whether somebody is in a group directly."""
        ...

    def containing(self, member: str) -> frozenset[str]:
        """Every group that somebody is in, directly or through other groups."""
        ...

    def history(self, bucket: str) -> tuple[int, ...]:
        """The history of a limit (`risk.rate`)."""
        ...

    def existing(self, kind: Literal["subject", "group"], ids: Iterable[str]) -> frozenset[str]:
        """Those of these people or groups that there are."""
        ...


class AdminStore(Store, Protocol):
    """One tenant's database, as administration uses it."""

    def directory(self) -> Directory:
        """What is configured, as last committed."""
        ...

    async def administer(self, decide: Callable[[View], tuple[Change, T]]) -> T:
        """As `run`, for a step that looks for itself at what it is decided on."""
        ...

    async def look(self, at: Callable[[View], T]) -> T:
        """What is seen in one consistent view of what was committed last."""
        ...

    async def people(self, query: Query, *, deleted: bool = False) -> Listed:
        """A page of people, deleted ones or the others."""
        ...

    async def groups(self, query: Query) -> Listed:
        """A page of groups."""
        ...

    async def members(
        self, group: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[tuple[str, Subject | Group | None], ...]:
        """Members after this id, by id; beside an id None for what is no person and no group."""
        ...

    async def groups_of(
        self, member: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[Group, ...]:
        """The groups that somebody is in after this id, by id."""
        ...

    async def audits(self, query: AuditQuery) -> tuple[Audited, ...]:
        """Changes by administrators, newest first."""
        ...

    async def sign_ins(self, query: SignInQuery) -> tuple[SignIn, ...]:
        """Entries of the sign-in log, newest first."""
        ...

    async def detections(self, query: DetectionQuery) -> tuple[Detection, ...]:
        """What was found risky, newest first."""
        ...


class SignalStore(AdminStore, Protocol):
    """One tenant's database, as receivers of security events use it."""

    async def lease_signals(self, stream: Stream, limit: int) -> Sequence[Waiting]:
        """Take up to `limit` signals of a stream that are due; nobody else is given them while the lease lasts."""
        ...

    async def untaken(self, stream: Stream, limit: int) -> Sequence[Waiting]:
        """Signals that a receiver who asks for them has not acknowledged, oldest first."""
        ...

    async def settle_signals(self, stream: str, taken: Sequence[Taken]) -> None:
        """Write down what became of signals of a stream; those of other streams are passed over."""
        ...

    async def give_up_signals(self) -> int:
        """Give up what no receiver took in its time; how many."""
        ...

    async def dead_signals(self, limit: int = 100) -> Sequence[Dead]:
        """Signals that no receiver took, the latest first."""
        ...

    async def waiting_signals(self) -> Mapping[str, tuple[int, int]]:
        """For each stream how many signals wait for it, and how many were given up."""
        ...

    async def revive_signals(self, id: str = "") -> int:
        """Offer again what was given up: the one of this id, or all; how many."""
        ...


class Sender(Protocol):
    """
    A way out for messages: the development inbox, real providers, later a webhook.

    It alone knows whether a message may be sent again when nobody can say what became of it (`Outgoing.doubtful`).
    """

    @property
    def lanes(self) -> Sequence[Lane]: ...

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        """Send all; say of each what became of it. Never raises for what a message or a provider did."""
        ...
