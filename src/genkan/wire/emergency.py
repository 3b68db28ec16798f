"""
The emergency API: `/emergency/v1.0/…`, for apps whose user says that a device is lost, stolen or in other hands.

JSON alone, so that no form of another site can speak it; every call but the first two bears a proof that its sender
holds the claim key (RFC 9449). Idioms and envelope are the native API's. What a call means is `service.emergency`'s.
Source: emergency-protocol 9.1 to 9.3; decision 0016.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.emergency import asked, words
from genkan.engine.emergency.asked import Proof
from genkan.engine.emergency.case import Means, Refusal
from genkan.engine.emergency.evidence import Lost
from genkan.engine.messages import Directory, Signals
from genkan.engine.steps import is_origin_of
from genkan.exchange import Request, Response, json_response
from genkan.model import Secret
from genkan.service.emergency import Call, DeviceSeen, Door, Question
from genkan.service.restoring import NotTaken, Restoring
from genkan.tokens import dpop
from genkan.wire import ceremonies, entra_v1_words, reading
from genkan.wire.entra_v1_words import Error

PREFIX: Final = "/emergency/v1.0/"

HEADERS: Final = "dpop"
"""What a browser may send here beside what it may send everywhere."""

WORDS: Final[Mapping[Means, str]] = {Means.PASSKEY: "webauthn"}
"""What a means is called on the wire, where not by its own name."""

_MEANS = {WORDS.get(means, means.value): means for means in asked.OFFERED}

Method = Literal["password", "email", "sms", "freeze_code", "webauthn", "recovery_code"]
Reason = Literal[
    "device_lost",
    "device_stolen",
    "sim_swap",
    "mailbox_compromised",
    "account_taken_over",
    "someone_has_access",
]

REFUSALS: Final[Mapping[Refusal, Error]] = {
    Refusal.INVALID_CODE: Error(
        "invalid_grant", 50181, "The code or password is wrong, or too old.", "invalid_oob_value"
    ),
    Refusal.INVALID_ASSERTION: Error(
        "invalid_grant", 50126, "The passkey did not prove what was asked for.", "invalid_assertion"
    ),
    Refusal.EVIDENCE_NOT_ACCEPTED: Error(
        "invalid_grant", 90100, "This does not count here; show something else.", "evidence_not_accepted"
    ),
    Refusal.EVIDENCE_INSUFFICIENT: Error(
        "invalid_grant", 90100, "What was shown is not enough for this; show more.", "evidence_insufficient"
    ),
    Refusal.PENDING: Error(
        "authorization_pending", 70016, "The waiting time is not over. We write to your safe addresses when it is."
    ),
    Refusal.EXPIRED: Error("expired_token", 70019, "The token is not valid any more; begin again."),
    Refusal.INVALID_GRANT: Error("invalid_grant", 90100, "This is not valid here, or not any more."),
    Refusal.INVALID_REQUEST: Error("invalid_request", 90100, "This call does not fit here."),
    Refusal.CLAIM_KEY_MISMATCH: Error(
        "invalid_dpop_proof", 90100, "Sign the request anew, with the key that was given to start.",
        "claim_key_mismatch", status=401,
    ),
    Refusal.UNKNOWN_CASE: Error("invalid_grant", 90100, "There is no such case for this key."),
    Refusal.ACCOUNT_IN_EMERGENCY: Error(
        "access_denied", 90100, "Not while the account is on a security hold.", "account_in_emergency", status=403
    ),
    Refusal.TRIGGER_LIMITED: Error(
        "access_denied", 90100, "This cannot hold the account now; use something stronger.", "trigger_limited",
        status=403,
    ),
    Refusal.ACCESS_DENIED: Error("access_denied", 90100, "This is not allowed here.", status=403),
    Refusal.STATE_CHANGED: Error(
        "conflict", 90100, "It stands otherwise by now; ask for the status.", "state_changed", status=409
    ),
    Refusal.CONTESTED: Error(
        "conflict", 90100, "Somebody else claims the account too; show more than they did.", "contested", status=409
    ),
    Refusal.SLOW_DOWN: Error("slow_down", 50196, "Too many attempts; wait, and try again.", status=429, wait=3600),
}  # fmt: skip
"""Every refusal of the protocol, as this wire says it (9.3)."""

UNKNOWN_APP = Error("unauthorized_client", 700016, "There is no such app here.")
FOREIGN_ORIGIN = Error("access_denied", 9002326, "This web origin is not registered for the app.", status=403)
NO_PROOF = Error(
    "invalid_dpop_proof", 90100, "Send one DPoP proof for this very request, made a moment ago.", status=401
)
NOT_JSON = Error("invalid_request", 90100, "Send the body as application/json.", status=415)
MALFORMED = Error(
    "invalid_request", 90100, "The body cannot be read, or lacks a member, or has one that is not known here."
)
MALFORMED_NAME = Error("invalid_request", 90100, "The username is no address or name.")
MALFORMED_TARGET = Error(
    "invalid_request", 90100, "The target must be the new address or number, and stand with no other method."
)
MALFORMED_KEY = Error("invalid_request", 90100, "claim_jwk is no public key of EC P-256 or RSA.")

_Text = Annotated[str, Meta(max_length=1024)]
_Token = Annotated[str, Meta(min_length=1, max_length=4096)]
_Case = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")]
_Client = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body; what is not known is refused."""

    client_id: _Client


class Report(Body, frozen=True, kw_only=True):
    """Somebody says that a device is lost, and proves nothing."""

    username: _Text
    reason: Reason = "device_lost"


class Start(Body, frozen=True, kw_only=True):
    """Begin: whose account it is, and the key that speaks from now on."""

    username: _Text
    reason: Reason = "device_lost"
    claim_jwk: dict[str, Any]
    ui_locale: Annotated[str, Meta(max_length=35)] = ""


class Challenge(Body, frozen=True, kw_only=True):
    """Ask for a proof."""

    continuation_token: _Token
    method: Method


class GivenProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer, in the member that goes with its method."""

    method: Method
    password: _Text = ""
    oob: _Text = ""
    code: _Text = ""
    credential: dict[str, Any] | None = None
    """An AuthenticationResponseJSON."""


class GivenLost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is lost."""

    devices: Annotated[tuple[_Case, ...], Meta(max_length=20)] = ()
    everything_on_my_phone: bool = False
    recovery_codes_with_phone: bool = False


class Contain(Body, frozen=True, kw_only=True):
    """Hold the account."""

    continuation_token: _Token
    proof: GivenProof
    lost: GivenLost = msgspec.field(default_factory=GivenLost)
    quiet: bool = False


class InCase(Body, frozen=True, kw_only=True):
    """Say something in a case."""

    case_id: _Case


class EvidenceBegin(InCase, frozen=True, kw_only=True):
    """Ask for an item of evidence."""

    type: Method


class EvidenceFinish(Body, frozen=True, kw_only=True):
    """Add it."""

    evidence_id: _Token
    proof: GivenProof

    @property
    def token(self) -> str:
        """What the proof answers."""
        return self.evidence_id


class RecoveryStart(InCase, frozen=True, kw_only=True):
    """Begin to wait, by the quickest path or this one."""

    path: Annotated[str, Meta(max_length=8)] | None = None


class Contest(InCase, frozen=True, kw_only=True):
    """Contest a recovery; `lift`: and end the emergency, where an anchor says so."""

    lift: bool = False


class Redeem(Body, frozen=True, kw_only=True):
    """Use up the ticket of a recovery."""

    continuation_token: _Token


class RegisterBegin(Body, frozen=True, kw_only=True):
    """Ask to register a new method."""

    continuation_token: _Token
    method: Literal["password", "email", "sms", "webauthn"]
    target: _Text = ""
    """The new address or number."""


class RegisterFinish(Body, frozen=True, kw_only=True):
    """Register it."""

    continuation_token: _Token
    proof: GivenProof
    name: Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """What to call a passkey."""


class Shown(Body, frozen=True, kw_only=True):
    """An answer to a challenge."""

    continuation_token: _Token
    proof: GivenProof

    @property
    def token(self) -> str:
        """What the proof answers."""
        return self.continuation_token


Proving = EvidenceFinish | Shown
"""Bodies that bring a proof, and nothing else."""


# Answers. -------------------------------------------------------------------------------------------


class Nothing(Struct, frozen=True):
    """Heard."""


class Started(Struct, frozen=True, kw_only=True):
    """The token for the next call. What can be shown is the tenant's list, not the account's."""

    continuation_token: str
    expires_in: int
    methods: tuple[str, ...]
    page: str


class Challenged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked. No target is named."""

    continuation_token: str | None = None
    evidence_id: str | None = None
    expires_in: int
    challenge_type: Literal["oob", "webauthn", "none"]
    challenge_channel: str | None = None
    binding_method: str | None = None
    code_length: int | None = None
    interval: int | None = None
    public_key: dict[str, Any] | None = None


class Held(Struct, frozen=True, kw_only=True):
    """The account is held."""

    state: str
    case_id: str
    rank: int
    hold_until: str
    revoked: dict[str, int]
    suspended: dict[str, int]
    quarantined: tuple[str, ...]
    next: tuple[str, ...] = ("evidence", "extend", "status", "devices")
    poll_interval: int = 30


class Accepted(Struct, frozen=True, kw_only=True):
    """An item counts."""

    accepted: bool = True
    item: str
    rank: int
    paths: tuple[str, ...]


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state by now. Times stand only where the caller may know them."""

    state: str
    hold_until: str | None = None
    immunity_until: str | None = None
    takes_effect_at: str | None = None
    message: str | None = None


class YourClaim(Struct, frozen=True, kw_only=True):
    """What the caller's claim is worth."""

    rank: int
    path: str | None
    objected: bool


class Status(Struct, frozen=True, kw_only=True):
    """How it stands, as far as the caller may know."""

    state: str
    your_claim: YourClaim
    other_claims: bool | None
    hold_until: str | None
    ready_at: str | None
    poll_interval: int


class Restored(Struct, frozen=True, kw_only=True):
    """Recovered: a ticket for new ways to sign in, and no token."""

    state: str
    continuation_token: str
    expires_in: int


class Redeemed(Struct, frozen=True, kw_only=True):
    """The right to register new methods, for so long."""

    continuation_token: str
    expires_in: int
    methods: tuple[str, ...] = ("password", "email", "sms", "webauthn")


class Registered(Struct, frozen=True, kw_only=True):
    """It is there."""

    registered: str


class Device(Struct, frozen=True, kw_only=True):
    """Something that can be named as lost."""

    id: str
    kind: str
    used: str


class Devices(Struct, frozen=True, kw_only=True):
    """All of them, without a model, a place or an address."""

    devices: tuple[Device, ...]


Answer = Struct | words.Refused | Error | NotTaken


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a tenant answers with here."""

    door: Door
    restoring: Restoring
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]
    wall: Callable[[], datetime]
    """The time by which proofs of possession are dated: a clock that was moved for a trial moves no client's."""

    async def __call__(self, request: Request, url: str, signals: Signals) -> Response:
        """
        Answer a POST to one of `METHODS`. `url`: where the request went, as its sender wrote it.

        Raises: `StoreUnavailable`.
        """
        answer = await self._answer(request, url, signals)
        if isinstance(answer, words.Refused):
            answer = REFUSALS[answer.refusal]
        if isinstance(answer, NotTaken):
            answer = entra_v1_words.ERRORS[answer.reason]
        if isinstance(answer, Error):
            return entra_v1_words.write_error(request, answer, self.clock())
        return json_response(answer, _ROUTES[request.path].status)

    async def _answer(self, request: Request, url: str, signals: Signals) -> Answer:
        if request.media_type != "application/json":
            return NOT_JSON
        route = _ROUTES[request.path]
        try:
            body = msgspec.json.decode(request.body, type=route.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return MALFORMED
        directory, origin = self.directory(), request.headers.get("origin")
        client = directory.clients.get(body.client_id.lower())
        if client is None or not client.native:
            return UNKNOWN_APP
        if origin is not None and not is_origin_of(client, origin):
            return FOREIGN_ORIGIN
        key = replay = ""
        if route.is_signed:
            proof = dpop.read(request.headers.get("dpop", ""), method="POST", url=url, now=self.wall())
            if proof is None:
                return NO_PROOF
            key, replay = proof.thumbprint, proof.id
        call = Call(
            key=key, client=client.id, replay=replay, signals=signals, correlation_id=request.correlation_id
        )
        return await route.handler(self, call, body)


def _time(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at is not None else None


def _proof(given: GivenProof) -> Proof | None:
    """An answer as the door takes it; None where what it needs is missing, or more is there."""
    means = _MEANS[given.method]
    members = {
        Means.PASSWORD: given.password,
        Means.EMAIL: given.oob,
        Means.SMS: given.oob,
        Means.FREEZE_CODE: given.code,
        Means.RECOVERY_CODE: given.code,
    }
    if (means is Means.PASSKEY) != (given.credential is not None):
        return None
    text = members.get(means, "")
    if means in members and not text:
        return None
    return Proof(means=means, text=Secret(text), credential=given.credential)


def _said(reply: words.Reply | Question) -> Answer:
    """A reply of the protocol, on this wire."""
    match reply:
        case words.Refused():
            return reply
        case words.Holding():
            return Held(
                state=reply.state,
                case_id=reply.case,
                rank=reply.rank,
                hold_until=_time(reply.hold_until) or "",
                revoked={"refresh_families": reply.revoked},
                suspended={"refresh_families": reply.suspended},
                quarantined=tuple(WORDS.get(Means(m), m) for m in reply.quarantined),
            )
        case words.Accepted():
            return Accepted(item=reply.item, rank=reply.rank, paths=reply.paths)
        case words.Restoration():
            return Restored(
                state="restored",
                continuation_token=reply.ticket.text,
                expires_in=int(reply.expires_in.total_seconds()),
            )
        case words.Status():
            return Status(
                state=reply.state,
                your_claim=YourClaim(rank=reply.rank, path=reply.path, objected=reply.objected),
                other_claims=reply.other_claims,
                hold_until=_time(reply.hold_until),
                ready_at=_time(reply.ready_at),
                poll_interval=3600 if reply.state == "recovery_pending" else 30,
            )
        case words.Moved():
            return State(state=reply.state)
        case _:
            return Nothing()


def _asked(question: Question, *, of_case: bool) -> Challenged:
    answer = Challenged(
        continuation_token=None if of_case else question.token,
        evidence_id=question.token if of_case else None,
        expires_in=int(question.expires_in.total_seconds()),
        challenge_type="none",
    )
    if question.means in (Means.EMAIL, Means.SMS):
        return replace(
            answer,
            challenge_type="oob",
            challenge_channel=question.means.value,
            binding_method="prompt",
            code_length=question.length,
            interval=30,
        )
    if question.means is not Means.PASSKEY:
        return answer
    return replace(
        answer,
        challenge_type="webauthn",
        public_key=ceremonies.request(
            question.nonce, question.rp_id, question.credentials, ceremonies.TIMEOUT
        ),
    )


async def _report(endpoint: Endpoint, call: Call, body: Report) -> Answer:
    name = reading.name(body.username)
    if name is None:
        return MALFORMED_NAME
    await endpoint.door.report(call, name)
    return Nothing()


async def _start(endpoint: Endpoint, call: Call, body: Start) -> Answer:
    name, key = reading.name(body.username), dpop.thumbprint(body.claim_jwk)
    if name is None:
        return MALFORMED_NAME
    if key is None:
        return MALFORMED_KEY
    call = replace(call, key=key)
    question = endpoint.door.start(call, name, endpoint.clock())
    return Started(
        continuation_token=question.token,
        expires_in=int(question.expires_in.total_seconds()),
        methods=tuple(_MEANS),
        page=endpoint.door.page,
    )


async def _challenge(endpoint: Endpoint, call: Call, body: Challenge) -> Answer:
    question = await endpoint.door.challenge(
        call, body.continuation_token, _MEANS[body.method], endpoint.clock()
    )
    return question if isinstance(question, words.Refused) else _asked(question, of_case=False)


async def _contain(endpoint: Endpoint, call: Call, body: Contain) -> Answer:
    proof = _proof(body.proof)
    if proof is None:
        return MALFORMED
    lost = Lost(
        devices=body.lost.devices,
        everything_on_phone=body.lost.everything_on_my_phone,
        recovery_codes=body.lost.recovery_codes_with_phone,
    )
    return _said(
        await endpoint.door.contain(
            call, body.continuation_token, proof, lost, quiet=body.quiet, now=endpoint.clock()
        )
    )


def _shows(
    act: Callable[[Door, Call, str, Proof, datetime], Awaitable[words.Reply]],
) -> Callable[[Endpoint, Call, Proving], Awaitable[Answer]]:
    """Answer a call that brings a proof, and nothing else."""

    async def handler(endpoint: Endpoint, call: Call, body: Proving) -> Answer:
        proof = _proof(body.proof)
        if proof is None:
            return MALFORMED
        return _said(await act(endpoint.door, call, body.token, proof, endpoint.clock()))

    return handler


async def _begin(endpoint: Endpoint, call: Call, body: EvidenceBegin) -> Answer:
    question = await endpoint.door.begin(call, body.case_id, _MEANS[body.type], endpoint.clock())
    return question if isinstance(question, words.Refused) else _asked(question, of_case=True)


async def _status(endpoint: Endpoint, call: Call, body: InCase) -> Answer:
    return _said(await endpoint.door.say(call, body.case_id, words.Look(call.key)))


async def _devices(endpoint: Endpoint, call: Call, body: InCase) -> Answer:
    found = await endpoint.door.devices(call, body.case_id)
    return found if isinstance(found, words.Refused) else Devices(devices=tuple(map(_device, found)))


def _device(seen: DeviceSeen) -> Device:
    return Device(id=seen.id, kind=seen.kind, used=seen.used)


async def _extend(endpoint: Endpoint, call: Call, body: InCase) -> Answer:
    reply = await endpoint.door.say(call, body.case_id, words.Extend(call.key))
    return (
        State(state=reply.state, hold_until=_time(reply.until))
        if isinstance(reply, words.Moved)
        else _said(reply)
    )


async def _lift(endpoint: Endpoint, call: Call, body: InCase) -> Answer:
    reply = await endpoint.door.say(call, body.case_id, words.AskLift(call.key))
    if not isinstance(reply, words.Moved):
        return _said(reply)
    if reply.state == "normal":
        return State(state=reply.state, immunity_until=_time(reply.until))
    return State(state=reply.state, takes_effect_at=_time(reply.until))


async def _cancel(endpoint: Endpoint, call: Call, body: InCase) -> Answer:
    return _said(await endpoint.door.say(call, body.case_id, words.Withdraw(call.key)))


async def _recover(endpoint: Endpoint, call: Call, body: RecoveryStart) -> Answer:
    reply = await endpoint.door.say(call, body.case_id, words.Recover(call.key, body.path))
    if not isinstance(reply, words.Moved):
        return _said(reply)
    return State(state=reply.state, message="We write to your safe addresses when you can continue.")


async def _contest(endpoint: Endpoint, call: Call, body: Contest) -> Answer:
    return _said(await endpoint.door.say(call, body.case_id, words.Dispute(key=call.key, lift=body.lift)))


async def _redeem(endpoint: Endpoint, call: Call, body: Redeem) -> Answer:
    right = await endpoint.restoring.redeem(call, body.continuation_token, endpoint.clock())
    if isinstance(right, words.Refused):
        return right
    return Redeemed(continuation_token=right.token, expires_in=int(right.expires_in.total_seconds()))


async def _register_begin(endpoint: Endpoint, call: Call, body: RegisterBegin) -> Answer:
    means = _MEANS[body.method]
    reads = {Means.EMAIL: identifiers.email, Means.SMS: identifiers.phone}
    target = reads[means](body.target) if means in reads else None
    if (target is None) == (means in reads) or (means not in reads and body.target):
        return MALFORMED_TARGET
    question = await endpoint.restoring.begin(call, body.continuation_token, means, target, endpoint.clock())
    if isinstance(question, Question):
        return _asked(question, of_case=False)
    if not isinstance(question, tuple):
        return question
    token, making = question
    return Challenged(
        continuation_token=token,
        expires_in=int(asked.LIFETIME.total_seconds()),
        challenge_type="webauthn",
        public_key=ceremonies.creation(making, ceremonies.TIMEOUT),
    )


async def _register_finish(endpoint: Endpoint, call: Call, body: RegisterFinish) -> Answer:
    proof = _proof(body.proof)
    if proof is None:
        return MALFORMED
    done = await endpoint.restoring.finish(call, body.continuation_token, proof, body.name, endpoint.clock())
    return Registered(registered=WORDS.get(done, done.value)) if isinstance(done, Means) else done


class Route(Struct, frozen=True, kw_only=True):
    """One operation."""

    path: str
    handler: Callable[[Endpoint, Call, Any], Awaitable[Answer]]
    summary: str
    body: type[Body]
    answer: type[Struct]
    is_signed: bool = True
    """It bears a proof of possession of the claim key."""
    status: int = 200


def _route(
    name: str, handler: Any, summary: str, body: type[Body], answer: type[Struct], **more: Any
) -> Route:
    return Route(path=PREFIX + name, handler=handler, summary=summary, body=body, answer=answer, **more)


ROUTES: Final = (
    _route(
        "report",
        _report,
        "Say that a device is lost, without a proof",
        Report,
        Nothing,
        is_signed=False,
        status=202,
    ),
    _route("start", _start, "Begin, or join", Start, Started, is_signed=False),
    _route("challenge", _challenge, "Ask for a proof", Challenge, Challenged),
    _route("contain", _contain, "Hold the account", Contain, Held),
    _route("status", _status, "How it stands", InCase, Status),
    _route("devices", _devices, "What can be named as lost", InCase, Devices),
    _route("extend", _extend, "Hold it longer, once", InCase, State),
    _route("lift", _lift, "It was a false alarm", InCase, State),
    _route("cancel", _cancel, "Give up one's own claim", InCase, State),
    _route("evidence/begin", _begin, "Ask for an item of evidence", EvidenceBegin, Challenged),
    _route("evidence/finish", _shows(Door.add), "Add it", EvidenceFinish, Accepted),
    _route("recovery/start", _recover, "Begin to wait", RecoveryStart, State),
    _route("recovery/complete", _shows(Door.complete), "Have the account back", EvidenceFinish, Restored),
    _route("recovery/redeem", _redeem, "Use up the ticket of a recovery", Redeem, Redeemed),
    _route("recovery/register/begin", _register_begin, "Ask to register a method", RegisterBegin, Challenged),
    _route("recovery/register/finish", _register_finish, "Register it", RegisterFinish, Registered),
    _route("object", _shows(Door.object), "Object to a recovery", Shown, Nothing),
    _route("contest", _contest, "Contest a recovery", Contest, State),
    _route("undo", _shows(Door.undo), "Take a recovery back", Shown, State),
)
METHODS: Final[Mapping[str, tuple[str, ...]]] = {route.path: ("POST",) for route in ROUTES}
"""Every endpoint here, and the methods it takes."""
_ROUTES = {route.path: route for route in ROUTES}
