"""
No order of calls gives tokens: every endpoint in random order, held against an independent record of what was proven.

Two people, two apps and several flows at once; tokens, ids, codes and scopes are mixed at random: right ones, stale
ones, those of another flow and of somebody else. Policies change in the middle of flows and time passes.
`GENKAN_STEPS=1000000` explores for longer.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from genkan.model import Kind, MethodSettings
from genkan.policy.model import Applications, Conditions, GrantControls, Policy, StrengthReference, Users
from tests.attacks.journeys import (
    CHALLENGE,
    ENDPOINTS,
    INITIATE,
    INTROSPECT,
    NAME,
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
from tests.attacks.oracle import GRANTED, LEGAL, POLICIES, WRONG_PASSWORD, Call, Flow, Oracle, label, nothing
from tests.attacks.target import Inside, Outside, Target, inside
from tests.server import BOTH, Reply, running

STEPS = int(os.environ.get("GENKAN_STEPS", "0"))
"""How many calls to make; 0: as many as fit into CI."""

SHRINK = "GENKAN_SHRINK" in os.environ
"""Look for the shortest way to a failure: it takes minutes."""

MEMORY = Path("/dev/shm")

STEPS_IN_CI = 6000
STEPS_OUTSIDE_IN_CI = 400
PER_EXAMPLE = 60

PASSWORDS = (
    "five calm lanterns by the river",
    "seven brass kettles under a bridge",
    "nine lazy herons near the canal",
)
SECONDS = (*[31] * 8, *[241] * 3, 301, 660, 3700, 13 * 3600, 25 * 3600)

some = st.integers(0, 10**6)


def pick(choices: Any, which: int) -> Any:
    return choices[which % len(choices)]


class Orders(RuleBasedStateMachine):
    """One conversation with the server, in an order that nobody would choose."""

    oracle: ClassVar[Oracle]
    target: ClassVar[Target]
    made: ClassVar[int] = 0
    """Calls of all conversations."""
    seen: ClassVar[Counter[str]] = Counter()
    """What was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.begin_anew()
        world = self.oracle
        self.apps = (world.target.otp_app, world.target.password_app)
        self.people = ("ada@example.com", "bob@example.com", "eve@example.com")
        self.numbers = ("+447912345671", "+447912345672", "+4915112345673", "+33612345674")

    def begin_anew(self) -> None:
        """A tenant as it was seeded."""
        raise NotImplementedError

    def say(self, call: Call) -> Reply:
        type(self).made += 1
        phase = call.flow.phase if call.flow else ""
        reply = self.oracle.ask(call)
        self.seen[f"{phase} {label(reply)}"] += 1
        return reply

    # Beginnings. ------------------------------------------------------------------------------------

    @initialize(further=st.integers(0, 3), old=st.booleans())
    def two_people_have_accounts(self, further: int, old: bool) -> None:
        """One signs in by code, the other with a password; some have a second factor, and some wait for its code."""
        for person, client in zip(self.people, self.apps, strict=False):
            self._begin(SIGNUP_START, client, person, "oob password redirect", BOTH, PASSWORDS[0], NAME)
            self._go_far(self.oracle.flows[-1], 0, "plain")
        if old:
            self.pass_time(25 * 3600)
        for person, client in zip(self.people, self.apps, strict=False):
            if further > 0:
                self._begin(INITIATE, client, person, "oob password redirect", BOTH, "", "")
                self._go_far(self.oracle.flows[-1], further + 1 if client == self.apps[0] else 4, "api")
            if further > 1:
                self._begin(INITIATE, client, person, "oob password redirect", BOTH, "", "")
                self._go_far(self.oracle.flows[-1], 2, "api", 3)

    @rule(
        path=st.sampled_from([INITIATE, INITIATE, SIGNUP_START, RESET_START]),
        who=some,
        app=some,
        types=st.sampled_from(
            ["oob password redirect"] * 4 + ["oob redirect", "password redirect", "redirect"]
        ),
        capabilities=st.sampled_from([BOTH] * 4 + ["", "mfa_required", "registration_required"]),
        password=st.sampled_from(["", PASSWORDS[0], PASSWORDS[1], "short"]),
        attributes=st.sampled_from(["", NAME, '{"city": "London"}']),
    )
    def begins(
        self, path: str, who: int, app: int, types: str, capabilities: str, password: str, attributes: str
    ) -> None:
        self._begin(
            path, pick(self.apps, app), pick(self.people, who), types, capabilities, password, attributes
        )

    def _begin(
        self,
        path: str,
        client: str,
        person: str,
        types: str,
        capabilities: str,
        password: str,
        attributes: str,
    ) -> Reply:
        form = {"username": person, "challenge_type": types, "capabilities": capabilities}
        if path == SIGNUP_START:
            form |= {"password": password, "attributes": attributes}
        return self.say(Call(path, client, {k: v for k, v in form.items() if v}))

    # What an app would say next. --------------------------------------------------------------------

    @property
    def living(self) -> list[Flow]:
        return [f for f in self.oracle.flows if not f.over and f.tokens]

    @precondition(lambda self: self.living)
    @rule(which=some, choice=some, scope=st.sampled_from(["api", "api", "plain"]))
    def goes_on(self, which: int, choice: int, scope: str) -> None:
        self.say(self._next(pick(self.living[-4:], which), choice, scope))

    @precondition(lambda self: self.living)
    @rule(which=some, choice=some, scope=st.sampled_from(["api", "api", "plain"]), steps=st.integers(3, 9))
    def goes_far(self, which: int, choice: int, scope: str, steps: int) -> None:
        self._go_far(pick(self.living[-4:], which), choice, scope, steps)

    def _go_far(self, flow: Flow, choice: int, scope: str, steps: int = 12) -> None:
        for _ in range(steps):
            if not flow.over:
                self.say(self._next(flow, choice, scope))

    def _next(self, flow: Flow, choice: int, scope: str) -> Call:
        """The call that fits where the flow stands."""
        return self._at(flow.phase, flow, choice, scope)

    def _at(self, phase: str, flow: Flow, choice: int, scope: str) -> Call:
        """The call that would fit if the flow stood there."""
        form: dict[str, str] = {}
        path = ""
        code = flow.live.text if flow.live else "00000000"
        wanted = {"scope": self._scope(scope)}
        match phase:
            case "SI.init" | "MFA.required" if phase == "SI.init" or choice % 3:
                path, form = CHALLENGE, self._method(flow, choice)
            case "MFA.required":
                path = INTROSPECT
            case "SI.oob":
                path, form = TOKEN, {"grant_type": "oob", "oob": code, **wanted}
            case "SI.pwd":
                password = (flow.account.passwords if flow.account else [])[-1:]
                path, form = (
                    TOKEN,
                    {"grant_type": "password", "password": (*password, PASSWORDS[0])[0], **wanted},
                )
            case "MFA.oob":
                path, form = TOKEN, {"grant_type": "mfa_oob" if choice % 3 else "oob", "oob": code, **wanted}
            case "REG.required" if choice % 5 == 0:
                path = REGISTER_INTROSPECT
            case "REG.required":
                path, form = REGISTER_CHALLENGE, self._place(flow, choice)
            case "REG.oob":
                path, form = REGISTER_CONTINUE, {"grant_type": "oob", "oob": code}
            case "REG.pre":
                path, form = REGISTER_CONTINUE, {"grant_type": "continuation_token"}
            case "SI.done" | "SU.done" | "RP.done" | "REG.done":
                path, form = TOKEN, {"grant_type": "continuation_token", **wanted}
                if phase == "RP.done" and choice % 4 == 0:
                    path, form = RESET_POLL, {}
            case "SU.init" | "SU.cred":
                path = SIGNUP_CHALLENGE
            case "SU.oob":
                path, form = SIGNUP_CONTINUE, {"grant_type": "oob", "oob": code}
            case "SU.pwd":
                path, form = SIGNUP_CONTINUE, {"grant_type": "password", "password": pick(PASSWORDS, choice)}
            case "SU.attr":
                path, form = SIGNUP_CONTINUE, {"grant_type": "attributes", "attributes": NAME}
            case "RP.init":
                path = RESET_CHALLENGE
            case "RP.oob":
                path, form = RESET_CONTINUE, {"grant_type": "oob", "oob": code}
            case "RP.verified":
                path, form = RESET_SUBMIT, {"new_password": pick(PASSWORDS, choice)}
            case other:
                raise AssertionError(other)
        token, proofs = flow.tokens[-1]
        return Call(path, flow.client, {"continuation_token": token, **form}, flow, proofs)

    def _scope(self, word: str) -> str:
        return {
            "api": self.target.scope,
            "plain": "openid profile offline_access",
            "both": f"openid {self.target.scope} email",
            "unknown": f"{self.target.scope}s",
        }[word]

    def _method(self, flow: Flow, choice: int) -> dict[str, str]:
        known = [m.id for m in flow.account.methods if m.id] if flow.account else []
        return {"id": pick(known, choice)} if known and flow.phase != "SI.init" and choice % 2 else {}

    def _place(self, flow: Flow, choice: int) -> dict[str, str]:
        places = (*self.numbers, flow.address, "spare@example.com", *self.people)
        place = pick(places, choice)
        channel = "sms" if place.startswith("+") else "email"
        return {"challenge_type": "oob", "challenge_target": place, "challenge_channel": channel}

    @precondition(lambda self: self.waiting)
    @rule(which=some, times=st.integers(1, 6), guess=st.integers(0, 99_999_999), resend=st.booleans())
    def guesses(self, which: int, times: int, guess: int, resend: bool) -> None:
        """Wrong answers where a proof is waited for; after the last try the right one comes too late."""
        flow = pick(self.waiting[-4:], which)
        for number in range(times):
            if flow.over:
                self.say(self._next(flow, 1, "api"))
                return
            self._guess(flow, guess + number)
            if resend and number % 2 and not flow.over and flow.live:
                self.pass_time(31)
                self.say(self._again(flow))

    def _again(self, flow: Flow) -> Call:
        """Ask for another code."""
        path = {"SU": SIGNUP_CHALLENGE, "RP": RESET_CHALLENGE, "REG": REGISTER_CHALLENGE}.get(
            flow.phase.partition(".")[0], CHALLENGE
        )
        form = {"challenge_type": "oob", "challenge_target": flow.place, "challenge_channel": flow.kind}
        token, proofs = flow.tokens[-1]
        further = form if path == REGISTER_CHALLENGE else {}
        return Call(path, flow.client, {"continuation_token": token, **further}, flow, proofs)

    def _guess(self, flow: Flow, guess: int) -> None:
        call = self._next(flow, 1, "api")
        call.form["password" if "password" in call.form else "oob"] = f"{guess % 10**8:08d}"
        self.say(call)

    @rule(
        path=st.sampled_from([INITIATE, RESET_START]),
        who=some,
        app=some,
        rounds=st.integers(2, 4),
        guess=some,
    )
    def keeps_guessing(self, path: str, who: int, app: int, rounds: int, guess: int) -> None:
        """Four wrong answers in each of several flows, so that none of them ends; then the right one."""
        for number in range(rounds):
            before = len(self.oracle.flows)
            self._begin(
                path, pick(self.apps, app), pick(self.people, who), "oob password redirect", BOTH, "", ""
            )
            if len(self.oracle.flows) == before:
                return
            flow = self.oracle.flows[-1]
            self.say(self._next(flow, 0, "api"))
            for turn in range(4 if flow in self.waiting else 0):
                self._guess(flow, guess + 4 * number + turn)
        self._go_far(self.oracle.flows[-1], 0, "api", 1)

    @precondition(lambda self: self.waiting)
    @rule(which=some, early=st.booleans())
    def answers_late(self, which: int, early: bool) -> None:
        """The right code before or after its five minutes."""
        flow = pick(self.waiting[-2:], which)
        self.pass_time(241 if early else 301)
        self.say(self._next(flow, 1, "api"))

    @precondition(lambda self: self.living)
    @rule(
        which=some,
        choice=some,
        other=some,
        change=st.sampled_from(["older", "older", "foreign", "app", "code", "turn", "turn", "scope"]),
    )
    def nearly_goes_on(self, which: int, choice: int, other: int, change: str) -> None:
        """The call that fits, with one thing changed: the token, the app, the code, or its turn."""
        flow = pick(self.living[-4:], which)
        call = self._next(flow, choice, "api")
        match change:
            case "older":
                call.form["continuation_token"], call.proofs = pick(flow.tokens, other)
            case "foreign":
                call.flow = pick([f for f in self.oracle.flows if f.tokens], other)
                call.form["continuation_token"], call.proofs = call.flow.tokens[-1]
            case "turn":
                call = self._at(pick(sorted(LEGAL), other), flow, choice, "api")
            case "scope" if call.path == TOKEN:
                call.form["scope"] = self._scope("plain")
            case "app":
                call.client = next(a for a in self.apps if a != flow.client)
            case "code" if "oob" in call.form:
                sent = [code.text for f in self.oracle.flows for code in f.codes]
                call.form["oob"] = pick(sent, other) if sent else "00000000"
        self.say(call)

    @property
    def waiting(self) -> list[Flow]:
        return [
            f
            for f in self.living
            if f.phase in ("SI.oob", "SI.pwd", "MFA.oob", "REG.oob", "SU.oob", "RP.oob")
        ]

    # What an attacker would say. --------------------------------------------------------------------

    @precondition(lambda self: self.oracle.flows)
    @rule(
        which=some,
        other=some,
        path=st.sampled_from([p for p in ENDPOINTS if p not in STARTS]),
        grant=st.sampled_from(
            ["", "oob", "oob", "mfa_oob", "password", "continuation_token", "attributes", "other"]
        ),
        secret=st.sampled_from(["right", "right", "stale", "foreign", "guess", "short", "spaced"]),
        token=st.sampled_from(
            [*["own"] * 8, *["older"] * 3, "foreign", "foreign", "garbage", "cut", "refresh"]
        ),
        app=st.sampled_from([*["own"] * 8, "other", "unknown"]),
        scope=st.sampled_from(["api", "api", "plain", "plain", "both", "both", "", "", "unknown"]),
        choice=some,
    )
    def says_anything(
        self,
        which: int,
        other: int,
        path: str,
        grant: str,
        secret: str,
        token: str,
        app: str,
        scope: str,
        choice: int,
    ) -> None:
        flows = self.oracle.flows if which % 4 == 0 or not self.living else self.living[-4:]
        flow, foreign = pick(flows, which), pick(self.oracle.flows, other)
        form, malformed = self._anything(path, grant, secret, scope, flow, foreign, choice)
        owner: Flow | None = foreign if token == "foreign" else flow
        text, proofs = "gk1." + "A" * 64, -1
        if owner is not None and owner.tokens and token in ("own", "older", "foreign"):
            text, proofs = owner.tokens[-1] if token != "older" else pick(owner.tokens, choice)
        elif token == "cut" and flow.tokens:
            text, owner = flow.tokens[-1][0][:-1], None
        elif token == "refresh" and self.oracle.grants:
            text, owner = pick(self.oracle.grants, choice).chain[-1], None
        else:
            owner = None
        client = {
            "own": flow.client,
            "other": next(a for a in self.apps if a != flow.client),
            "unknown": "aaaaaaaa-0000-4000-8000-00000000ffff",
        }[app]
        form = {"continuation_token": text, **form}
        self.say(Call(path, client, form, owner, proofs, malformed=malformed))

    def _anything(
        self, path: str, grant: str, secret: str, scope: str, flow: Flow, foreign: Flow, choice: int
    ) -> tuple[dict[str, str], bool]:
        """A form for this endpoint, and whether something is wrong with it whatever the flow."""
        form: dict[str, str] = {}
        malformed = False
        if path in GRANTED:
            form["grant_type"] = grant
            lawful = {
                TOKEN: ("oob", "mfa_oob", "password", "continuation_token"),
                SIGNUP_CONTINUE: ("oob", "password", "attributes"),
                RESET_CONTINUE: ("oob",),
                REGISTER_CONTINUE: ("oob", "continuation_token"),
            }[path]
            malformed = grant not in lawful
            if grant in ("oob", "mfa_oob"):
                form["oob"] = self._code(secret, flow, foreign, choice)
            elif grant == "password":
                form["password"] = self._password(secret, flow, foreign)
            elif grant == "attributes":
                form["attributes"] = pick((NAME, "{}", '{"city": "Paris"}'), choice)
        if path == TOKEN:
            if scope:
                form["scope"] = self._scope(scope)
            malformed = malformed or scope == "unknown"
            if choice % 7 == 0:
                form["username"] = pick((flow.address, foreign.address, flow.address.upper()), choice)
        elif path == CHALLENGE:
            ids = ("", "", *self._ids(flow), *self._ids(foreign), "aaaaaaaa-0000-4000-8000-00000000eeee")
            if wanted := pick(ids, choice):
                form["id"] = wanted
            if choice % 4 == 0:
                form["challenge_type"] = pick(("oob redirect", "password redirect", "redirect"), choice)
        elif path == RESET_SUBMIT:
            form["new_password"] = "short" if secret == "short" else pick(PASSWORDS, choice)
        elif path == REGISTER_CHALLENGE:
            form |= self._place(foreign if choice % 3 == 0 else flow, choice)
        return form, malformed

    def _ids(self, flow: Flow) -> list[str]:
        return [m.id for m in flow.account.methods if m.id] if flow.account else []

    def _code(self, secret: str, flow: Flow, foreign: Flow, choice: int) -> str:
        right = flow.live.text if flow.live else "00000000"
        match secret:
            case "right":
                return right
            case "stale":
                return str(pick(flow.codes, choice).text) if flow.codes else "11111111"
            case "foreign":
                return str(pick(foreign.codes, choice).text) if foreign.codes else "22222222"
            case "short":
                return right[:7]
            case "spaced":
                return f" {right} "
        return f"{choice:08d}"

    def _password(self, secret: str, flow: Flow, foreign: Flow) -> str:
        own = flow.account.passwords if flow.account and flow.account.passwords else [PASSWORDS[0]]
        match secret:
            case "right":
                return own[-1]
            case "stale":
                return own[0]
            case "foreign":
                return (
                    foreign.account.passwords[-1]
                    if foreign.account and foreign.account.passwords
                    else PASSWORDS[2]
                )
            case "short":
                return "short"
        return "a guess that is wrong"

    @precondition(lambda self: self.oracle.grants)
    @rule(
        which=some,
        place=st.sampled_from([*[0] * 8, *[1] * 4, 2]),
        app=st.sampled_from([*["own"] * 8, "other"]),
        scope=st.sampled_from(["", "api", "plain"]),
    )
    def refreshes(self, which: int, place: int, app: str, scope: str) -> None:
        grant = pick(self.oracle.grants, which)
        place = min(place, len(grant.chain) - 1)
        form = {"grant_type": "refresh_token", "refresh_token": grant.chain[-1 - place]}
        if scope:
            form["scope"] = self._scope(scope)
        client = grant.client if app == "own" else next(a for a in self.apps if a != grant.client)
        self.say(Call(TOKEN, client, form, grant=grant, place=place))

    # The world. -------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: int) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: int) -> None:
        self.target.advance(seconds)

    def teardown(self) -> None:
        self.oracle.settle()


# In this process. -----------------------------------------------------------------------------------


def documents(name: str, api: str) -> tuple[Policy, ...]:
    """The policies of that name, as an administrator would store them."""
    found = []
    for number, (what, control, enforced) in enumerate(POLICIES[name]):
        controls = (
            GrantControls(
                operator="OR",
                authentication_strength=StrengthReference(id="00000000-0000-0000-0000-000000000002"),
            )
            if control == "strong"
            else GrantControls(operator="OR", built_in_controls=(control,))
        )
        found.append(
            Policy(
                id=f"aaaaaaaa-0000-4000-8000-0000000000d{number}",
                display_name=f"{name} {number}",
                state="enabled" if enforced else "enabledForReportingButNotEnforced",
                conditions=Conditions(
                    applications=Applications(include_applications=("All" if what == "all" else api,)),
                    users=Users(include_users=("All",)),
                ),
                grant_controls=controls,
            )
        )
    return tuple(found)


class OrdersInside(Orders):
    """The same where policies can be changed, and two calls can be under way at once."""

    application: ClassVar[Inside]

    def begin_anew(self) -> None:
        here = self.application
        here.run(here.development.reset())
        type(self).oracle = Oracle(here, here.told.tenant_id, here.told.api["client_id"], here.now)

    @rule(
        name=st.sampled_from([*POLICIES, "demo", "demo", "demo"]),
        sms=st.sampled_from([True, True, True, False]),
    )
    def policies_change(self, name: str, sms: bool) -> None:
        here = self.application
        store = here.development._store
        changed = replace(
            store.directory(),
            policies=documents(name, here.told.api["client_id"]),
            methods={Kind.EMAIL_OTP: MethodSettings(), Kind.SMS_OTP: MethodSettings(enabled=sms)},
        )
        here.run(store.replace_directory(changed))
        self.oracle.policies, self.oracle.sms_enabled = name, sms

    @precondition(lambda self: self.living)
    @rule(which=some, choice=some, scope=st.sampled_from(["api", "plain"]))
    def says_the_same_twice_at_once(self, which: int, choice: int, scope: str) -> None:
        call = self._next(pick(self.living, which), choice, scope)
        if call.path in (CHALLENGE, SIGNUP_CHALLENGE, RESET_CHALLENGE, REGISTER_CHALLENGE):
            return
        here = self.application

        async def twice() -> list[Reply]:
            form = {"client_id": call.client, **call.form}
            return await asyncio.gather(*(here.posted(call.path, None, **form) for _ in range(2)))

        type(self).made += 2
        replies = here.run(twice())
        self.seen.update(f"{call.path} at once {label(reply)}" for reply in replies)
        expected = self.oracle.expect(call)
        replies.sort(key=lambda reply: label(reply) not in expected)
        self.oracle.learn(call, expected, replies[0])
        expected = self.oracle.expect(call)
        if "password" in call.form:
            # With one try left, the one that is being compared is the last: the other is not judged at all.
            expected = {WRONG_PASSWORD: nothing} | expected
        self.oracle.learn(call, expected, replies[1])


def explore(machine: type[Orders], steps: int) -> None:
    """Make so many calls."""
    machine.made = 0
    machine.seen = Counter()
    wanted = settings(
        max_examples=min(50, steps // 70),
        stateful_step_count=PER_EXAMPLE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if SHRINK else [])),
        print_blob=True,
    )
    while machine.made < steps:
        run_state_machine_as_test(machine, settings=wanted)
    for answer, times in machine.seen.most_common():
        print(f"{times:8} {answer}")
    print(f"{machine.made:8} calls")


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """In memory where the system has such a folder: what is asked here is not whether it lasts."""
    parent = MEMORY if MEMORY.is_dir() else tmp_path_factory.mktemp("orders")
    with TemporaryDirectory(dir=parent) as folder, inside(Path(folder) / "data") as here:
        yield here


@pytest.mark.slow
@pytest.mark.proves("FLOW-21", "FLOW-02", "FLOW-05", "FLOW-13", "FLOW-15")
def test_no_order_of_calls_gives_tokens_that_were_not_earned(application: Inside) -> None:
    OrdersInside.application = application
    OrdersInside.target = application

    explore(OrdersInside, STEPS or STEPS_IN_CI)


def test_no_order_of_calls_gives_tokens_over_a_socket_either(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        outside = Outside(server)

        class OrdersOutside(Orders):
            ahead: ClassVar[timedelta]

            @classmethod
            def now(cls) -> datetime:
                return datetime.now(UTC) + cls.ahead

            def begin_anew(self) -> None:
                server.reset()
                told = server.told
                shown = datetime.fromisoformat(outside.get("/dev/clock")["now"])
                type(self).ahead = shown - datetime.now(UTC)
                type(self).oracle = Oracle(outside, told["tenant_id"], told["api"]["client_id"], self.now)

            def pass_time(self, seconds: int) -> None:
                super().pass_time(seconds)
                type(self).ahead += timedelta(seconds=seconds)

        OrdersOutside.target = outside

        explore(OrdersOutside, STEPS_OUTSIDE_IN_CI)

    assert "Traceback" not in server.log
