"""
The engine's whole vocabulary: events come in, replies go out, effects must last.

Values only. A dialect turns requests into events and replies into responses; the store turns effects into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from genkan.engine.emergency.case import NORMAL, Emergency, Shown
from genkan.engine.flow import Flow, Offers, guid
from genkan.model import (
    SECURITY_INFO_API,
    Approval,
    Assurance,
    Attempt,
    Attribute,
    Authenticator,
    BootstrapToken,
    Channel,
    Client,
    Demand,
    Extension,
    Grant,
    Group,
    Identifier,
    Kind,
    Listener,
    Message,
    MethodSettings,
    Place,
    Purpose,
    Reason,
    Reserve,
    Resource,
    Risk,
    RiskLevel,
    Scalar,
    Secret,
    SignUpFlow,
    Stream,
    Subject,
    Tenant,
    Transmitter,
    UserFlow,
)
from genkan.policy.model import (
    Applied,
    AuthenticationContext,
    CountryLocation,
    Decision,
    IpLocation,
    NamedLocation,
    Policy,
    Strength,
)
from genkan.risk.footprint import NOTHING, Footprint
from genkan.tokens.keys import SigningKey
from genkan.tokens.scopes import Claims

# Events: what the client may say. -------------------------------------------------------------------


class Begin(Struct, frozen=True, kw_only=True):
    """Open a flow."""

    purpose: Purpose
    offers: Offers
    dialect: str


class Identify(Struct, frozen=True, kw_only=True):
    """Say who it is about; a sign-up may hand in its password and attributes at once."""

    identifier: Identifier
    password: Secret | None = None
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


class Choose(Struct, frozen=True, kw_only=True):
    """Ask for a challenge: of the method named, or of the only one. Said again it is a resend or a change of method."""

    method: str | None = None
    offers: Offers | None = None
    """What the client can do, when it says so anew."""


class Prove(Struct, frozen=True, kw_only=True):
    """Answer the challenge. `kind` is what the client believes it is answering."""

    kind: Literal["password", "code", "passkey"]
    text: Secret
    """Of a passkey the AuthenticationResponseJSON, as text."""
    demand: Demand | None = None


class Enrol(Struct, frozen=True, kw_only=True):
    """Register an address or number as second factor. `target` is as typed; the engine makes it canonical."""

    channel: Channel
    target: Identifier | None
    """None: it could not be read as one."""


class Confirm(Struct, frozen=True):
    """Finish the enrolment of an address that the flow has proven already (`preverified`)."""


class SetPassword(Struct, frozen=True, kw_only=True):
    """Hand in a new password."""

    password: Secret


class Supply(Struct, frozen=True, kw_only=True):
    """Hand in attributes."""

    attributes: Mapping[str, Scalar]


class Look(Struct, frozen=True):
    """Ask what is awaited. Changes nothing."""


class Resume(Struct, frozen=True, kw_only=True):
    """Ask for the grant. The one event that can end in `Ready`; everything is judged anew."""

    demand: Demand | None = None
    identifier: Identifier | None = None
    """Whom the client believes it is about, when it says so."""


class Renew(Struct, frozen=True, kw_only=True):
    """Redeem a refresh token. Not of any flow: the grant carries the evidence, and policy judges it anew."""

    token: Secret
    demand: Demand | None = None
    """None: what the grant is for."""
    claims: Claims = field(default_factory=Claims)
    """What was asked for by `claims`, where no scope was named."""


Event = Begin | Identify | Choose | Prove | Enrol | Confirm | SetPassword | Supply | Look | Resume | Renew


# Replies: what the client hears. --------------------------------------------------------------------


class Method(Struct, frozen=True, kw_only=True):
    """A way to prove or to enrol, as it may be shown."""

    id: str
    kind: Kind
    hint: str

    @property
    def channel(self) -> Channel:
        return Channel.SMS if self.kind is Kind.SMS_OTP else Channel.EMAIL


class NeedIdentifier(Struct, frozen=True):
    """Say who you are."""


class NeedChoice(Struct, frozen=True, kw_only=True):
    """Choose a method. `because` is for the log and, after a right first factor, for the person."""

    second: bool
    methods: tuple[Method, ...] = ()
    because: str = ""


class Signing(Struct, frozen=True, kw_only=True):
    """What an authenticator is to sign, and which of its keys may do so."""

    challenge: bytes
    rp_id: str
    credentials: tuple[bytes, ...]
    """Ids of keys. Before anything is proven, of such too as there are not (WAN-06)."""


class NeedProof(Struct, frozen=True, kw_only=True):
    """Answer the challenge."""

    kind: Kind
    hint: str = ""
    length: int = 0
    enrolling: bool = False
    preverified: bool = False
    signing: Signing | None = None
    """Of a passkey."""


class NeedNewPassword(Struct, frozen=True, kw_only=True):
    """Set a password."""

    until: datetime | None = None
    """When a reset's permission to do so ends."""


class NeedAttributes(Struct, frozen=True, kw_only=True):
    """Hand in these attributes. `unverified`: they were kept, but the address must be proven first."""

    attributes: tuple[Attribute, ...] = ()
    unverified: bool = False


class NeedEnrolment(Struct, frozen=True, kw_only=True):
    """Register one of these. `Method.hint` prefills the target and is in clear: the first factor is proven."""

    methods: tuple[Method, ...]
    because: str = ""


class NeedResume(Struct, frozen=True):
    """All that was asked is done: resume."""


class NeedCheck(Struct, frozen=True, kw_only=True):
    """To the shell, never to a client: a try is spent, now compare this slow secret and step again with the verdict."""

    authenticator: Authenticator | None
    """None: there is no password; do the same work and say no (PWD-09)."""
    text: Secret
    spent: tuple[tuple[str, int], ...]
    """Buckets, and the entry to take back from each if the password is right (`engine.budgets`)."""
    like: Secret | None = None
    """Where it is no whatever is right: the hash whose work is done all the same (ENUM-07)."""
    beside: tuple[str, ...] = ()
    """The kinds of foreign hashes that are compared beside, where it may not show whose password is one."""


class NeedClearance(Struct, frozen=True, kw_only=True):
    """To the shell, never to a client: ask whether this text may be sent, and step again with what was said."""

    number: Identifier
    subject: str | None
    enrolling: bool


class NeedLift(Struct, frozen=True):
    """
    To the shell, never to a client: an anchor signs in to a held account. Commit the lift, then decide the step again.

    Of the step itself nothing is written before, so the same proof is right again, on the account as it is by then.
    """

    shown: tuple[Shown, ...]


class Question(Struct, frozen=True, kw_only=True):
    """What an extension is asked. Two that are equal have one answer."""

    extension: Extension
    """As its listener has it."""
    listener: str
    """The id of the listener; empty where a user flow names the extension."""
    is_ambiguous: bool = False
    """Another listener has the same priority."""
    client: str
    resource: str
    identifier: Identifier | None = None
    """Of who signs up."""
    attributes: tuple[tuple[Attribute, Scalar | None], ...] = ()
    """What is collected, and what is known of it so far; never a password."""
    subject: Subject | None = None
    """Who is about to get tokens."""


class NeedCall(Struct, frozen=True):
    """
    To the shell, never to a client: ask this extension, and decide the same step again with what it said.

    Nothing of the step is written before. So no transaction waits for anybody, and whatever changes meanwhile counts.
    """

    question: Question


class Ready(Struct, frozen=True, kw_only=True):
    """Every required factor is proven, as decided in this very step: the grant is written with it."""

    subject: Subject
    client: Client
    demand: Demand
    assurance: Assurance
    contexts: tuple[str, ...] = ()
    """The authentication contexts that are satisfied (`acrs`)."""
    groups: frozenset[str] = frozenset()
    """The subject's, nested ones counted."""
    grant: Grant
    refresh: Secret
    """The refresh token of this step."""
    token_id: str
    """A fresh GUID for `jti` and `uti`."""
    claims: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """What an extension adds."""


class Web(Struct, frozen=True, kw_only=True):
    """Only a browser can go on. The native flow is over."""

    because: str


class Refused(Struct, frozen=True, kw_only=True):
    """No. A value, so that the spent try and the audit row commit with it."""

    reason: Reason
    detail: str = ""
    """A parameter's name, or a sentence for the person; never a secret."""
    attributes: tuple[str, ...] = ()
    """The names refused, with `attributes_refused`."""
    number: int = 0
    """What an extension did wrong (admin-graph-api 6.3). For the log; no client hears it."""


Reply = (
    NeedIdentifier
    | NeedChoice
    | NeedProof
    | NeedNewPassword
    | NeedAttributes
    | NeedEnrolment
    | NeedResume
    | NeedCheck
    | NeedClearance
    | NeedCall
    | NeedLift
    | Ready
    | Web
    | Refused
)


# Effects: what must last. Written in one transaction with the flow. ---------------------------------


class PutSubject(Struct, frozen=True):
    """Insert when `revision` is 0, else update the row that still has `revision`. Its identifiers are unique."""

    subject: Subject


class PutAuthenticator(Struct, frozen=True):
    """Insert when `revision` is 0, else update the row that still has `revision`."""

    authenticator: Authenticator


class PutReserve(Struct, frozen=True):
    """Insert when `revision` is 0, else update the row that still has `revision`."""

    reserve: Reserve


class PutGrant(Struct, frozen=True):
    """Insert when `revision` is 0, else update the row that still has `revision`."""

    grant: Grant


class RevokeGrants(Struct, frozen=True, kw_only=True):
    """End every live grant of a subject."""

    subject: str
    at: datetime


class Deliver(Struct, frozen=True):
    """Put a message into the outbox."""

    message: Message


class Count(Struct, frozen=True, kw_only=True):
    """Replace the history of a limit (`risk.rate`)."""

    bucket: str
    history: tuple[int, ...]
    keep_until: datetime


class PutFootprint(Struct, frozen=True, kw_only=True):
    """Put a subject's footprint in the place of the one before."""

    subject: str
    footprint: Footprint


class PutEmergency(Struct, frozen=True, kw_only=True):
    """Insert when `revision` is 0, else replace the row that still has `revision` (emergency-protocol 15)."""

    subject: str
    emergency: Emergency
    revision: int


class Detection(Struct, frozen=True, kw_only=True):
    """Something that was found risky, as Graph's `riskDetection` tells it. Written anew, under the same id."""

    id: str
    at: datetime
    """When it was found."""
    updated_at: datetime
    request: str = ""
    """The sign-in it was found in: the id of its entry in the sign-in log."""
    correlation_id: str = ""
    subject: str
    word: str
    """Graph's `riskEventType` (`risk.score.SIGNS`)."""
    level: RiskLevel
    state: str = "atRisk"
    detail: str = "none"
    activity: Literal["signin", "user"] = "signin"
    address: str = ""
    place: Place = field(default_factory=Place)


class Detect(Struct, frozen=True):
    """Put a detection into the list of those, in the place of the one with the same id."""

    detection: Detection
    keep_until: datetime


class Record(Struct, frozen=True, kw_only=True):
    """An audit row. Carries no secret and no address in clear (LOG-01)."""

    action: str
    """Two or three words: `signin:proof:wrong`; of a change by an administrator Graph's name for it: `Add user`."""
    category: str = ""
    """Of a change by an administrator (`UserManagement` …); empty for all that flows do."""
    reason: str = ""
    subject: str | None = None
    client: str | None = None
    correlation_id: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What explains the step: the kind of proof, the policy trace."""


class SignIn(Struct, frozen=True, kw_only=True, gc=False):
    """
    The sign-in log's entry for one flow, or for one refresh. Written anew, under the same id, as the flow goes on.

    Carries no secret and no address of a person; that of the client's network stands here alone (LOG-01).
    Source: conditional-access 14.
    """

    id: str
    at: datetime
    """When it began."""
    correlation_id: str
    subject: str | None
    """None: nobody's name was given."""
    name: str = ""
    """The person's display name."""
    client: str
    client_name: str
    resource: str
    scopes: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    """Authentication contexts asked for."""
    purpose: Purpose
    interactive: bool
    """False: a refresh."""
    outcome: Literal["issued", "allow", "mfa", "register", "web", "refused"]
    """How it stands: tokens were issued, or may be; what the person is asked for; or that it is over."""
    reason: Reason | None = None
    """Why it was refused."""
    number: int = 0
    """What an extension did wrong (`Refused.number`)."""
    because: str = ""
    """What policy said, in a sentence."""
    steps: tuple[Attempt, ...] = ()
    requires_mfa: bool = False
    policies: tuple[Applied, ...] = ()
    """Empty while no first factor has been proven."""
    address: str = ""
    place: Place = field(default_factory=Place)
    client_app: str = ""
    platform: str = ""
    risk: Risk = field(default_factory=Risk)
    account_risk: str = "hidden"


class LogSignIn(Struct, frozen=True):
    """Put an entry into the sign-in log, in the place of the one with the same id."""

    entry: SignIn
    keep_until: datetime


class Signal(Struct, frozen=True, kw_only=True):
    """
    Something that happened, as receivers of security events are told of it (SSF 1.0, CAEP 1.0, RISC 1.0).

    Carries no address and no secret.
    """

    id: str
    """A GUID. What each receiver is sent has an id of its own that follows from it."""
    event: str
    """The URI of its type."""
    subject: str
    """The id of the person; empty where it is about the stream itself."""
    at: datetime
    txn: str
    """The same for everything that one change, or one emergency, has caused; it names neither."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """The members of the event."""
    since: datetime | None = None
    """When the incident began that it is of: no wish that took effect later keeps it from anybody (WHK-09)."""


class Emit(Struct, frozen=True):
    """Send a signal to every stream that asks for such, or to the one named alone."""

    signal: Signal
    stream: str = ""


class Silence(Struct, frozen=True):
    """Forget what waits for a stream, but for what is about its own status; with `all` that and its subjects too."""

    stream: str
    all: bool = False


class Follow(Struct, frozen=True):
    """Tell a stream of a person until then; None: for good."""

    stream: str
    subject: str
    until: datetime | None = None


class PutGroup(Struct, frozen=True):
    """Insert when `revision` is 0, else update the row that still has `revision`."""

    group: Group


class RemoveGroup(Struct, frozen=True):
    """Delete a group, and every membership of it and in it."""

    id: str


class Join(Struct, frozen=True):
    """Put a person, an application or a group into a group."""

    member: str
    group: str


class Leave(Struct, frozen=True):
    """Take a member out of a group."""

    member: str
    group: str


Document: TypeAlias = (
    Tenant
    | Client
    | Resource
    | Policy
    | IpLocation
    | CountryLocation
    | Strength
    | AuthenticationContext
    | SignUpFlow
    | Extension
    | Listener
    | Stream
    | Transmitter
    | BootstrapToken
    | Approval
    | tuple[Kind, MethodSettings]
)
"""One thing that is configured. The settings of a method know their kind only beside them."""

DocumentKind = Literal[
    "tenant",
    "client",
    "resource",
    "policy",
    "location",
    "strength",
    "context",
    "sign_up_flow",
    "extension",
    "listener",
    "stream",
    "transmitter",
    "bootstrap_token",
    "approval",
    "method",
]


class PutDocument(Struct, frozen=True):
    """Configure something, in the place of what has the same kind and id."""

    document: Document


class RemoveDocument(Struct, frozen=True):
    """Configure something no more."""

    kind: DocumentKind
    id: str


class PutSigningKey(Struct, frozen=True):
    """Keep a signing key, sealed; of one that is there already only its times are brought up to date."""

    key: SigningKey


Effect = (
    PutSubject
    | PutAuthenticator
    | PutReserve
    | PutGrant
    | RevokeGrants
    | Deliver
    | Count
    | PutFootprint
    | PutEmergency
    | Detect
    | Record
    | LogSignIn
    | Emit
    | Silence
    | Follow
    | PutGroup
    | RemoveGroup
    | Join
    | Leave
    | PutDocument
    | RemoveDocument
    | PutSigningKey
)


class Step(Struct, frozen=True, kw_only=True):
    """The outcome of one event. `flow` None: nothing is to be kept of it."""

    flow: Flow | None
    reply: Reply
    effects: tuple[Effect, ...] = ()
    decision: Decision | None = None
    """What policy said, where it was asked: for the logs."""


# Facts: all the engine may know. --------------------------------------------------------------------


class Directory(Struct, frozen=True, kw_only=True, dict=True):
    """What an administrator has configured, read as one consistent value."""

    tenant: Tenant
    clients: Mapping[str, Client] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    policies: Sequence[Policy] = ()
    methods: Mapping[Kind, MethodSettings] = field(default_factory=dict)
    locations: Mapping[str, NamedLocation] = field(default_factory=dict)
    strengths: Mapping[str, Strength] = field(default_factory=dict)
    """The tenant's own; the built-in ones are everywhere."""
    contexts: Mapping[str, AuthenticationContext] = field(default_factory=dict)
    sign_up_flows: Mapping[str, SignUpFlow] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    listeners: Mapping[str, Listener] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    transmitters: Mapping[str, Transmitter] = field(default_factory=dict)
    bootstrap_token: BootstrapToken | None = None
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    revision: int = 0

    @cached_property
    def apis(self) -> Mapping[str, Resource]:
        """Every API that tokens can be for: those that are configured, and the one that is built in."""
        return {**self.resources, SECURITY_INFO_API.id: SECURITY_INFO_API}

    def user_flow(self, client: Client) -> UserFlow:
        """How people sign up to an application: by the flow that it is in, else as it says itself."""
        return self._user_flows.get(client.id, client.user_flow)

    @cached_property
    def _user_flows(self) -> dict[str, UserFlow]:
        return {client: flow.user_flow for flow in self.sign_up_flows.values() for client in flow.clients}


class Signals(Struct, frozen=True, kw_only=True):
    """What the server knows of the request beside its words."""

    address: str = ""
    place: Place = field(default_factory=Place)
    listed: tuple[str, ...] = ()
    """What the lists of networks say of the address, in words of `risk.score`."""
    work: str = ""
    """A puzzle and its answer, as the client sent them (`risk.work`)."""
    origin: str | None = None
    """The web origin that the request came from, when a browser sent one (BRW-03)."""
    client_app: Literal["browser", "mobileAppsAndDesktopClients", "other"] = "mobileAppsAndDesktopClients"
    platform: str = "unknown"
    correlation_id: str = ""


class Entropy(Struct, frozen=True):
    """
    The randomness of one step, drawn by the shell before it: 32 bytes, from which each label yields its own stream.

    A step can so be replayed exactly. Labels keep the uses apart; one label is used once in a step.
    """

    seed: bytes

    def __repr__(self) -> str:
        return "Entropy(…)"

    def take(self, label: str, size: int) -> bytes:
        """`size` bytes (at most 64) for this label."""
        return blake2b(label.encode(), key=self.seed, digest_size=size).digest()

    def guid(self, label: str) -> str:
        """A random GUID (RFC 9562 version 4)."""
        raw = bytearray(self.take(label, 16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        return guid(bytes(raw))

    def digits(self, label: str, length: int) -> str:
        """A uniform decimal code: draws outside the largest whole multiple are thrown away (OTP-01)."""
        span = 10**length
        ceiling = 2**64 - 2**64 % span
        attempt = 0
        while (drawn := int.from_bytes(self.take(f"{label}/{attempt}", 8))) >= ceiling:
            attempt += 1
        return f"{drawn % span:0{length}}"


class Checked(Struct, frozen=True, kw_only=True):
    """The shell's verdict on a password, bound to what it was compared with."""

    authenticator: str | None
    revision: int
    right: bool
    leaked: bool = False
    """It was right, and is known from a leak."""
    spent: tuple[tuple[str, int], ...]
    rehashed: Secret | None = None
    """The same password under today's parameters, when the stored one was weaker."""


class Hashed(Struct, frozen=True, kw_only=True):
    """A new password, judged and hashed by the shell before the step."""

    refused: Reason | None
    material: Secret | None


class Cleared(Struct, frozen=True, kw_only=True):
    """What the service that is asked before a text message is sent has said of this number."""

    number: str
    """Its key: another number has to be asked about anew."""
    answer: Literal["allow", "block", "silent"]
    """`silent`: nothing that could be understood, or not in time."""


class GoOn(Struct, frozen=True):
    """An extension has nothing to add; to a code: it has sent it."""


class Values(Struct, frozen=True):
    """An extension gives attributes these values."""

    attributes: Mapping[str, Scalar]


class Objects(Struct, frozen=True, kw_only=True):
    """An extension does not take the attributes; of those named it says so in particular."""

    message: str
    attributes: tuple[str, ...] = ()


class Blocks(Struct, frozen=True):
    """An extension ends the sign-up."""

    message: str


class Adds(Struct, frozen=True):
    """An extension adds claims to the tokens."""

    claims: Mapping[str, str | tuple[str, ...]]


class Fails(Struct, frozen=True, kw_only=True):
    """An extension gave no answer that can be used."""

    number: int
    """Which kind of failure (admin-graph-api 6.3)."""
    why: str
    """In the operator's words; nothing that the extension said."""
    is_unclear: bool = False
    """It may have done what it was asked all the same."""
    is_busy: bool = False
    """It was not asked, since so many questions to it are under way."""


Heard: TypeAlias = GoOn | Values | Objects | Blocks | Adds | Fails


class Facts(Struct, frozen=True, kw_only=True):
    """All the engine may know of the world at this step."""

    now: datetime
    directory: Directory
    client: Client | None
    subject: Subject | None = None
    """Whom the flow is about; before it has one, who holds the identifier in question."""
    authenticators: tuple[Authenticator, ...] = ()
    """The subject's, active ones only."""
    groups: frozenset[str] = frozenset()
    """The subject's groups, nested ones counted."""
    grant: Grant | None = None
    footprint: Footprint = NOTHING
    """Where the subject was fully signed in from."""
    emergency: Emergency = NORMAL
    """The subject's, timers counted; `NORMAL` itself where nothing was ever noted."""
    held: tuple[Authenticator, ...] = ()
    """With an emergency: whatever has ever proven the subject."""
    histories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The limits this step may spend from (`advance.limits`)."""
    signals: Signals = field(default_factory=Signals)
    risk: Risk = field(default_factory=Risk)
    """What this request shows (`risk.score`)."""
    entropy: Entropy
    code_key: bytes
    """The tenant's key for the digests of codes."""
    rotation_key: bytes = b""
    """The tenant's key from which a spent refresh token yields its successor."""
    site: str = ""
    """The server's public address."""
    handle: bytes = b""
    """What authenticators call the subject, where a passkey is to be judged."""
    checked: Checked | None = None
    hashed: Hashed | None = None
    asks_before_texts: bool = False
    """There is a service to be asked before a text message is sent (conditional-access 13.2)."""
    cleared: Cleared | None = None
    heard: tuple[tuple[Question, Heard], ...] = ()
    """What extensions have answered since this step was first decided."""
