"""
What must come of each call, worked out a second time from the specifications alone.

Keeps its own record of what has truly been proven, and by it says which answers a call may get. It shares no rule with
the engine: phases are those of native-auth-v1 1.8, factors those of conditional-access 6, limits those of 10.5 and
OTP-12. Where the moment is too near a limit of time to say, both answers are allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import jwt

from tests.attacks import envelope
from tests.attacks.journeys import (
    CHALLENGE,
    GRANT_ERRORS,
    INTROSPECT,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
    REGISTER_INTROSPECT,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    STARTS,
    TOKEN,
)
from tests.attacks.target import Target
from tests.server import Reply

# The specification's own tables. --------------------------------------------------------------------

LEGAL: Mapping[str, frozenset[tuple[str, str]]] = {
    "SI.init": frozenset({(CHALLENGE, "")}),
    "SI.oob": frozenset({(TOKEN, "oob"), (CHALLENGE, "")}),
    "SI.pwd": frozenset({(TOKEN, "password"), (CHALLENGE, "")}),
    "SI.done": frozenset({(TOKEN, "continuation_token")}),
    "MFA.required": frozenset({(INTROSPECT, ""), (CHALLENGE, "")}),
    "MFA.oob": frozenset({(TOKEN, "mfa_oob"), (TOKEN, "oob"), (CHALLENGE, ""), (INTROSPECT, "")}),
    "REG.required": frozenset({(REGISTER_INTROSPECT, ""), (REGISTER_CHALLENGE, "")}),
    "REG.oob": frozenset({(REGISTER_CONTINUE, "oob"), (REGISTER_CHALLENGE, "")}),
    "REG.pre": frozenset({(REGISTER_CONTINUE, "continuation_token"), (REGISTER_CHALLENGE, "")}),
    "REG.done": frozenset({(TOKEN, "continuation_token")}),
    "SU.init": frozenset({(SIGNUP_CHALLENGE, ""), (SIGNUP_CONTINUE, "attributes")}),
    "SU.oob": frozenset({(SIGNUP_CONTINUE, "oob"), (SIGNUP_CONTINUE, "attributes"), (SIGNUP_CHALLENGE, "")}),
    "SU.cred": frozenset({(SIGNUP_CHALLENGE, "")}),
    "SU.pwd": frozenset({(SIGNUP_CONTINUE, "password"), (SIGNUP_CHALLENGE, "")}),
    "SU.attr": frozenset({(SIGNUP_CONTINUE, "attributes")}),
    "SU.done": frozenset({(TOKEN, "continuation_token")}),
    "RP.init": frozenset({(RESET_CHALLENGE, "")}),
    "RP.oob": frozenset({(RESET_CONTINUE, "oob"), (RESET_CHALLENGE, "")}),
    "RP.verified": frozenset({(RESET_SUBMIT, "")}),
    "RP.done": frozenset({(TOKEN, "continuation_token"), (RESET_POLL, "")}),
}
"""Phase → the calls that it allows (native-auth-v1 1.8): (endpoint, grant)."""

GRANTED = frozenset({TOKEN, SIGNUP_CONTINUE, RESET_CONTINUE, REGISTER_CONTINUE})
"""Endpoints whose `grant_type` says what is done."""

CODE_LIFE = timedelta(minutes=5)
IDLE = timedelta(minutes=10)
LIFETIME = timedelta(minutes=30)
TRIES = 5
GUESSES = ((10, timedelta(hours=1)), (30, timedelta(days=1)))
"""At codes of one method of an account."""
OF_ONE_PASSWORD = ((20, timedelta(hours=1)),)
PATIENCE = 6
"""So many wrong passwords in a row, then one after each wait, which doubles from half a minute to an hour."""
YOUNG = timedelta(hours=24)
REFRESH_LIFE = timedelta(hours=24)
COOLED = timedelta(hours=12)
REPEAT = timedelta(seconds=10)
UNSURE = timedelta(seconds=3)
CODE_LENGTH = 8
REMEMBERED = 5

Control = Literal["mfa", "block", "strong"]
POLICIES: Mapping[str, tuple[tuple[str, Control, bool], ...]] = {
    "demo": (("api", "mfa", True),),
    "none": (),
    "mfa for all": (("all", "mfa", True),),
    "block the api": (("api", "block", True),),
    "block all": (("all", "block", True), ("api", "mfa", True)),
    "report only": (("all", "block", False), ("api", "mfa", False)),
    "strong for the api": (("api", "strong", True),),
    "strong for all": (("all", "strong", True), ("api", "mfa", True)),
}
"""Name → (what it is for, what it wants, whether it is enforced). `strong` is a password and a text message."""


class Broken(AssertionError):
    """The server did what it must not."""


# What is so. ----------------------------------------------------------------------------------------


@dataclass(eq=False)
class Method:
    """A second factor of an account."""

    kind: str
    place: str
    since: datetime
    id: str = ""


@dataclass(eq=False)
class Account:
    address: str
    by_password: bool
    created_at: datetime
    passwords: list[str] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    epoch: int = 0
    oid: str = ""

    @property
    def places(self) -> set[str]:
        """Where its owner is told of every change (SSPR-04, ENR-03)."""
        return {self.address, *(method.place for method in self.methods)}


@dataclass(eq=False)
class Code:
    """A code that was sent, and to whom."""

    text: str
    to: str
    sent_at: datetime


@dataclass(eq=False, kw_only=True)
class Proven:
    """What somebody has proven, in a flow or for a grant."""

    account: Account | None = None
    purpose: str = "SI"
    first: tuple[str, str] | None = None
    """Kind and place; a password has no place."""
    seconds: list[tuple[str, str]] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    """Mailboxes and numbers to which a code was proven."""
    reset_by: str = ""
    """The mailbox of the code that allowed a reset."""

    @property
    def spent(self) -> set[str]:
        return {self.reset_by, self.first[1] if self.first else ""} - {""}


@dataclass(eq=False, kw_only=True)
class Flow(Proven):
    client: str
    address: str
    offers: set[str]
    capabilities: set[str]
    phase: str
    created_at: datetime
    active_at: datetime
    epoch: int = 0
    tokens: list[tuple[str, int]] = field(default_factory=list)
    """Every token given out, with how much was proven by then."""
    proofs: int = 0
    live: Code | None = None
    codes: list[Code] = field(default_factory=list)
    kind: str = ""
    """Of the challenge that stands."""
    place: str = ""
    method: Method | None = None
    failures: int = 0
    new_password: str = ""
    named: bool = False
    """The required attribute was handed in."""
    wants: str = ""
    """What tokens are for: `api` or `plain`; empty before it was said."""
    over: bool = False


@dataclass(eq=False, kw_only=True)
class Grant(Proven):
    client: str
    wants: str
    chain: list[str]
    """Refresh tokens, the live one last."""
    created_at: datetime
    rotated_at: datetime
    epoch: int
    revoked: bool = False


@dataclass
class Call:
    """A request, and whose token it carries."""

    path: str
    client: str
    form: dict[str, str]
    flow: Flow | None = None
    proofs: int = -1
    grant: Grant | None = None
    place: int = -1
    """Which refresh token of the grant's chain, counted from the live one."""
    malformed: bool = False
    """Something is wrong with it whatever the flow: any error will do."""


Update = Callable[[Reply], None]
Expected = dict[str, Update]

NO_METHOD = "invalid_grant//50079"
BLOCKED = "invalid_grant/message_only/53003"
WRONG_CODE = "invalid_grant/invalid_oob_value/50181"
WRONG_PASSWORD = "invalid_grant//50126"
EXPIRED = "expired_token//552003"
TOO_MANY = ("invalid_request//701014", "invalid_request//50088")
ANY_ERROR = "any error"


def bad(path: str) -> str:
    return f"{'invalid_grant' if path in GRANT_ERRORS else 'invalid_request'}//55200"


def label(reply: Reply) -> str:
    """The kind of answer, in one word."""
    body = reply.body
    if "error" in body:
        return f"{body['error']}/{body.get('suberror', '')}/{body['error_codes'][0]}"
    for word in ("access_token", "methods", "poll_interval", "status", "expires_in"):
        if word in body:
            return word
    return str(body.get("challenge_type", "token"))


def nothing(_: Reply) -> None:
    """Nothing has changed."""


class Oracle:
    """Asks the target, and fails when an answer is not one that it may give."""

    def __init__(self, target: Target, tenant_id: str, api_id: str, now: Callable[[], datetime]) -> None:
        self.target = target
        self.now = now
        self.tenant_id = tenant_id
        self.api_id = api_id
        self.policies = "demo"
        self.sms_enabled = True
        self.accounts: dict[str, Account] = {}
        self.flows: list[Flow] = []
        self.grants: list[Grant] = []
        self.guesses: dict[tuple[int | str, str], list[datetime]] = {}
        self._perhaps: dict[tuple[int | str, str], list[datetime]] = {}
        """Guesses of which nobody can say whether they were within the limits, and so whether they were counted."""
        self._awaited: list[tuple[str, str]] = []
        """Messages that are due: to whom, and for what."""
        newest = target.get("/dev/inbox/messages", limit="1")["messages"]
        self._last_message = newest[0]["id"] if newest else ""
        keys = target.get("/dev/discovery/v2.0/keys")
        self._keys = {k["kid"]: jwt.PyJWK(k) for k in keys["keys"]}

    # Asking. ----------------------------------------------------------------------------------------

    def ask(self, call: Call) -> Reply:
        """Make a call, and hold the answer against what it may be."""
        expected = self.expect(call)
        reply = self.target.post(call.path, None, client_id=call.client, **call.form)
        self.learn(call, expected, reply)
        return reply

    def learn(self, call: Call, expected: Expected, reply: Reply) -> None:
        envelope.check(reply)
        word = label(reply)
        if word in expected:
            expected[word](reply)
        elif not (ANY_ERROR in expected and reply.status == 400 and not reply.token):
            raise Broken(f"{call} was answered {reply.body}, and not {sorted(expected)}")
        if reply.token and reply.token == call.form.get("continuation_token"):
            raise Broken("the answer carries the request's own token")

    # Time. ------------------------------------------------------------------------------------------

    def _before(self, end: datetime) -> bool | None:
        """Say whether it is before a moment; None when that is too near to say."""
        left = end - self.now()
        return None if abs(left) < UNSURE else left > timedelta(0)

    def _is_alive(self, flow: Flow) -> bool | None:
        return self._before(min(flow.active_at + IDLE, flow.created_at + LIFETIME))

    def _may_guess(self, key: tuple[int | str, str]) -> bool | None:
        """
        Say whether one more guess at this method is within the limits (OTP-12, THR-04).

        None where that depends on whether earlier ones were counted: each that was makes it later, never sooner.
        """
        sure = self.guesses.get(key, [])
        least, most = (
            self._allows(key, spent) for spent in (sure, sorted([*sure, *self._perhaps.get(key, [])]))
        )
        return least if least == most else None

    def _allows(self, key: tuple[int | str, str], spent: list[datetime]) -> bool | None:
        if key[1] == "text":
            return self._is_within(spent, OF_ONE_PASSWORD)
        if key[1] != "password":
            return self._is_within(spent, GUESSES)
        if len(spent) < PATIENCE:
            return True
        wait = min(timedelta(seconds=30) * 2 ** (len(spent) - PATIENCE), timedelta(hours=1))
        waits = self._before(spent[-1] + wait)
        return None if waits is None else not waits

    def _spend(self, key: tuple[int | str, str], counted: bool | None) -> None:
        """One more guess was made; None: perhaps it was not counted."""
        if counted is not False:
            kept = self.guesses if counted else self._perhaps
            kept.setdefault(key, []).append(self.now())

    def _forgive(self, key: tuple[int | str, str]) -> None:
        """A right proof ends the row."""
        self.guesses.pop(key, None)
        self._perhaps.pop(key, None)

    def _is_within(self, spent: list[datetime], windows: tuple[tuple[int, timedelta], ...]) -> bool | None:
        answers: list[bool | None] = []
        for count, span in windows:
            inside = [self._before(at + span) for at in spent]
            if sum(i is not False for i in inside) < count:
                answers.append(True)
            elif sum(i is True for i in inside) >= count:
                answers.append(False)
            else:
                answers.append(None)
        return False if False in answers else None if None in answers else True

    # Policy. ----------------------------------------------------------------------------------------

    def outcome(self, who: Proven, wants: str) -> str:
        """What the policies want of this person for these tokens: conditional-access 5 and 6."""
        controls = {
            control
            for what, control, enforced in POLICIES[self.policies]
            if enforced and (what == "all" or wants == "api")
        }
        if "block" in controls:
            return "blocked"
        if "strong" in controls and not self._could_be_strong(who):
            return "blocked"
        is_strong = self._is_strong(who, who.seconds)
        if ("mfa" not in controls or self._counted(who)) and ("strong" not in controls or is_strong):
            return "allow"
        if self.usable(who, strong="strong" in controls):
            return "mfa"
        if self.registrable(who, strong="strong" in controls):
            return "register"
        return "blocked" if "strong" in controls else "no_method"

    def _counted(self, who: Proven) -> list[tuple[str, str]]:
        """The second factors: of another kind than the first, and at a place that has not counted yet."""
        assert who.first is not None
        return [(k, p) for k, p in who.seconds if k != who.first[0] and p not in who.spent]

    def _is_strong(self, who: Proven, seconds: Iterable[tuple[str, str]]) -> bool:
        assert who.first is not None
        return who.first[0] == "password" and any(kind == "sms" for kind, _ in seconds)

    def _could_be_strong(self, who: Proven) -> bool:
        kinds = [m.kind for m in self.usable(who)] + self.registrable(who)
        return self._is_strong(who, [*self._counted(who), *((k, "") for k in kinds)])

    def _enabled(self, kind: str) -> bool:
        return self.sms_enabled or kind != "sms"

    def usable(self, who: Proven, strong: bool = False) -> list[Method]:
        assert who.first is not None
        assert who.account is not None
        found = [
            m
            for m in who.account.methods
            if m.kind != who.first[0] and m.place not in who.spent and self._enabled(m.kind)
        ]
        if strong:
            found = [m for m in found if self._is_strong(who, [(m.kind, "")])]
        return sorted(found, key=lambda m: (m.kind != "sms", m.since))

    def registrable(self, who: Proven, strong: bool = False) -> list[str]:
        assert who.first is not None
        assert who.account is not None
        if any((m.kind, m.place) != who.first for m in who.account.methods):
            return []
        kinds = [
            kind
            for kind in ("sms", "email")
            if kind != who.first[0]
            and self._enabled(kind)
            and (kind == "email" or self._is_anywhere_open(who) is not False)
        ]
        return [k for k in kinds if not strong or self._is_strong(who, [(k, "")])]

    def _is_anywhere_open(self, who: Proven) -> bool | None:
        """ENR-02: the account is young, or a code to its address was proven in this very flow."""
        assert who.account is not None
        if who.account.address in who.places:
            return True
        return self._before(who.account.created_at + YOUNG)

    def _is_open(self, who: Proven, kind: str, place: str) -> bool | None:
        assert who.account is not None
        if (
            kind not in self.registrable(who)
            or place in who.spent
            or (kind == "sms") != place.startswith("+")
        ):
            return False
        anywhere = self._is_anywhere_open(who)
        return True if kind == "email" and place == who.account.address else anywhere

    # What a call may be answered. -------------------------------------------------------------------

    def expect(self, call: Call) -> Expected:
        if call.malformed:
            return {ANY_ERROR: nothing}
        if call.client not in (self.target.otp_app, self.target.password_app):
            return {ANY_ERROR: nothing}
        if call.path in STARTS:
            return self._expect_start(call)
        grant = call.form.get("grant_type", "") if call.path in GRANTED else ""
        if call.path == TOKEN and grant == "refresh_token":
            return self._expect_refresh(call)
        flow = call.flow
        refused: Expected = {bad(call.path): nothing}
        if flow is None or flow.client != call.client or flow.proofs != call.proofs or flow.over:
            return refused
        if flow.account is not None and flow.epoch != flow.account.epoch:
            return refused
        alive = self._is_alive(flow)
        if (call.path, grant) not in LEGAL[flow.phase]:
            # Where the kind of proof does not fit there may be a word for that; and an end may be told, too.
            return refused | dict.fromkeys(
                ("invalid_grant//400002", "invalid_grant//55200", *([] if alive else [EXPIRED])), nothing
            )
        if alive is False:
            return {EXPIRED: nothing}
        expected = self._expect_legal(call, flow, grant)
        return expected if alive else expected | {EXPIRED: nothing}

    def _expect_start(self, call: Call) -> Expected:
        form, path = call.form, call.path
        address = form["username"].strip().lower()
        account = self.accounts.get(address)
        offers = set(form["challenge_type"].split())
        sign_up_by_password = call.client == self.target.password_app
        if path == SIGNUP_START:
            purpose = "SU"
            if account is not None:
                return {"user_already_exists//1003037": nothing}
            if not offers >= ({"oob", "password"} if sign_up_by_password else {"oob"}):
                return {"redirect": nothing}
            if sign_up_by_password and form.get("password") and not _is_good(form["password"]):
                return {"invalid_grant/password_too_short/399246": nothing}
        elif path == RESET_START:
            purpose = "RP"
            if "oob" not in offers:
                return {"redirect": nothing}
            if account is None:
                return {"user_not_found//50034": nothing}
            if not account.by_password:
                return {"invalid_request//500222": nothing}
        else:
            purpose = "SI"
            if account is None:
                return {"user_not_found//50034": nothing}
            if ("password" if account.by_password else "oob") not in offers:
                return {"redirect": nothing}
        now = self.now()
        flow = Flow(
            purpose=purpose,
            client=call.client,
            address=address,
            offers=offers,
            capabilities=set(form.get("capabilities", "").split()),
            phase=f"{purpose}.init",
            created_at=now,
            active_at=now,
            account=account if purpose != "SU" else None,
            epoch=account.epoch if account else 0,
        )
        if purpose == "SU" and sign_up_by_password:
            flow.new_password = form.get("password", "")
            flow.named = _names(form.get("attributes", ""))

        def begun(reply: Reply) -> None:
            self.flows.append(flow)
            self._goes_on(flow, flow.phase)(reply)

        return {"token": begun}

    def _goes_on(self, flow: Flow, phase: str) -> Update:
        """The flow stands there now, and its idle time begins anew."""

        def update(reply: Reply) -> None:
            flow.phase = phase
            flow.active_at = self.now()
            self._keep_token(flow, reply)

        return update

    def _keep_token(self, flow: Flow, reply: Reply) -> None:
        if not reply.token:
            raise Broken(f"an answer that goes on has no token: {reply.body}")
        flow.tokens.append((reply.token, flow.proofs))

    def _ends(self, flow: Flow) -> Update:
        def update(_: Reply) -> None:
            flow.over = True

        return update

    def _expect_legal(self, call: Call, flow: Flow, grant: str) -> Expected:
        match call.path:
            case "/oauth2/v2.0/challenge" if flow.phase.startswith("SI."):
                return self._challenge_first(call, flow)
            case "/oauth2/v2.0/challenge":
                return self._challenge_second(call, flow)
            case "/oauth2/v2.0/introspect":
                return self._list_methods(call, flow)
            case "/signup/v1.0/challenge" if flow.phase in ("SU.cred", "SU.pwd"):
                return {"password": self._goes_on(flow, "SU.pwd")}
            case "/signup/v1.0/challenge":
                return self._sends(flow, "SU.oob", "email", flow.address, None, "sign_up")
            case "/resetpassword/v1.0/challenge":
                return self._sends(flow, "RP.oob", "email", self._reset_place(flow), None, "reset_password")
            case "/signup/v1.0/continue" if grant == "attributes":
                return self._supply(call, flow)
            case "/signup/v1.0/continue" if grant == "password":
                return self._set_first_password(call, flow)
            case "/signup/v1.0/continue" | "/resetpassword/v1.0/continue":
                return self._prove_code(call, flow, lambda: self._verified(flow))
            case "/resetpassword/v1.0/submit":
                return self._submit(call, flow)
            case "/resetpassword/v1.0/poll_completion":
                return {"status": self._shows(flow)}
            case "/register/v1.0/introspect":
                return self._list_kinds(call, flow)
            case "/register/v1.0/challenge":
                return self._register(call, flow)
            case "/register/v1.0/continue" if grant == "continuation_token":
                return self._enrolled(flow, call.path)
            case "/register/v1.0/continue":
                return self._prove_code(call, flow, lambda: self._enrolled(flow, call.path))
        if grant == "continuation_token":
            return self._resume(call, flow)
        if grant == "password":
            return self._prove_password(call, flow)
        return self._prove_code(call, flow, lambda: self._factor_proven(call, flow))

    def _shows(self, flow: Flow) -> Update:
        return lambda reply: self._keep_token(flow, reply)

    # Challenges. ------------------------------------------------------------------------------------

    def _challenge_first(self, call: Call, flow: Flow) -> Expected:
        assert flow.account is not None
        offers = set(call.form["challenge_type"].split()) if "challenge_type" in call.form else flow.offers
        by_password = flow.account.by_password
        if ("password" if by_password else "oob") not in offers:
            return {"redirect": self._ends(flow)}

        def put(reply: Reply) -> None:
            flow.offers, flow.live = offers, None
            self._goes_on(flow, "SI.pwd")(reply)

        if by_password:
            return {"password": put}
        return self._sends(flow, "SI.oob", "email", flow.address, None, "sign_in", offers)

    def _challenge_second(self, call: Call, flow: Flow) -> Expected:
        if self.outcome(flow, flow.wants) != "mfa":
            return self._rerouted(flow, call.path)
        usable = self.usable(flow, strong=self._wants_strong(flow))
        wanted = call.form.get("id")
        if wanted:
            chosen = next((m for m in usable if m.id == wanted), None)
        elif flow.phase == "MFA.oob":
            chosen = flow.method if flow.method in usable else None
        elif len(usable) > 1:
            return {"invalid_request/introspect_required/90023": nothing}
        else:
            chosen = usable[0]
        if chosen is None:
            return {"invalid_request//901001": nothing}
        offers = set(call.form["challenge_type"].split()) if "challenge_type" in call.form else None
        return self._sends(flow, "MFA.oob", chosen.kind, chosen.place, chosen, "mfa", offers)

    def _wants_strong(self, flow: Flow) -> bool:
        return any(
            control == "strong" and enforced and (what == "all" or flow.wants == "api")
            for what, control, enforced in POLICIES[self.policies]
        )

    def _list_methods(self, call: Call, flow: Flow) -> Expected:
        if self.outcome(flow, flow.wants) != "mfa":
            return self._rerouted(flow, call.path)
        usable = self.usable(flow, strong=self._wants_strong(flow))

        def listed(reply: Reply) -> None:
            shown = reply["methods"]
            if [m["challenge_channel"] for m in shown] != [m.kind for m in usable]:
                raise Broken(f"{shown} was shown, and usable are {usable}")
            for entry, method in zip(shown, usable, strict=True):
                if method.id not in ("", entry["id"]):
                    raise Broken("a method has changed its id")
                method.id = entry["id"]
            self._keep_token(flow, reply)

        return {"methods": listed}

    def _list_kinds(self, call: Call, flow: Flow) -> Expected:
        if self.outcome(flow, flow.wants) != "register":
            return self._rerouted(flow, call.path)
        kinds = self.registrable(flow, strong=self._wants_strong(flow))

        def listed(reply: Reply) -> None:
            if [m["id"] for m in reply["methods"]] != kinds:
                raise Broken(f"{reply['methods']} was offered, and registrable are {kinds}")
            self._keep_token(flow, reply)

        return {"methods": listed}

    def _register(self, call: Call, flow: Flow) -> Expected:
        if self.outcome(flow, flow.wants) != "register":
            return self._rerouted(flow, call.path)
        place, kind = call.form["challenge_target"], call.form["challenge_channel"]
        refused: Expected = {"invalid_request//901001": nothing}
        is_open = self._is_open(flow, kind, place)
        if self._wants_strong(flow) and kind not in self.registrable(flow, strong=True):
            is_open = False
        if is_open is False:
            return refused
        if flow.purpose == "SU" and place in flow.places:

            def preverified(reply: Reply) -> None:
                flow.kind, flow.place, flow.live = kind, place, None
                self._goes_on(flow, "REG.pre")(reply)

            return {"preverified": preverified}
        expected = self._sends(flow, "REG.oob", kind, place, None, "enrol")
        return expected if is_open else expected | refused

    def _reset_place(self, flow: Flow) -> str:
        """Where a reset's code goes: another mailbox that was registered long enough ago, else the account's."""
        assert flow.account is not None
        for method in flow.account.methods:
            if method.kind == "email" and method.place != flow.address:
                cooling = self._before(method.since + COOLED)
                if cooling is not True:
                    return method.place if cooling is False else ""
        return flow.address

    def _sends(
        self,
        flow: Flow,
        phase: str,
        kind: str,
        place: str,
        method: Method | None,
        purpose: str,
        offers: set[str] | None = None,
    ) -> Expected:
        """A code goes there and nowhere else; or no more are sent for now, and nothing has changed."""

        def sent(reply: Reply) -> None:
            channel = reply["challenge_channel"]
            if channel != kind or reply["code_length"] != CODE_LENGTH:
                raise Broken(f"a code by {channel} of {reply['code_length']} digits")
            shown = reply.body.get("challenge_target_label", "")
            if place and shown == place:
                raise Broken("the label is not masked")
            code = self._arrival(place, purpose)
            flow.kind, flow.place, flow.method = kind, code.to, method
            flow.live = code
            flow.codes.append(code)
            if offers is not None:
                flow.offers = offers
            self._goes_on(flow, phase)(reply)

        return {"oob": sent, **dict.fromkeys(TOO_MANY, nothing)}

    # Proofs. ----------------------------------------------------------------------------------------

    def _guess_key(self, flow: Flow, kind: str) -> tuple[int | str, str]:
        return (id(flow.account) if flow.account else flow.address, kind)

    def _fails(self, flow: Flow, kind: str, *, counted: bool | None) -> Update:
        """One try less; at the limit the flow is over."""

        def update(_: Reply) -> None:
            flow.failures += 1
            self._spend(self._guess_key(flow, kind), counted)
            if flow.failures > TRIES:
                raise Broken("a guess was judged after the last try")
            if flow.failures == TRIES and flow.phase == "MFA.oob":
                assert flow.account is not None
                self._awaited += [(place, "notice") for place in flow.account.places]
            flow.over = flow.over or flow.failures >= TRIES

        return update

    def _prove_code(self, call: Call, flow: Flow, then: Callable[[], Expected]) -> Expected:
        text = call.form["oob"].strip()
        if len(text) != CODE_LENGTH:
            return {WRONG_CODE: nothing}
        may = self._may_guess(self._guess_key(flow, flow.kind))
        if may is False:
            return {WRONG_CODE: self._fails(flow, flow.kind, counted=False)}
        live = flow.live
        wrong: Expected = {WRONG_CODE: self._fails(flow, flow.kind, counted=may)}
        if live is None or live.text != text:
            return wrong
        in_time = self._before(live.sent_at + CODE_LIFE)
        if in_time is False:
            return wrong
        right = self._proving(flow, then)
        return right if in_time and may else right | wrong

    def _prove_password(self, call: Call, flow: Flow) -> Expected:
        assert flow.account is not None
        key, text = self._guess_key(flow, "password"), call.form["password"]
        both = (
            self._may_guess(key),
            self._may_guess((text, "text")),
        )
        may = False if False in both else None if None in both else True
        if may is False:
            return {WRONG_PASSWORD: self._fails(flow, "password", counted=False)}

        def fails(reply: Reply) -> None:
            self._fails(flow, "password", counted=may)(reply)
            self._spend((text, "text"), may)

        if text != flow.account.passwords[-1]:
            return {WRONG_PASSWORD: fails}
        flow.kind, flow.place = "password", ""
        right = self._proving(flow, lambda: self._factor_proven(call, flow))

        def ends_the_row(update: Update) -> Update:
            def updated(reply: Reply) -> None:
                self._forgive(key)
                update(reply)

            return updated

        right = {word: ends_the_row(update) for word, update in right.items()}
        return right if may else right | {WRONG_PASSWORD: fails}

    def _proving(self, flow: Flow, then: Callable[[], Expected]) -> Expected:
        """What may come of a right proof: decided on the flow as it will be, and so it becomes."""
        later = _Later(flow)
        later.apply()
        expected = then()
        wrapped = {word: later.wrap(update) for word, update in expected.items()}
        later.undo()
        return wrapped

    def _verified(self, flow: Flow) -> Expected:
        """The address of a sign-up or reset is proven."""
        flow.places.add(flow.place)
        if flow.purpose == "RP":
            flow.reset_by = flow.place
            return {"expires_in": self._goes_on(flow, "RP.verified")}
        if flow.client == self.target.otp_app:
            flow.first = ("email", flow.address)
        return self._further(flow)

    def _further(self, flow: Flow) -> Expected:
        """What a sign-up still lacks; with nothing lacking, the account (native-auth-v1 6.3)."""
        by_password = flow.client == self.target.password_app
        if by_password and not flow.new_password:
            return {"credential_required//55103": self._goes_on(flow, "SU.cred")}
        if by_password and not flow.named:
            return {"attributes_required//55106": self._goes_on(flow, "SU.attr")}
        if flow.address in self.accounts:
            return {"user_already_exists//1003037": self._ends(flow)}

        def created(reply: Reply) -> None:
            account = Account(flow.address, by_password, self.now())
            if by_password:
                account.passwords.append(flow.new_password)
                flow.first = ("password", "")
            self.accounts[flow.address] = account
            flow.account, flow.epoch = account, 0
            self._goes_on(flow, "SU.done")(reply)

        return {"token": created}

    def _supply(self, call: Call, flow: Flow) -> Expected:
        flow_named = flow.named or _names(call.form["attributes"])
        if flow.phase != "SU.attr":

            def kept(reply: Reply) -> None:
                flow.named = flow_named
                self._goes_on(flow, flow.phase)(reply)

            return {"verification_required//55200": kept}
        before, flow.named = flow.named, flow_named
        expected = self._further(flow)
        flow.named = before

        def naming(update: Update) -> Update:
            def act(reply: Reply) -> None:
                flow.named = flow_named
                update(reply)

            return act

        return {word: naming(update) for word, update in expected.items()}

    def _set_first_password(self, call: Call, flow: Flow) -> Expected:
        given = call.form["password"]
        if not _is_good(given):
            return {"invalid_grant/password_too_short/399246": nothing}
        later = _Later(flow, keep_failures=True)
        later.apply()
        before, flow.new_password = flow.new_password, given
        expected = self._further(flow)
        flow.new_password = before

        def setting(update: Update) -> Update:
            def act(reply: Reply) -> None:
                flow.new_password = given
                update(reply)

            return act

        wrapped = {word: later.wrap(setting(update)) for word, update in expected.items()}
        later.undo()
        return wrapped

    def _submit(self, call: Call, flow: Flow) -> Expected:
        account, given = flow.account, call.form["new_password"]
        assert account is not None
        if not _is_good(given):
            return {"invalid_grant/password_too_short/399246": nothing}
        if given in account.passwords[-REMEMBERED:]:
            return {"invalid_grant/password_recently_used/399246": nothing}

        def replaced(reply: Reply) -> None:
            account.passwords.append(given)
            self._forgive((id(account), "password"))
            account.epoch += 1
            for grant in self.grants:
                grant.revoked = grant.revoked or grant.account is account
            flow.proofs += 1
            flow.failures = 0
            flow.epoch = account.epoch
            flow.first = ("password", "")
            self._awaited += [(place, "notice") for place in account.places]
            self._goes_on(flow, "RP.done")(reply)

        return {"poll_interval": replaced}

    def _factor_proven(self, call: Call, flow: Flow) -> Expected:
        """A first or a second factor is proven, and tokens are asked for in the same breath."""
        if flow.phase.startswith("SI."):
            flow.first = (flow.kind, flow.place)
        else:
            flow.seconds.append((flow.kind, flow.place))
        if flow.place:
            flow.places.add(flow.place)
        flow.wants = flow.wants or _wants(call.form.get("scope", ""))
        return self._tokens_or_more(flow, call)

    def _resume(self, call: Call, flow: Flow) -> Expected:
        named = call.form.get("username")
        if named and named.lower() != flow.address:
            return {"invalid_request//90100": nothing}
        wanted = flow.wants or _wants(call.form.get("scope", ""))
        before, flow.wants = flow.wants, wanted
        expected = self._tokens_or_more(flow, call)
        flow.wants = before

        def wanting(update: Update) -> Update:
            def act(reply: Reply) -> None:
                flow.wants = wanted
                update(reply)

            return act

        return {word: wanting(update) for word, update in expected.items()}

    def _tokens_or_more(self, flow: Flow, call: Call) -> Expected:
        if self.outcome(flow, flow.wants) == "allow":
            return {"access_token": lambda reply: self._issued(flow, reply)}
        return self._rerouted(flow, call.path)

    def _rerouted(self, flow: Flow, path: str) -> Expected:
        """Where policy leads. The token endpoint has words for that; elsewhere the token is not valid any more."""
        match self.outcome(flow, flow.wants):
            case "mfa" if "mfa_required" in flow.capabilities:
                word, phase = "invalid_grant/mfa_required/50076", "MFA.required"
            case "register" if "registration_required" in flow.capabilities:
                word, phase = "invalid_grant/registration_required/50079", "REG.required"
            case "mfa" | "register":
                return {"redirect": self._ends(flow)}
            case "blocked":
                return {BLOCKED: self._ends(flow)}
            case "no_method":
                return {NO_METHOD: self._ends(flow)}
            case _:
                word, phase = "token", f"{flow.purpose}.done"
        if path == TOKEN or (path == REGISTER_CONTINUE and word == "token"):
            return {word: self._goes_on(flow, phase)}

        def moved(_: Reply) -> None:
            flow.phase = phase
            flow.active_at = self.now()

        return {bad(path): moved}

    def _enrolled(self, flow: Flow, path: str) -> Expected:
        """A new method is proven: it is bound if policy still wants it, and counts as second factor."""
        is_pre = flow.phase == "REG.pre"
        if self.outcome(flow, flow.wants) == "register" and self._is_open(flow, flow.kind, flow.place):

            def bound(reply: Reply) -> None:
                assert flow.account is not None
                if is_pre:
                    flow.proofs += 1
                    flow.failures = 0
                self._awaited += [(place, "notice") for place in flow.account.places]
                flow.account.methods.append(Method(flow.kind, flow.place, self.now()))
                flow.seconds.append((flow.kind, flow.place))
                flow.places.add(flow.place)
                self._goes_on(flow, "REG.done")(reply)

            return {"token": bound}
        expected = self._rerouted(flow, path)
        if not is_pre:
            return expected

        def counting(update: Update) -> Update:
            def act(reply: Reply) -> None:
                flow.proofs += 1
                flow.failures = 0
                update(reply)

            return act

        return {word: counting(update) for word, update in expected.items()}

    # Tokens. ----------------------------------------------------------------------------------------

    def _issued(self, flow: Flow, reply: Reply) -> None:
        """Tokens came: they must say what was proven, of whom, and nothing more."""
        assert flow.account is not None
        assert flow.first is not None
        self._check_tokens(flow, flow.client, flow.wants, reply)
        flow.over = True
        now = self.now()
        self.grants.append(
            Grant(
                account=flow.account,
                first=flow.first,
                seconds=list(self._counted(flow)),
                places=set(flow.places),
                client=flow.client,
                wants=flow.wants,
                chain=[reply["refresh_token"]],
                created_at=now,
                rotated_at=now,
                epoch=flow.account.epoch,
            )
        )

    def _check_tokens(self, who: Proven, client: str, wants: str, reply: Reply) -> None:
        account, first, seconds = who.account, who.first, self._counted(who)
        assert account is not None
        assert first is not None
        audience = self.api_id if wants == "api" else "00000002-0000-0000-c000-000000000000"
        claims = self._verified_claims(reply["id_token"], client)
        access = self._verified_claims(reply["access_token"], audience)
        account.oid = account.oid or claims["oid"]
        words = {"password": "pwd", "email": "otp", "sms": "sms"}
        amr = {words[first[0]], *(words[kind] for kind, _ in seconds), *(["mfa"] if seconds else [])}
        for token in (claims, access):
            if token["oid"] != account.oid or token["tid"] != self.tenant_id:
                raise Broken(f"tokens of {token['oid']} for {account.oid}")
            if set(token["amr"]) != amr:
                raise Broken(f"the tokens say {token['amr']}, and {amr} was proven")
        if claims["preferred_username"] != account.address:
            raise Broken(f"tokens of {claims['preferred_username']} for {account.address}")
        if ("Things.Read" in access["scp"].split()) != (wants == "api"):
            raise Broken(f"the scope {access['scp']} for {wants}")
        if wants == "api" and not seconds and "mfa" in {c for _, c, on in POLICIES[self.policies] if on}:
            raise Broken("tokens without a second factor")

    def _verified_claims(self, token: str, audience: str) -> dict[str, Any]:
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims = jwt.decode(token, key, algorithms=["RS256"], audience=audience, options=options)
        made = datetime.fromtimestamp(claims["iat"], UTC)
        if abs(made - self.now()) > UNSURE:
            raise Broken(f"a token of {made} at {self.now()}")
        return dict(claims)

    def _expect_refresh(self, call: Call) -> Expected:
        grant = call.grant
        if grant is None or grant.client != call.client:
            return {"invalid_grant/bad_token/70000": nothing}
        assert grant.account is not None
        if grant.revoked or grant.epoch != grant.account.epoch:
            return {"invalid_grant/bad_token/50173": nothing}
        alive = self._before(grant.created_at + REFRESH_LIFE)
        over: Expected = {"invalid_grant/bad_token/700082": nothing}
        if alive is False:
            return over
        expected = self._expect_renewal(call, grant)
        return expected if alive else expected | over

    def _expect_renewal(self, call: Call, grant: Grant) -> Expected:
        wants = _wants(call.form["scope"]) if call.form.get("scope") else grant.wants
        granted = self._renewal_by_policy(grant, wants, call.place)
        if call.place == 0:
            return granted

        def revoked(_: Reply) -> None:
            grant.revoked = True

        reused: Expected = {"invalid_grant/bad_token/50173": revoked}
        if call.place > 1:
            return reused
        # The token before the live one: the same successor again, but only for ten seconds.
        within = self._before(grant.rotated_at + REPEAT)
        return granted if within else reused if within is False else granted | reused

    def _renewal_by_policy(self, grant: Grant, wants: str, place: int) -> Expected:
        match self.outcome(grant, wants):
            case "allow":

                def renewed(reply: Reply) -> None:
                    self._check_tokens(grant, grant.client, wants, reply)
                    if place == 0:
                        grant.chain.append(reply["refresh_token"])
                        grant.rotated_at = self.now()
                    elif reply["refresh_token"] != grant.chain[-1]:
                        raise Broken("a family with two heads")

                return {"access_token": renewed}
            case "blocked":
                return {BLOCKED: nothing}
        return {"invalid_grant/basic_action/50076": nothing}

    # Messages. --------------------------------------------------------------------------------------

    def _arrival(self, place: str, purpose: str) -> Code:
        """The code that has just been sent, waited for. Whatever else has come must have been due."""
        wanted = (place, purpose)
        self._awaited.append(wanted)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = self._arrivals()
            for message in found:
                if message["purpose"] == purpose and message["to"].lower() == (
                    place or message["to"].lower()
                ):
                    return Code(message["code"], message["to"].lower(), self.now())
            if not found:
                self.target.get("/dev/inbox/wait", after=self._last_message, timeout="1")
        raise Broken(f"no {purpose} code came for {place}")

    def _arrivals(self) -> list[dict[str, Any]]:
        """What has come since, oldest first; each must have been due."""
        found = self.target.get("/dev/inbox/messages", after=self._last_message)["messages"][::-1]
        for message in found:
            due = (message["to"].lower(), message["purpose"])
            anywhere = ("", message["purpose"])
            match = due if due in self._awaited else anywhere if anywhere in self._awaited else None
            if match is None:
                raise Broken(f"a {message['purpose']} message to {message['to']} that nothing had caused")
            self._awaited.remove(match)
            if (message["channel"] == "sms") != message["to"].startswith("+"):
                raise Broken(f"{message['to']} by {message['channel']}")
            self._last_message = message["id"]
        return list(found)

    def settle(self) -> None:
        """Wait for what is still due; nothing else may come."""
        deadline = time.monotonic() + 15
        while self._awaited:
            self._arrivals()
            if time.monotonic() > deadline:
                raise Broken(f"never came: {self._awaited}")
            if self._awaited:
                self.target.get("/dev/inbox/wait", after=self._last_message, timeout="1")
        self._arrivals()


class _Later:
    """A flow as it is after a right proof, tried out and taken back until the answer is there."""

    def __init__(self, flow: Flow, *, keep_failures: bool = False) -> None:
        self.flow = flow
        self.keep_failures = keep_failures
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def apply(self) -> None:
        flow = self.flow
        self.before = {k: _copied(v) for k, v in vars(flow).items()}
        flow.proofs += 1
        flow.live = None
        if not self.keep_failures:
            flow.failures = 0

    def undo(self) -> None:
        self.after = {k: _copied(v) for k, v in vars(self.flow).items()}
        vars(self.flow).update({k: _copied(v) for k, v in self.before.items()})

    def wrap(self, update: Update) -> Update:
        def act(reply: Reply) -> None:
            vars(self.flow).update({k: _copied(v) for k, v in self.after.items()})
            update(reply)

        return act


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | set | dict) else value


def _wants(scope: str) -> str:
    return "api" if "api://" in scope else "plain"


def _names(attributes: str) -> bool:
    return bool(attributes) and bool(json.loads(attributes).get("displayName"))


def _is_good(password: str) -> bool:
    return len(password) >= 8
