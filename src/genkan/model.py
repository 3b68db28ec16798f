"""
The nouns: frozen values that every other room speaks of.

Knows nothing of storage, protocols, the clock or randomness; holds no rule longer than a line.
Times are aware UTC `datetime`s, spans are `timedelta`s, identifiers of rows are lower-case GUID strings.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

Scalar = str | int | bool
"""What an attribute of a person may be (native-auth-v1 10.1)."""


class Secret(Struct, frozen=True):
    """A text that must never be printed: a password, a code, a token. Its `repr` shows nothing."""

    text: str

    def __repr__(self) -> str:
        return "Secret(…)"


RiskLevel = Literal["none", "low", "medium", "high", "hidden"]
"""How likely it is that somebody else is at work; `hidden`: nobody has looked (conditional-access 4.4)."""


class Kind(StrEnum):
    """A kind of authenticator (SP 800-63B); each that can be proven here has one file in `factors/`."""

    PASSWORD = "password"
    EMAIL_OTP = "email_otp"
    SMS_OTP = "sms_otp"
    PASSKEY = "passkey"
    """Two factors by itself: what holds the key, and what its holder knows or is."""
    FEDERATED = "federated"
    """A sign-in at another provider."""


class Channel(StrEnum):
    """How a message travels."""

    EMAIL = "email"
    SMS = "sms"


class Purpose(StrEnum):
    """What a flow is for: each only a different starting requirement."""

    SIGN_IN = "sign_in"
    SIGN_UP = "sign_up"
    RESET_PASSWORD = "reset_password"


class Reason(StrEnum):
    """Every refusal there is. Each dialect holds one entry for each (`tests/wire/test_refusals_total.py`)."""

    # The request itself.
    PARAMETER_MISSING = "parameter_missing"
    PARAMETER_REPEATED = "parameter_repeated"
    PARAMETER_MALFORMED = "parameter_malformed"
    IDENTIFIER_MALFORMED = "identifier_malformed"
    CHALLENGE_TYPE_LACKS_REDIRECT = "challenge_type_lacks_redirect"
    CHALLENGE_TYPE_UNKNOWN = "challenge_type_unknown"
    UNKNOWN_GRANT_TYPE = "unknown_grant_type"
    INVALID_SCOPE = "invalid_scope"
    INVALID_CONTEXT = "invalid_context"
    UNKNOWN_TENANT = "unknown_tenant"
    # The client.
    CLIENT_MALFORMED = "client_malformed"
    UNKNOWN_CLIENT = "unknown_client"
    CLIENT_NOT_NATIVE = "client_not_native"
    CLIENT_NOT_PUBLIC = "client_not_public"
    FOREIGN_ORIGIN = "foreign_origin"
    # The handle and its flow. A dialect words the first three alike (FLOW-20).
    INVALID_HANDLE = "invalid_handle"
    OUT_OF_TURN = "out_of_turn"
    TRIES_EXHAUSTED = "tries_exhausted"
    EXPIRED_HANDLE = "expired_handle"
    # The account and its first factor.
    UNKNOWN_SUBJECT = "unknown_subject"
    SUBJECT_EXISTS = "subject_exists"
    SUBJECT_MISMATCH = "subject_mismatch"
    SUBJECT_DISABLED = "subject_disabled"
    WRONG_PASSWORD = "wrong_password"
    WRONG_CODE = "wrong_code"
    WRONG_PASSKEY = "wrong_passkey"
    WRONG_KIND = "wrong_kind"
    NO_PASSWORD = "no_password"
    RESET_DISABLED = "reset_disabled"
    PASSWORD_MUST_CHANGE = "password_must_change"
    # New passwords (native-auth-v1 10.4).
    PASSWORD_INVALID = "password_invalid"
    PASSWORD_TOO_LONG = "password_too_long"
    PASSWORD_TOO_SHORT = "password_too_short"
    PASSWORD_TOO_WEAK = "password_too_weak"
    PASSWORD_BANNED = "password_banned"
    PASSWORD_RECENTLY_USED = "password_recently_used"
    # Sign-up and its attributes.
    SIGN_UP_DISABLED = "sign_up_disabled"
    ATTRIBUTES_MALFORMED = "attributes_malformed"
    ATTRIBUTES_REFUSED = "attributes_refused"
    # Extensions.
    BLOCKED_BY_EXTENSION = "blocked_by_extension"
    EXTENSION_FAILED = "extension_failed"
    # Challenges and enrolment.
    CHOICE_NEEDED = "choice_needed"
    UNKNOWN_METHOD = "unknown_method"
    TARGET_REFUSED = "target_refused"
    TOO_MANY_SENDS = "too_many_sends"
    TELEPHONY_LIMIT = "telephony_limit"
    REGION_CLOSED = "region_closed"
    NUMBER_BLOCKED = "number_blocked"
    WORK_NEEDED = "work_needed"
    # Policy (conditional-access 5.1, 15).
    BLOCKED_BY_POLICY = "blocked_by_policy"
    DEVICE_NOT_COMPLIANT = "device_not_compliant"
    DEVICE_NOT_JOINED = "device_not_joined"
    APP_NOT_APPROVED = "app_not_approved"
    ENROLMENT_TOO_RISKY = "enrolment_too_risky"
    ENROLMENT_BLOCKED = "enrolment_blocked"
    NO_METHOD = "no_method"
    # Refresh.
    GRANT_UNKNOWN = "grant_unknown"
    GRANT_EXPIRED = "grant_expired"
    GRANT_REVOKED = "grant_revoked"
    GRANT_NEEDS_NEW_PASSWORD = "grant_needs_new_password"
    GRANT_OF_DISABLED_SUBJECT = "grant_of_disabled_subject"
    FACTOR_REQUIRED = "factor_required"
    REAUTHENTICATION_REQUIRED = "reauthentication_required"
    # Our side.
    TOO_MANY_REQUESTS = "too_many_requests"
    OVERLOADED = "overloaded"
    FAULT = "fault"


class Identifier(Struct, frozen=True):
    """A name by which a person is found or reached. Made only by `identifiers`, so `key` is always canonical."""

    kind: Literal["email", "phone", "username"]
    key: str
    """The lookup key: compared byte by byte, unique in a tenant (CAN-01, CAN-05)."""
    value: str
    """What is shown and delivered to: as typed, less surrounding blanks; a number in E.164."""

    @property
    def place(self) -> str:
        """The mailbox or number this is, as `email:…` or `phone:…`: one place counts once in a flow (FLOW-07)."""
        return f"{self.kind}:{self.key}"


class Place(Struct, frozen=True, kw_only=True, gc=False):
    """Where an address seems to be, as far as anybody knows."""

    country: str | None = None
    """Two upper-case letters (ISO 3166-1)."""
    latitude: float | None = None
    """Degrees north."""
    longitude: float | None = None
    """Degrees east."""


class Risk(Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt looks to the server, and why. Each reason is a word of Graph's `riskEventType`."""

    level: RiskLevel = "hidden"
    reasons: tuple[str, ...] = ()
    state: Literal["none", "atRisk", "remediated"] = "none"
    """What became of it, as logs tell it (Graph's `riskState` and `riskDetail`)."""
    detail: str = "none"


class AccountRisk(Struct, frozen=True, kw_only=True):
    """How an account looks, and what became of it (Graph's `riskyUser`)."""

    level: RiskLevel = "hidden"
    state: Literal["none", "confirmedSafe", "remediated", "dismissed", "atRisk", "confirmedCompromised"] = (
        "none"
    )
    detail: str = "none"
    updated_at: datetime | None = None
    change_asked_at: datetime | None = None
    """When somebody passed a second factor and was asked for a new password."""


class ForeignIdentity(Struct, frozen=True, kw_only=True):
    """A name that somebody else gives a person. It is kept and is unique, but nobody signs in by it here."""

    kind: str
    """Graph's `signInType`: `federated`, or any other with an issuer that is not the tenant."""
    issuer: str
    value: str

    @property
    def key(self) -> str:
        """Unique in a tenant; the line break keeps it apart from every `Identifier.key`."""
        return f"{self.issuer.lower()}\n{self.value.lower()}"


class Subject(Struct, frozen=True, kw_only=True):
    """A person with an account."""

    id: str
    identifiers: tuple[Identifier, ...]
    foreign: tuple[ForeignIdentity, ...] = ()
    principal_name: str = ""
    """A user principal name given by an administrator; where there is none it is made from the id."""
    status: Literal["active", "disabled", "deleted"] = "active"
    """`deleted`: gone for everybody but an administrator, who may bring it back for a while; its names stay taken."""
    must_change_password: bool = False
    attributes: dict[str, Scalar] = field(default_factory=dict)
    risk: AccountRisk = field(default_factory=AccountRisk)
    epoch: int = 0
    """Grows when every session must end; a grant of an older epoch is dead (OTP-22, TOK-05)."""
    sessions_from: datetime | None = None
    """When an administrator last ended every session."""
    created_at: datetime
    deleted_at: datetime | None = None
    revision: int = 0

    @property
    def email(self) -> Identifier | None:
        return next((i for i in self.identifiers if i.kind == "email"), None)


class Formerly(Struct, frozen=True, kw_only=True):
    """Where the codes of a method went before."""

    target: Identifier
    until: datetime


class Passkey(Struct, frozen=True, kw_only=True):
    """A key pair whose private half an authenticator keeps (WebAuthn)."""

    credential: bytes
    """The id that the authenticator gave it; unique in a tenant (WAN-05)."""
    key: bytes
    """The public key (COSE)."""
    counter: int
    aaguid: str
    """Which kind of authenticator made it, as it says; zeros where it does not."""
    synced: bool
    """It may leave its device (BE): no anchor (WAN-03)."""
    backed_up: bool
    """It has (BS), at its last use."""
    roaming: bool
    """A security key, as the client says: a thing of its own."""
    rp_id: str


class Authenticator(Struct, frozen=True, kw_only=True):
    """Something a subject has or knows that can prove them."""

    id: str
    subject: str
    kind: Kind
    target: Identifier | None = None
    """Where its codes go; none for a password."""
    material: Secret | None = None
    """What a proof is compared with; for a password its Argon2id string. None for codes."""
    previous: tuple[Secret, ...] = ()
    """Earlier passwords, the latest first, that may not be used again."""
    strong: bool = True
    """
    May serve as a second factor: registered as such. The sign-in mailbox of an e-mail code account is not (yet), nor is
    a passkey: it signs in by itself, and is an anchor for the emergency protocol.
    """
    passkey: Passkey | None = None
    name: str = ""
    """What its owner calls a passkey."""
    bound_by: str | None = None
    """Of a passkey: the method by means of which its owner had just proven themselves (emergency-protocol 6.2)."""
    leaked: bool = False
    """A password that was right and is known from a leak: a new one must be set (THR-06)."""
    state: Literal["active", "quarantined", "tombstoned"] = "active"
    source: Literal["", "sign_up", "registration", "administrator"] = ""
    """Who bound it: its owner, at sign-up or in a sign-in, or an administrator, by an import too (ENR-12)."""
    formerly: tuple[Formerly, ...] = ()
    """The latest last."""
    created_at: datetime
    removed_at: datetime | None = None
    changed_at: datetime | None = None
    """Of a password: when it was last set anew."""
    reset_at: datetime | None = None
    """Of a password: when it was replaced with nothing shown but a code from a mailbox; None once set otherwise."""
    last_used_at: datetime | None = None
    revision: int = 0


class PaperCode(Struct, frozen=True, kw_only=True):
    """A code that its owner keeps on paper."""

    id: str
    digest: bytes
    """Of its text, which was shown once (`factors.paper`)."""
    spent_at: datetime | None = None


class Paper(Struct, frozen=True, kw_only=True):
    """Codes that were issued together. Issuing others makes these worthless."""

    codes: tuple[PaperCode, ...]
    issued_at: datetime
    issued_by: str | None = None
    """The authenticator by means of which its owner had just proven themselves (emergency-protocol 6.2)."""

    @property
    def left(self) -> int:
        """How many can still be used."""
        return sum(code.spent_at is None for code in self.codes)


class Ceremony(Struct, frozen=True, kw_only=True):
    """A question to an authenticator, put to one person for one thing (WAN-01)."""

    challenge: bytes
    purpose: Literal["register", "remove"]
    client: str
    expires_at: datetime


class Reserve(Struct, frozen=True, kw_only=True):
    """What somebody has laid by for the day when a device is lost: nothing of it ever signs anybody in."""

    subject: str
    recovery: Paper | None = None
    freeze: Paper | None = None
    """One code, which can hold the account and nothing else."""
    handle: bytes = b""
    """What authenticators call the account: random (WAN-05)."""
    ceremony: Ceremony | None = None
    """The one that is open; another takes its place, and any answer ends it."""
    revision: int = 0


class Challenge(Struct, frozen=True, kw_only=True):
    """One question put to one authenticator, or to an address that is to be proven."""

    id: str
    kind: Kind
    authenticator: str | None = None
    """Its id; None while the address is only being proven (sign-up, enrolment)."""
    authenticator_revision: int = 0
    """The revision the challenge was issued for: a method changed since kills the code (OTP-17)."""
    target: Identifier | None = None
    answer: bytes = b""
    """
    HMAC of challenge id and code under the tenant's code key (OTP-06); of a passkey the 32 random bytes that are to be
    signed; empty for a password.
    """
    length: int = 0
    """Digits of the code; 0 for anything else."""
    issued_at: datetime
    expires_at: datetime


class Evidence(Struct, frozen=True, kw_only=True):
    """A proof that was right."""

    kind: Kind
    authenticator: str | None = None
    place: str | None = None
    """The mailbox or number that was proven (`Identifier.place`); None for a password."""
    at: datetime
    part: Literal["first", "second", "verified"]
    """The role it played. `verified`: an address proven at sign-up or reset; a method just enrolled is `second`."""


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """A proof that was tried, as logs tell it."""

    kind: Kind
    part: Literal["first", "second", "verified"]
    at: datetime
    succeeded: bool
    authenticator: str | None = None


class Assurance(Struct, frozen=True, kw_only=True):
    """How strong the evidence is together (RFC 8176 words; oauth-standards A5 ladder)."""

    amr: tuple[str, ...]
    acr: str
    auth_time: datetime


DIRECTORY = "00000002-0000-0000-c000-000000000000"
"""The app id of the directory resource: the audience where no API is asked for (native-auth-v1 9.3)."""


SECURITY_INFO = "6f1d3c0e-5b52-4f0c-9a57-3f7a1a6b2c84"
"""The app id of the built-in API by which people manage how they prove themselves: every tenant's, and nobody's."""


class Demand(Struct, frozen=True, kw_only=True):
    """What a client wants tokens for: one resource, its scopes, and an authentication context if it named one."""

    scopes: tuple[str, ...]
    """As they go into the answer: OIDC scopes first, resource scopes fully qualified (native-auth-v1 9.4)."""
    resource: str
    """The app id of the audience."""
    asked: tuple[str, ...] = ()
    """Words of the request that stand for some of these scopes, as `.default`: MSAL looks its tokens up by them."""
    contexts: tuple[str, ...] = ()
    """Authentication contexts asked for by `claims` (`c1` … `c99`)."""
    id_token_contexts: tuple[str, ...] = ()
    """Those of them that were asked for in the ID token."""
    capabilities: tuple[str, ...] = ()
    """What the client says by `claims` that it can do; `cp1`: it understands a claims challenge (`xms_cc`)."""


MessagePurpose = Literal["sign_in", "sign_up", "reset_password", "mfa", "enrol", "emergency", "notice"]


class Message(Struct, frozen=True, kw_only=True):
    """What is to reach a person. Rendered by `delivery`; dropped, never late, once it has expired."""

    id: str
    channel: Channel
    to: str
    purpose: MessagePurpose
    template: str = "code"
    code: Secret | None = None
    values: dict[str, str] = field(default_factory=dict)
    language: str = ""
    """What its reader speaks, where that is known (BCP 47)."""
    correlation_id: str = ""
    """Of the request that caused it."""
    listener: str = ""
    """Of a code that an extension sends: who says so."""
    client: str = ""
    """The application that it is for; told to that extension alone, as the next."""
    address: str = ""
    """The network address of whoever asked for it."""
    created_at: datetime
    expires_at: datetime


class Grant(Struct, frozen=True, kw_only=True):
    """What a subject has allowed a client: one family of refresh tokens, and the evidence it rests on."""

    id: str
    """32 lower-case hex digits; stands in the refresh token so that its family is found even when it is spent."""
    subject: str
    client: str
    demand: Demand
    evidence: tuple[Evidence, ...]
    epoch: int
    head: bytes
    """SHA-256 of the one live refresh token."""
    spent: bytes = b""
    """SHA-256 of its predecessor, which may be repeated for ten seconds (TOK-07)."""
    rotated_at: datetime
    created_at: datetime
    idle_expires_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revision: int = 0


# What an administrator configures. -----------------------------------------------------------------


class Attribute(Struct, frozen=True, kw_only=True):
    """An attribute that a user flow collects (native-auth-v1 10.1, 10.2)."""

    name: str
    type: Literal["string", "boolean", "int64"] = "string"
    required: bool = False
    max_length: int = 256
    regex: str | None = None
    """What a text must match as a whole, in the syntax of RE2 (`engine.attributes.why_unreadable`)."""
    options: tuple[str, ...] = ()
    """Where there are any, a text is one of these. None of them has a comma or blanks around it."""
    several: bool = False
    """A text may be several of the options, joined by commas."""
    label: str = ""
    """Of a custom attribute: what administrators call it."""
    description: str = ""
    default: str | None = None
    """What it is for whoever says nothing of it."""
    asked: bool = True
    """People may say it themselves. Else it is its default, or what an extension says."""
    kept: bool = True
    """It becomes part of the account. Else it is judged while somebody signs up, and then forgotten."""


class UserFlow(Struct, frozen=True, kw_only=True):
    """How people sign up to an application."""

    first_factor: Kind = Kind.EMAIL_OTP
    """`email_otp` or `password`."""
    sign_up: bool = True
    """People may make an account by themselves."""
    attributes: tuple[Attribute, ...] = ()
    on_start: str = ""
    """The extension that is asked before attributes are collected; empty: whichever a listener names."""
    on_submit: str = ""
    """The same when they are there."""


class SignUpFlow(Struct, frozen=True, kw_only=True):
    """A way to sign up that several applications share (Graph's user flow); it takes the place of their own."""

    id: str
    name: str
    description: str = ""
    priority: int = 500
    clients: tuple[str, ...] = ()
    """The applications; each is in one such flow at most."""
    user_flow: UserFlow = field(default_factory=UserFlow)
    page: str = "{}"
    """How the attributes are shown, as Graph says it (`onAttributeCollection`), as JSON."""
    created_at: datetime | None = None


Hook = Literal["otp_send", "attributes_start", "attributes_submit", "token_issuance"]
"""A point of a flow at which an extension may be asked."""


class Extension(Struct, frozen=True, kw_only=True):
    """A service of the operator's that is asked at one point of a flow (Graph's custom authentication extension)."""

    id: str
    hook: Hook
    name: str
    description: str = ""
    url: str
    """Where it is asked; https."""
    resource: str
    """`api://host/app id`: its host is that of `url`, its application the audience of our token."""
    timeout: int = 2000
    """Milliseconds for one answer, 200 to 2000."""
    retries: int = 1
    """How often it is asked again, 0 or 1."""
    falls_back: bool = False
    """When it fails Genkan does by itself what it does without; else the sign-in fails."""
    claims: tuple[str, ...] = ()
    """Those of its claims that may enter tokens."""
    generation: int = 1
    """Of the secret that signs what it is asked."""
    rotated_at: datetime | None = None
    """When that began; the one before signs too for a day."""
    created_at: datetime | None = None

    @property
    def app(self) -> str:
        """The application that `resource` names."""
        return self.resource.rpartition("/")[2].lower()


class Listener(Struct, frozen=True, kw_only=True):
    """For which applications an extension is asked, or text messages leave to other regions."""

    id: str
    hook: Hook | Literal["phone_regions"]
    name: str = ""
    priority: int = 500
    """The lowest is heard, and no other."""
    clients: tuple[str, ...] = ()
    extension: str = ""
    channel: Channel = Channel.EMAIL
    """Of codes."""
    timeout: int | None = None
    """What differs here from what the extension says."""
    retries: int | None = None
    falls_back: bool | None = None
    opened: tuple[str, ...] = ()
    """Calling codes to which text messages leave although they are closed by default."""
    closed: tuple[str, ...] = ()
    """Calling codes to which none leave."""
    created_at: datetime | None = None


class Stream(Struct, frozen=True, kw_only=True):
    """A receiver of security event tokens, and what it is sent (SSF 1.0, 8.1.1)."""

    id: str
    client: str
    """The application that manages it; each has one at most."""
    audience: str
    """The `aud` of what it is sent."""
    delivery: Literal["push", "poll"] = "poll"
    """`push`: RFC 8935. `poll`: RFC 8936."""
    url: str = ""
    """Where it is pushed to; https."""
    authorization: bytes = b""
    """The `Authorization` header of each push, sealed; empty: none."""
    events: tuple[str, ...] = ()
    """The events that it asked for, as URIs; those that are not known here too."""
    every_subject: bool = True
    """About everybody but who was removed; else only about who was added."""
    email_codes: bool = False
    """It knows the credential type `email-otp`, which CAEP does not list."""
    status: Literal["enabled", "paused", "disabled"] = "enabled"
    """`paused`: what would be sent is held. `disabled`: nothing is kept for it."""
    reason: str = ""
    """Of the status."""
    held: bool = False
    """An operator gave it its status, and the receiver cannot change that."""
    description: str = ""
    created_at: datetime | None = None


class Transmitter(Struct, frozen=True, kw_only=True):
    """Somebody else whose security event tokens are heard here. They only ever tighten (WHK-07)."""

    id: str
    name: str
    issuer: str
    audience: str
    """What their `aud` has to be."""
    keys: str = ""
    """Their public keys, as a JWK set in JSON."""
    keys_url: str = ""
    """Where their keys are published, when they are not given; https."""
    ends_sessions: bool = True
    """What they say may end the sessions of a person."""
    created_at: datetime | None = None


ControlledKind = Literal["policy", "retention", "approvers", "mass_deletion", "dual_control"]
"""
What takes two administrators where the tenant says so: a policy that is on is changed or removed; logs are kept
longer or shorter; somebody comes to approve; many people are deleted, or the tenant; all this is switched off.
"""


class Approval(Struct, frozen=True, kw_only=True):
    """An act that waits for a second administrator, and what they said of it (ADM-06)."""

    id: str
    kind: ControlledKind
    act: str
    """What it is called in the log."""
    target: str
    name: str
    """Id and name of what it is about."""
    payload: str
    """A digest of exactly what is asked for: another change, or the same on another state, is another act."""
    changes: str
    """What would change, as JSON for the eyes of whoever approves, masked as in the log."""
    asked_by: str
    """Who asked (`engine.approvals.Person.key`)."""
    asker: str
    """Their name."""
    asked_at: datetime
    expires_at: datetime
    verdict: Literal["", "approved", "refused"] = ""
    judged_by: str = ""
    judge: str = ""
    judged_at: datetime | None = None
    reason: str = ""
    """What the second one said of it."""


class BootstrapToken(Struct, frozen=True, kw_only=True):
    """What makes a tenant's first administration client, once. Its text is shown once and kept nowhere (ADM-01)."""

    id: str
    """That of the tenant: there is one at most."""
    digest: bytes
    """SHA-256 of the text, which is 256 random bits."""
    expires_at: datetime
    is_used: bool = False


class ClientSecret(Struct, frozen=True, kw_only=True):
    """A secret of a confidential client. Its text is shown once and kept nowhere (ADM-08)."""

    id: str
    name: str = ""
    digest: bytes
    """SHA-256 of the text, which is 256 random bits."""
    hint: str = ""
    """How the text begins, so that its owner can tell which it is."""
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    """None: never, as the one of development mode."""


class ClientCertificate(Struct, frozen=True, kw_only=True):
    """A certificate by whose key a confidential client signs assertions."""

    id: str
    name: str = ""
    der: bytes
    starts_at: datetime
    expires_at: datetime


class RedirectUris(Struct, frozen=True, kw_only=True):
    """Where browsers may be sent back to, by kind of app."""

    public: tuple[str, ...] = ()
    single_page: tuple[str, ...] = ()
    web: tuple[str, ...] = ()


class AppRole(Struct, frozen=True, kw_only=True):
    """A role that an API defines for applications or people."""

    id: str
    value: str
    name: str = ""
    description: str = ""
    members: tuple[str, ...] = ()
    """Graph's `allowedMemberTypes`."""
    is_enabled: bool = True


class Registration(Struct, frozen=True, kw_only=True):
    """What an application registration holds that no sign-in asks for."""

    created_at: datetime | None = None
    notes: str = ""
    tags: tuple[str, ...] = ()
    redirect_uris: RedirectUris = field(default_factory=RedirectUris)
    roles: tuple[AppRole, ...] = ()
    wants: str = "[]"
    """Graph's `requiredResourceAccess`, as JSON."""
    api: str = "[]"
    """Graph's `oauth2PermissionScopes`, as JSON: all that is said of the scopes beside their names."""


OptionalClaim = Literal["acrs", "email", "groups", "xms_cc"]
"""
What an app may have put into its tokens beside the usual (Graph's `optionalClaims`): the authentication contexts that
are satisfied though nobody asked for them, the address, the ids of groups, and what the client can do.
"""


class Client(Struct, frozen=True, kw_only=True):
    """An application registration."""

    id: str
    name: str
    kind: Literal["public", "confidential"] = "public"
    native: bool = True
    user_flow: UserFlow = field(default_factory=UserFlow)
    origins: tuple[str, ...] = ()
    """Exact web origins that may call for it; the host `localhost` stands for every port of it."""
    scopes: tuple[str, ...] = ()
    """Fully qualified resource scopes it may ask for, as `api://genkan-demo/Things.Read`."""
    single_page: bool = False
    """Refresh tokens end after 24 hours (TOK-05)."""
    signing_algorithm: Literal["RS256", "ES256"] = "RS256"
    secrets: tuple[ClientSecret, ...] = ()
    certificates: tuple[ClientCertificate, ...] = ()
    code_domain: str = ""
    """The domain that alone may fill in a code from a text message, as `shop.example.com` (OTP-18)."""
    android_hash: str = ""
    """The hash of 11 characters by which Android hands a text message to the app (OTP-18)."""
    regions_opened: tuple[str, ...] = ()
    """Calling codes that its codes go to although they are closed by default, as `("222",)` (MSG-06)."""
    regions_closed: tuple[str, ...] = ()
    """Calling codes that its codes do not go to, as `("44",)`."""
    optional_claims: tuple[OptionalClaim, ...] = ()
    """What its ID tokens say beside the usual."""
    app_roles: tuple[str, ...] = ()
    """Application permissions of the administration API that it holds."""
    networks: tuple[str, ...] = ()
    """Whence it may get and use administration tokens, as `("203.0.113.0/24",)`; empty: from anywhere (ADM-08)."""
    epoch: int = 0
    """Grows when a secret, a certificate or a role is taken away: its administration tokens are dead then."""
    registration: Registration = field(default_factory=Registration)


class Resource(Struct, frozen=True, kw_only=True):
    """An API that tokens are for."""

    id: str
    name: str
    uri: str
    scopes: tuple[str, ...]
    optional_claims: tuple[OptionalClaim, ...] = ()
    """What access tokens for it say beside the usual."""


SECURITY_INFO_API = Resource(
    id=SECURITY_INFO,
    name="Security information",
    uri="api://genkan-security-info",
    scopes=("SecurityInfo.ReadWrite",),
)
"""Only an app that an operator has registered for its scope gets tokens for it (decision 0014)."""


class Group(Struct, frozen=True, kw_only=True):
    """A group of people, of applications, and of other groups."""

    id: str
    name: str
    description: str = ""
    nickname: str = ""
    created_at: datetime
    revision: int = 0


class MethodSettings(Struct, frozen=True, kw_only=True):
    """Who may use a kind of authenticator as second factor (authentication methods policy)."""

    enabled: bool = True
    include_groups: tuple[str, ...] = ()
    """Empty: everybody (`all_users`)."""
    exclude_groups: tuple[str, ...] = ()


class Brand(Struct, frozen=True, kw_only=True):
    """How a tenant's messages look and speak."""

    name: str = ""
    """Who they are from; empty: the name of the application."""
    colour: str = ""
    """Of the line above an e-mail, as `#0b6e4f`; empty: none."""
    contact: str = ""
    """How to reach the people who run the service; one line, printed where a message asks to tell them."""
    support: str = ""
    """An https address where people find local support organisations; the page for lost devices links to it."""
    language: str = "en"
    """What is spoken to people of whom nothing else is known: `en`, `de`, `es` or `fr`."""


class Tenant(Struct, frozen=True, kw_only=True):
    """A tenant and its settings; every value has a safe default."""

    id: str
    """Its GUID."""
    name: str
    """The first segment of its paths."""
    aliases: tuple[str, ...] = ()
    """Further names that lead here, lower case, as `dev.onmicrosoft.com`."""
    brand: Brand = field(default_factory=Brand)
    """How its messages look and speak."""
    enumeration: Literal["compat", "uniform"] = "compat"
    """`compat` tells whether an account exists, as the wire's clients expect; `uniform` never does (ENUM-01)."""
    security_defaults: bool = False
    """Whoever holds an administrator's role needs a second factor, and no policy may be enabled (12)."""
    baseline_scopes: Literal["enforce", "legacy"] = "enforce"
    """`legacy`: requests for baseline scopes only escape policies for all apps that exclude one (4.3)."""
    register_when_methods_disabled: bool = False
    """Methods that an administrator switched off do not keep their owner from registering another (6.2)."""
    work: Literal["off", "under_attack", "always"] = "off"
    """Ask for a little work before a name is looked at; apps must know how (THR-08)."""
    work_bits: int = 18
    """How much: each further bit doubles it. 18 are a quarter of a million digests."""
    requests_per_second: int = 0
    """Requests that are answered in a second, whoever sends them; 0 is no limit (conditional-access 13.2)."""
    requests_per_second_per_address: int = 0
    """The same for one client address; 0 is no limit (conditional-access 13.2)."""
    log_retention: timedelta = timedelta(days=30)
    """How long the sign-in log is kept, and what was found risky."""
    audit_retention: timedelta = timedelta(days=730)
    """How long the audit log is kept: the steps of flows, and what administrators changed."""
    tell_new_places: bool = True
    """Tell people when somebody signed in to their account from a network that nobody did before."""
    coresidency: Literal["limited", "strict", "off"] = "limited"
    """
    What follows for 24 hours from a reset by e-mail where there are text messages for a second factor, since one stolen
    phone may show both: `limited`: the account is at medium risk; `strict`: no code counts as second factor; `off`:
    nothing (SSPR-07).
    """
    admin_proof: Literal["any", "fresh", "certificate"] = "any"
    """
    What administration clients have proven for whatever changes something, and for reading the logs: `fresh`: who they
    are, in the last ten minutes; `certificate`: that, and by a certificate, never by a secret; `any`: a token (ADM-05).
    """
    dual_control: bool = False
    """
    What could undo protection takes two administrators: a policy that is on is changed, the time is changed that logs
    are kept, somebody comes to approve, more than twenty people are deleted in an hour, and this is switched off
    (ADM-06).
    """
    break_glass: tuple[str, ...] = ()
    """
    Ids of people who get in when all else fails: those that policies exclude for it. Whenever one of them proves a
    first factor, and when one is signed in, operators are alarmed (CA-06).
    """
    assess_risk: bool = False
    """Judge how risky each sign-in looks; while off its level is `hidden`, and no policy on risk applies (10)."""
    wrong_guesses_per_network: int = 100
    """Wrong guesses from one network in an hour, at whichever accounts; 0 switches the limit off (THR-02)."""
    wrong_guesses_per_app: int = 10_000
    """Wrong guesses through one app in an hour, by whoever is not known; 0 switches the limit off (THR-02)."""
    wrong_guesses_per_tenant: int = 20_000
    """The same in all; 0 switches the limit off (THR-02)."""
    wrong_guesses_of_one_password: int = 20
    """How often one and the same wrong password may be tried in an hour; 0 switches the limit off (THR-05)."""
    custom_attributes: tuple[Attribute, ...] = ()
    """What people may have beside the usual properties; each is called `extension_…`."""
    admin_requests: int = 3000
    """Requests of one administration client in ten seconds; 0 switches the limit off."""
    strict_external_tenant: bool = False
    """Policies may name no authentication strength and no context, as in Entra's external tenants (V21)."""
    lenient_queries: bool = False
    """The administration API takes advanced queries without the parameters that Graph wants with them (3.4)."""
    code_length: int = 8
    """Digits of a code, 6 at least (OTP-01)."""
    code_lifetime: timedelta = timedelta(minutes=5)
    """How long a code is good, 10 minutes at most (OTP-02)."""
    tries_per_step: int = 5
    """Wrong proofs in one phase before the flow is over (OTP-05)."""
    sms_per_calling_code: int = 100
    """Text messages to one calling code in an hour; 0 switches the limit off (conditional-access 13.2)."""
    sms_per_calling_code_daily: int = 1_000
    """The same in a day; 0 switches the limit off (MSG-07)."""
    sms_daily_budget: int = 2_000
    """What text messages may cost in a day (UTC), in the unit of `sms_prices`; 0: as much as they do (MSG-09)."""
    sms_monthly_budget: int = 20_000
    """The same for a month."""
    sms_prices: dict[str, int] = field(default_factory=dict)
    """What a text message to a calling code costs, as `{"44": 4}`; 1 where it is not listed (MSG-09)."""
    sms_per_prefix: int = 20
    """Text messages to ten thousand neighbouring numbers in an hour; 0 switches the limit off (MSG-07)."""
    flow_idle: timedelta = timedelta(minutes=10)
    """How long a flow may rest (FLOW-16)."""
    flow_lifetime: timedelta = timedelta(minutes=30)
    """How long a flow may last in all (FLOW-16)."""
    passkey_domain: str = ""
    """The domain that passkeys are for (the RP ID), as `example.com`; empty: the host of the server's address."""
    passkey_origins: tuple[str, ...] = ()
    """Origins of mobile apps at which passkeys may be used, as `android:apk-key-hash:…`, beside the origins of apps."""
    self_service_reset: bool = True
    """People may reset a forgotten password."""
    usernames: bool = False
    """People may sign in by a username too, those who have one and a password (native-auth-v1 10.3)."""
    blocked_numbers: tuple[str, ...] = ()
    """Numbers in E.164, or how they begin: known for fraud, so no text message goes there (conditional-access 13.2)."""
    password_min_length: int = 8
    """Code points of a new password (PWD-01)."""
    password_min_strength: int = 2
    """What zxcvbn must estimate of a new password, 0 to 4 (PWD-02)."""
    foreign_hashes: tuple[str, ...] = ()
    """
    The kinds of password hashes that were imported. Where accounts are hidden a password costs the work of all of
    them, so that time does not tell who has yet to sign in (ENUM-04). An import writes them; empty them when the last
    of its people has signed in, or has had to reset.
    """
    access_token_lifetime: timedelta = timedelta(minutes=10)
    """Of an access token (TOK-20)."""
    id_token_lifetime: timedelta = timedelta(hours=1)
    """Of an ID token."""
    rsa_bits: Literal[2048, 3072] = 2048
    """Of the next RSA key that signs tokens; 3072 signs three times slower (KEY-05)."""
    refresh_idle: timedelta = timedelta(days=14)
    """How long a refresh token may go unused (TOK-05)."""
    refresh_lifetime: timedelta = timedelta(days=90)
    """How long a grant may be refreshed in all (TOK-05)."""
    refresh_lifetime_single_page: timedelta = timedelta(hours=24)
    """The same for single-page apps (TOK-05)."""
