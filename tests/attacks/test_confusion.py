"""
One thing taken for another: a factor, a code, a method, a person, a moment; and what has changed in between.

In this process, because policies and accounts are changed in the middle of flows and time is moved; every call is made
as an app, or somebody who pretends to be one, would make it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import PutAuthenticator, PutSubject, RevokeGrants
from genkan.engine.transaction import Loaded, Needs
from genkan.model import Identifier, Kind, Subject
from genkan.policy.model import Applications, Conditions, GrantControls, Policy, Users
from genkan.service import demo
from genkan.service.admin import people
from genkan.service.admin.door import Door, Refusal
from genkan.service.hashing import Hashing
from tests.attacks import lab as labs
from tests.attacks.journeys import (
    ALL_TYPES,
    ANOTHER_PASSWORD,
    CHALLENGE,
    INITIATE,
    INTROSPECT,
    NAME,
    PASSWORD,
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
    TOKEN,
    Person,
    bad_token,
    begin,
    challenged,
    enrolling,
    first_factor,
    person,
    prove_first,
    resetting,
    second_challenged,
    sign_up,
    token_set,
    with_phone,
)
from tests.attacks.lab import BETWEEN_LATER_TEXTS, BETWEEN_TEXTS, CELLS, LEGAL, PLACES, Cell, Lab, Place
from tests.attacks.target import Target, new_number, sending
from tests.server import Reply, new_address
from tests.service.offices import OPERATOR
from tests.wire.servers import two_tenants

WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
MFA_REQUIRED = ("invalid_grant", "mfa_required", 50076)
REGISTRATION_REQUIRED = ("invalid_grant", "registration_required", 50079)
NO_SUCH_METHOD = ("invalid_request", "", 901001)
CONTACT_REFUSED = ("invalid_request", "", 901001)
CHOICE_NEEDED = ("invalid_request", "introspect_required", 90023)
DISABLED = ("invalid_grant", "", 50057)
BLOCKED = ("invalid_grant", "message_only", 53003)
EXPIRED = ("expired_token", "", 552003)
ENDED = ("invalid_grant", "bad_token", 50173)
UNFIT = ("invalid_grant", "", 55200)

IDLE, DAY = 600, 24 * 3600
PLAIN = "openid profile offline_access"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with labs.opened() as found:
        yield found


# Words. ---------------------------------------------------------------------------------------------


def wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}d}"


def loaded(lab: Lab, who: Person) -> Loaded:
    return lab.world.run(lab.world.store.read(Needs(identifier=who.address)))


def subject(lab: Lab, who: Person) -> Subject:
    found = loaded(lab, who).subject
    assert found is not None
    return found


def methods(lab: Lab, who: Person) -> set[str]:
    """The places of the second factors of an account."""
    return {a.target.value for a in loaded(lab, who).authenticators if a.strong and a.target is not None}


def place_of(text: str) -> Identifier:
    found = identifiers.email(text) if "@" in text else identifiers.phone(text)
    assert found is not None
    return found


def somebody(
    lab: Lab, *seconds: str, password: bool = True, age: timedelta = timedelta(days=30)
) -> tuple[Person, dict[str, str]]:
    """An account of some age with these second factors, and their ids by place."""
    who = Person(
        new_address(),
        lab.password_app if password else lab.otp_app,
        PASSWORD if password else None,
        next((s for s in seconds if "@" not in s), None),
    )
    ids = lab.world.person(who.address, password=who.password, seconds=tuple(map(place_of, seconds)), age=age)
    return who, ids


def texts(lab: Lab) -> int:
    """How many text messages have ever arrived; once a mail that was sent after them is there."""
    who = person(lab)
    challenged(lab, who)
    return len(lab.get("/dev/inbox/messages", channel="sms", limit="10000")["messages"])


def notices(lab: Lab, to: str) -> list[str]:
    found = lab.get("/dev/inbox/messages", to=to, limit="100")["messages"]
    return [message["id"] for message in found if message["purpose"] == "notice"]


def told(lab: Lab, to: str, times: int) -> bool:
    """Whether so many notices have come, and no more."""
    for _ in range(10):
        if len(notices(lab, to)) >= times:
            break
        lab.get("/dev/inbox/wait", to=to, after=next(iter(notices(lab, to)), ""), timeout="1")
    return len(notices(lab, to)) == times


def forgotten(lab: Lab, who: Person) -> None:
    """Every session and flow of the account is ended, as by a sign-out everywhere."""
    found = subject(lab, who)
    lab.world.write(
        PutSubject(replace(found, epoch=found.epoch + 1)), RevokeGrants(subject=found.id, at=lab.world.now)
    )


def disabled(lab: Lab, who: Person) -> None:
    lab.world.write(PutSubject(replace(subject(lab, who), status="disabled")))


def enabled(lab: Lab, who: Person) -> None:
    lab.world.write(PutSubject(replace(subject(lab, who), status="active")))


def ended(lab: Lab, who: Person, how: str) -> Callable[[], None]:
    """An administrator disables or deletes the account. Returns how they think better of it."""
    id, door = (
        subject(lab, who).id,
        Door(store=lab.world.store, hashing=Hashing(1), on_deliver=lambda: None, now=lambda: lab.world.now),
    )

    def set_enabled(enabled: bool) -> None:
        changed = people.change(door, OPERATOR, id, people.PersonChange(enabled=enabled))
        assert not isinstance(lab.world.run(changed), Refusal)

    if how == "disabled":
        set_enabled(False)
        return lambda: set_enabled(True)
    assert not isinstance(lab.world.run(people.remove(door, OPERATOR, id)), Refusal)

    def restore() -> None:
        assert not isinstance(lab.world.run(people.restore(door, OPERATOR, id)), Refusal)

    return restore


def quarantined(lab: Lab, who: Person, target: str) -> None:
    """One of the methods may not be used for now."""
    (method,) = (a for a in loaded(lab, who).authenticators if a.target and a.target.value == target)
    lab.world.write(PutAuthenticator(replace(method, state="quarantined")))


def policy(control: Literal["block", "mfa"]) -> Policy:
    """A further policy, for everybody and everything."""
    return Policy(
        id="aaaaaaaa-0000-4000-8000-0000000000d9",
        display_name=control,
        state="enabled",
        conditions=Conditions(
            applications=Applications(include_applications=("All",)), users=Users(include_users=("All",))
        ),
        grant_controls=GrantControls(operator="OR", built_in_controls=(control,)),
    )


def registered(lab: Lab, who: Person, token: str, code: str) -> Reply:
    return lab.said(REGISTER_CONTINUE, who.client, continuation_token=token, grant_type="oob", oob=code)


def redeemed(lab: Lab, who: Person, token: str, scope: str = "") -> Reply:
    return lab.said(
        TOKEN,
        who.client,
        continuation_token=token,
        grant_type="continuation_token",
        scope=scope or lab.scope,
    )


# The second factor before the first. ----------------------------------------------------------------


@pytest.mark.proves("FLOW-05", "MSG-05")
@pytest.mark.parametrize("by_password", [True, False])
def test_a_method_named_before_the_first_factor_sends_nothing_to_it(lab: Lab, by_password: bool) -> None:
    number = new_number()
    who, ids = somebody(lab, number, password=by_password)
    token = begin(lab, INITIATE, who.client, who.address).ok().token
    before = texts(lab)

    asked = lab.said(CHALLENGE, who.client, continuation_token=token, id=ids[number], challenge_channel="sms")
    guesses = [
        lab.said(
            TOKEN, who.client, continuation_token=asked.token, grant_type="mfa_oob", oob=code, scope=lab.scope
        )
        for code in ("00000000", "12345678")
    ]
    shown = lab.said(INTROSPECT, who.client, continuation_token=asked.token)

    assert asked.ok().body.get("challenge_channel", "email") == "email"
    assert asked["challenge_type"] == ("password" if by_password else "oob")
    assert [reply.error for reply in guesses] == [bad_token(TOKEN)] * 2
    assert shown.error == bad_token(INTROSPECT)
    assert texts(lab) == before


UNPROVEN = (
    "SI.init",
    "SI.oob",
    "SI.pwd",
    "SU.init",
    "SU.oob",
    "SU.cred",
    "SU.pwd",
    "SU.attr",
    "RP.init",
    "RP.oob",
)


@pytest.mark.proves("MSG-05")
@pytest.mark.parametrize("phase", UNPROVEN)
def test_no_text_message_is_sent_before_a_first_factor_is_right(lab: Lab, phase: str) -> None:
    place, number = PLACES[phase](lab), new_number()
    before = texts(lab)

    for cell in CELLS:
        spoilt = {"oob": wrong(place.code)} if cell[1] in ("oob", "mfa_oob") else {}
        if cell != (TOKEN, "password") and cell != (SIGNUP_CONTINUE, "password"):
            place.say(
                lab,
                cell,
                challenge_channel="sms",
                challenge_target=number,
                username=number,
                id="sms",
                challenge_type="oob" if cell[0] == REGISTER_CHALLENGE else ALL_TYPES,
                **spoilt,
            )
    for path in (INITIATE, SIGNUP_START, RESET_START):
        begin(lab, path, place.who.client, number, challenge_channel="sms", challenge_target=number)

    assert texts(lab) == before


# One code for another. ------------------------------------------------------------------------------

Cast = list[Place]
"""Flows of one person that all wait for a code."""


def new_by_code(lab: Lab) -> Cast:
    """Two sign-ins, two registrations of different phones."""
    who = person(lab)
    asked = [first_factor(lab, who).token for _ in range(2)]
    return [
        Place("SI.oob", who, *challenged(lab, who)),
        Place("SI.oob", who, *challenged(lab, who)),
        *(Place("REG.oob", who, *enrolling(lab, who, token, new_number())) for token in asked),
    ]


def two_factors(lab: Lab) -> Cast:
    """A first and two second factors, and the code of a stranger's sign-in."""
    who, _ = somebody(lab, new_number(), password=False)
    asked = first_factor(lab, who).token
    other = person(lab)
    return [
        Place("SI.oob", who, *challenged(lab, who)),
        Place("MFA.oob", who, *second_challenged(lab, who, asked)),
        Place("SI.oob", other, *challenged(lab, other)),
    ]


def new_by_password(lab: Lab) -> Cast:
    """Two resets and two registrations, one of them of the very mailbox to which the codes of the resets go."""
    who = person(lab, lab.password_app)
    asked = [first_factor(lab, who).token for _ in range(2)]
    return [
        Place("RP.oob", who, *resetting(lab, who)),
        Place("RP.oob", who, *resetting(lab, who)),
        Place("REG.oob", who, *enrolling(lab, who, asked[0], who.address)),
        Place("REG.oob", who, *enrolling(lab, who, asked[1], new_number())),
    ]


def one_mailbox(lab: Lab) -> Cast:
    """A mailbox that gets the codes of resets and is second factor as well."""
    who = Person(new_address(), lab.password_app, PASSWORD)
    lab.world.person(who.address, password=PASSWORD, seconds=(place_of(who.address),), age=timedelta(days=30))
    asked = first_factor(lab, who).token
    return [
        Place("RP.oob", who, *resetting(lab, who)),
        Place("MFA.oob", who, *second_challenged(lab, who, asked)),
    ]


BY_CODE: dict[str, Cell] = {
    "SI.oob": (TOKEN, "oob"),
    "MFA.oob": (TOKEN, "mfa_oob"),
    "REG.oob": (REGISTER_CONTINUE, "oob"),
    "RP.oob": (RESET_CONTINUE, "oob"),
    "SU.oob": (SIGNUP_CONTINUE, "oob"),
}


@pytest.mark.proves("FLOW-06", "OTP-04", "ENR-08")
@pytest.mark.parametrize("cast", [new_by_code, two_factors, new_by_password, one_mailbox])
def test_a_code_is_right_in_its_own_flow_and_step_alone_and_elsewhere_counts_as_wrong(
    lab: Lab, cast: Callable[[Lab], Cast]
) -> None:
    for tried in range(len(cast(lab))):
        places = cast(lab)
        place, others = places[tried], [p for i, p in enumerate(places) if i != tried]
        cell = BY_CODE[place.phase]

        refusals = [place.say(lab, cell, oob=other.code) for other in others]
        more = [place.say(lab, cell, oob=wrong(place.code, n + 1)) for n in range(4 - len(others))]
        right = place.say(lab, cell)

        assert [reply.error for reply in refusals + more] == [WRONG_CODE] * 4
        assert right.status == 200 or right.token, right.body
        lab.advance(3601)  # The limits of an hour are not what is asked here.


@pytest.mark.proves("FLOW-06")
@pytest.mark.parametrize("grant", ["oob", "mfa_oob"])
def test_the_code_of_the_first_step_used_at_the_second_costs_a_try(lab: Lab, grant: str) -> None:
    who, _ = somebody(lab, new_number(), password=False)
    token, first = challenged(lab, who)
    asked = prove_first(lab, who, token, first, lab.scope)
    assert asked.error == MFA_REQUIRED
    token, second = second_challenged(lab, who, asked.token)
    place = Place("MFA.oob", who, token, second)

    refusals = [place.say(lab, (TOKEN, grant), oob=first).error for _ in range(5)]
    too_late = place.say(lab, (TOKEN, grant))

    assert refusals == [WRONG_CODE] * 5
    assert too_late.error == bad_token(TOKEN)


# Methods of somebody else, and of nobody. -----------------------------------------------------------


@pytest.mark.proves("FLOW-08")
def test_of_several_methods_one_must_be_named_and_only_an_own_usable_one_can_be(lab: Lab) -> None:
    number, mailbox, gone = new_number(), f"spare.{new_address()}", new_number()
    who, ids = somebody(lab, number, mailbox, gone)
    other, foreign = somebody(lab, new_number(), f"spare.{new_address()}")
    quarantined(lab, who, gone)
    first = next(a.id for a in loaded(lab, who).authenticators if a.kind is Kind.PASSWORD)
    token = first_factor(lab, who).token
    foreign_token = first_factor(lab, other).token
    before = lab.stored()

    unnamed = lab.said(CHALLENGE, who.client, continuation_token=token)
    named = [
        lab.said(CHALLENGE, who.client, continuation_token=token, id=id)
        for id in (
            *foreign.values(),
            ids[gone],
            first,
            number,
            mailbox,
            "sms",
            "0",
            "*",
            subject(lab, who).id,
            f"{ids[number]}x",
            f"{ids[number]} {ids[mailbox]}",
            foreign_token,
        )
    ]

    assert unnamed.error == CHOICE_NEEDED
    assert {reply.error for reply in named} == {NO_SUCH_METHOD}
    assert lab.stored() == before
    assert {m["id"] for m in lab.said(INTROSPECT, who.client, continuation_token=token).ok()["methods"]} == {
        ids[number],
        ids[mailbox],
    }


@pytest.mark.proves("FLOW-08")
def test_leaving_out_the_list_leads_to_the_one_method_that_it_would_have_shown(lab: Lab) -> None:
    number, gone = new_number(), f"spare.{new_address()}"
    who, ids = somebody(lab, number, gone)
    quarantined(lab, who, gone)
    token = first_factor(lab, who).token

    listed = lab.said(INTROSPECT, who.client, continuation_token=token).ok()
    token, code = second_challenged(lab, who, token)
    reply = lab.said(TOKEN, who.client, continuation_token=token, grant_type="mfa_oob", oob=code)

    assert [m["id"] for m in listed["methods"]] == [ids[number]]
    assert token_set(reply)


@pytest.mark.proves("FLOW-04")
def test_nobody_ends_up_in_the_account_of_another_by_a_name(lab: Lab) -> None:
    who, token = sign_up(lab)
    other = person(lab)
    before = lab.stored()

    named = lab.said(
        TOKEN,
        who.client,
        continuation_token=token,
        grant_type="continuation_token",
        username=other.address,
    )
    changed = lab.stored()
    issued = lab.said(TOKEN, who.client, continuation_token=token, grant_type="continuation_token").ok()

    assert named.error == ("invalid_request", "", 90100)
    assert changed == before
    assert token_set(issued)


@pytest.mark.proves("FLOW-04")
def test_a_token_is_good_in_its_tenant_and_app_alone(tmp_path: Path) -> None:
    north = demo.directory("x")
    north = replace(north, tenant=replace(north.tenant, name="north", aliases=()))
    south = replace(
        north, tenant=replace(north.tenant, id="aaaaaaaa-0000-4000-8000-000000000002", name="south")
    )
    apps = (demo.OTP_APP, demo.PASSWORD_APP)
    with two_tenants(tmp_path, north, south) as server:
        tokens: dict[tuple[str, str, str], str] = {}
        for root in ("/north", "/south"):
            for app in apps:
                for user in (new_address(), new_address()):
                    form = {"client_id": app, "username": user, "challenge_type": ALL_TYPES}
                    tokens[root, app, user] = server.post_form(SIGNUP_START, form, root=root).ok().token

        for (root, app, user), token in tokens.items():
            for there, other in ((r, a) for r in ("/north", "/south") for a in apps):
                form = {"client_id": other, "continuation_token": token, "username": user}
                reply = server.post_form(SIGNUP_CONTINUE, form | attributes(), root=there)
                if (there, other) != (root, app):
                    assert reply.error == bad_token(SIGNUP_CONTINUE), (root, app, there, other)
                else:
                    assert reply.error[0] == "verification_required"


def attributes() -> dict[str, str]:
    return {"grant_type": "attributes", "attributes": NAME}


# What an app says it can do. ------------------------------------------------------------------------


@pytest.mark.proves("FLOW-09")
@pytest.mark.parametrize(
    ("capabilities", "declared"),
    [
        ("", False),
        ("registration_required", False),
        ("mfa", False),
        ("mfarequired", False),
        ("mfa-required", False),
        ("mfa_required;registration_required", False),
        ("xmfa_required mfa_requiredx", False),
        ("\x00mfa_required", False),
        ("mfa_required", True),
        ("MFA_REQUIRED", True),
        ("Mfa_Required mfa_required MFA_REQUIRED", True),
        ("registration_required,mfa_required", True),
        ("unknown , mfa_required,,unknown", True),
    ],
)
def test_an_app_that_did_not_declare_the_second_factor_gets_the_browser_and_never_tokens(
    lab: Lab, capabilities: str, declared: bool
) -> None:
    who, _ = somebody(lab, new_number(), password=False)
    begun = begin(lab, INITIATE, who.client, who.address, capabilities=capabilities).ok()
    sent, code = sending(
        lab, who.address, "sign_in", lambda: lab.said(CHALLENGE, who.client, continuation_token=begun.token)
    )

    reply = prove_first(lab, who, sent.token, code, lab.scope)

    assert not token_set(reply)
    if declared:
        assert reply.error == MFA_REQUIRED
    else:
        assert reply.ok()["challenge_type"] == "redirect"
        for scope in (lab.scope, PLAIN):
            assert prove_first(lab, who, sent.token, code, scope).error == bad_token(TOKEN)
            assert redeemed(lab, who, sent.token, scope).error == bad_token(TOKEN)


def subsets(*words: str) -> list[str]:
    found = chain.from_iterable(combinations(words, n) for n in range(len(words) + 1))
    return [" ".join(subset) for subset in found]


@pytest.mark.proves("FLOW-10", "FLOW-09")
@pytest.mark.parametrize("at", ["the start", "the challenge"])
@pytest.mark.parametrize("by_password", [True, False])
@pytest.mark.parametrize("has_phone", [True, False])
def test_no_list_of_an_app_lowers_what_policy_wants(
    lab: Lab, has_phone: bool, by_password: bool, at: str
) -> None:
    who = Person("", "")
    for capabilities in subsets("mfa_required", "registration_required"):
        for types in subsets("oob", "password", "redirect"):
            if not by_password or not who.address:
                seconds = (new_number(),) if has_phone else ()
                who, _ = somebody(lab, *seconds, password=by_password, age=timedelta(0))
            said = types if at == "the start" else ALL_TYPES

            outcome = _sign_in(lab, who, said, "" if at == "the start" else types, capabilities)

            needed = "password" if by_password else "oob"
            # A challenge without a list uses that of the first call (native-auth-v1 1.9).
            listed = set((types if at == "the start" else types or ALL_TYPES).split())
            if not listed:
                assert outcome.error == ("invalid_request", "", 900144)
            elif "redirect" not in listed:
                assert outcome.error == ("unsupported_challenge_type", "", 901007)
            elif needed not in listed:
                assert outcome.body.get("challenge_type") == "redirect"
            elif has_phone and "mfa_required" in capabilities:
                assert outcome.error == MFA_REQUIRED
            elif not has_phone and "registration_required" in capabilities:
                assert outcome.error == REGISTRATION_REQUIRED
            else:
                assert outcome.body.get("challenge_type") == "redirect"


def _sign_in(lab: Lab, who: Person, types: str, types_then: str, capabilities: str) -> Reply:
    """As far as it goes, and no further than the first factor."""
    form = {"challenge_type": types, "capabilities": capabilities}
    begun = begin(lab, INITIATE, who.client, who.address, **form)
    if not begun.token:
        return begun
    ask = {"continuation_token": begun.token, **({"challenge_type": types_then} if types_then else {})}
    if who.password is not None:
        asked = lab.said(CHALLENGE, who.client, **ask)
        return prove_first(lab, who, asked.token, PASSWORD, lab.scope) if asked.token else asked
    if types_then and not {"oob", "redirect"} <= set(types_then.split()):
        return lab.said(CHALLENGE, who.client, **ask)
    sent, code = sending(lab, who.address, "sign_in", lambda: lab.said(CHALLENGE, who.client, **ask))
    return prove_first(lab, who, sent.token, code, lab.scope)


@pytest.mark.proves("FLOW-10")
@pytest.mark.parametrize(
    "more",
    [
        {"scope": "openid"},
        {"scope": ""},
        {"scope": "api://genkan-demo/.default"},
        {"claims": '{"access_token":{"acrs":{"essential":false,"value":"c1"}}}'},
        {"acr_values": "0", "amr": "mfa", "prompt": "none", "max_age": "0"},
        {"mfa": "true", "second_factor": "done", "client_info": "1", "nca": "1"},
    ],
)
def test_what_the_second_token_call_says_does_not_replace_what_the_first_one_asked_for(
    lab: Lab, more: dict[str, str]
) -> None:
    who, _ = somebody(lab, new_number())
    token, password = challenged(lab, who)
    asked = prove_first(lab, who, token, password, lab.scope)

    for grant in ("continuation_token", "password", "oob", "mfa_oob"):
        form = {
            "continuation_token": asked.token,
            "grant_type": grant,
            "oob": "00000000",
            "password": PASSWORD,
        }
        reply = lab.said(TOKEN, who.client, **form, **more)
        assert reply.status == 400
        assert not token_set(reply)


@pytest.mark.proves("FLOW-12")
def test_a_reset_is_no_way_around_the_second_factor(lab: Lab) -> None:
    who, _ = somebody(lab, new_number())
    token, code = resetting(lab, who)
    form = {"continuation_token": token, "grant_type": "oob", "oob": code}
    proven = lab.said(RESET_CONTINUE, who.client, **form).ok()
    kept = lab.said(
        RESET_SUBMIT, who.client, continuation_token=proven.token, new_password=ANOTHER_PASSWORD
    ).ok()

    asked = redeemed(lab, who, kept.token)
    cheaper = redeemed(lab, who, asked.token, PLAIN)
    token, code = second_challenged(lab, who, asked.token)
    done = lab.said(TOKEN, who.client, continuation_token=token, grant_type="mfa_oob", oob=code)

    assert asked.error == MFA_REQUIRED
    assert cheaper.error == bad_token(TOKEN)
    assert token_set(done)


@pytest.mark.proves("FLOW-12")
@pytest.mark.parametrize("by_password", [True, False])
def test_a_sign_up_is_no_way_around_the_second_factor(lab: Lab, by_password: bool) -> None:
    who, token = sign_up(lab, lab.password_app if by_password else lab.otp_app)

    asked = redeemed(lab, who, token)
    cheaper = redeemed(lab, who, asked.token, PLAIN)

    assert asked.error == REGISTRATION_REQUIRED
    assert cheaper.error == bad_token(TOKEN)


# Another way. ---------------------------------------------------------------------------------------


@pytest.mark.proves("FLOW-13")
def test_changing_the_method_and_going_back_leaves_no_code_but_the_newest(lab: Lab) -> None:
    number, mailbox = new_number(), f"spare.{new_address()}"
    who, ids = somebody(lab, number, mailbox)
    token = first_factor(lab, who).token

    def ask(place: str) -> tuple[Reply, str]:
        return sending(
            lab,
            place,
            "mfa",
            lambda: lab.said(CHALLENGE, who.client, continuation_token=token, id=ids[place]),
        )

    _, left = ask(number)
    _, tried = ask(mailbox)
    lab.advance(BETWEEN_TEXTS)
    sent, newest = ask(number)
    place = Place("MFA.oob", who, sent.token, newest)

    assert place.say(lab, (TOKEN, "mfa_oob"), oob=left).error == WRONG_CODE
    assert place.say(lab, (TOKEN, "mfa_oob"), oob=tried).error == WRONG_CODE
    assert token_set(place.say(lab, (TOKEN, "mfa_oob")))


@pytest.mark.proves("FLOW-13", "ENR-06")
def test_changing_the_number_to_register_and_going_back_leaves_no_code_but_the_newest(lab: Lab) -> None:
    who = person(lab)
    token, one, other = first_factor(lab, who).token, new_number(), new_number()

    token, left = enrolling(lab, who, token, one)
    lab.advance(BETWEEN_TEXTS)
    token, tried = enrolling(lab, who, token, other)
    assert registered(lab, who, token, left).error == WRONG_CODE
    lab.advance(BETWEEN_LATER_TEXTS)
    token, newest = enrolling(lab, who, token, one)

    assert registered(lab, who, token, left).error == WRONG_CODE
    assert registered(lab, who, token, tried).error == WRONG_CODE
    assert methods(lab, who) == set()
    assert registered(lab, who, token, newest).status == 200
    assert methods(lab, who) == {one}


@pytest.mark.proves("FLOW-13", "ENR-06")
def test_a_known_mailbox_does_not_vouch_for_the_phone_that_was_chosen_after_it(lab: Lab) -> None:
    place = labs.reg_pre(lab)
    number = new_number()
    token, code = enrolling(lab, place.who, place.token, number)

    for older in (place.token, token):
        form = {"continuation_token": older, "grant_type": "continuation_token"}
        assert lab.said(REGISTER_CONTINUE, place.who.client, **form).error == UNFIT
        assert redeemed(lab, place.who, older).error == bad_token(TOKEN)

    assert methods(lab, place.who) == set()
    assert registered(lab, place.who, token, code).status == 200
    assert methods(lab, place.who) == {number}


# What has changed since. ----------------------------------------------------------------------------

REDEMPTIONS: dict[str, tuple[Callable[[Target], Place], Cell]] = {
    "oob": (labs.si_oob, (TOKEN, "oob")),
    "password": (labs.si_pwd, (TOKEN, "password")),
    "mfa_oob": (labs.mfa_oob, (TOKEN, "mfa_oob")),
    "oob as second factor": (labs.mfa_oob, (TOKEN, "oob")),
    "continuation_token after sign-up": (labs.su_done, (TOKEN, "continuation_token")),
    "continuation_token after reset": (labs.rp_done, (TOKEN, "continuation_token")),
    "continuation_token after registration": (labs.reg_done, (TOKEN, "continuation_token")),
}
each_redemption = pytest.mark.parametrize("grant", REDEMPTIONS)


@pytest.mark.proves("FLOW-14")
@each_redemption
def test_an_account_that_was_disabled_after_the_last_proof_gets_no_tokens(lab: Lab, grant: str) -> None:
    reach, cell = REDEMPTIONS[grant]
    place = reach(lab)
    disabled(lab, place.who)

    refused = place.say(lab, cell, scope=PLAIN)
    enabled(lab, place.who)
    again = place.say(lab, cell, scope=PLAIN)

    assert refused.error == DISABLED
    assert again.error == bad_token(TOKEN)


@pytest.mark.proves("TOK-12")
@pytest.mark.parametrize("end", ["disabled", "deleted"])
@each_redemption
def test_an_account_that_an_administrator_ended_gets_no_tokens_not_even_once_it_is_back(
    lab: Lab, grant: str, end: str
) -> None:
    reach, cell = REDEMPTIONS[grant]
    place = reach(lab)
    think_better_of_it = ended(lab, place.who, end)

    answers = [place.say(lab, cell, scope=PLAIN)]
    think_better_of_it()
    answers.append(place.say(lab, cell, scope=PLAIN))

    assert [answer.error for answer in answers] == [bad_token(TOKEN)] * 2


@pytest.mark.proves("TOK-12")
@pytest.mark.parametrize("end", ["disabled", "deleted"])
def test_nor_does_it_keep_a_session_or_begin_one(lab: Lab, end: str) -> None:
    who = person(lab)
    token, proof = challenged(lab, who)
    session = prove_first(lab, who, token, proof, PLAIN).ok()["refresh_token"]
    form = {"client_id": who.client, "grant_type": "refresh_token", "refresh_token": session}
    think_better_of_it = ended(lab, who, end)

    refreshed = lab.post(TOKEN, **form)
    begun = lab.post(INITIATE, client_id=who.client, username=who.address, challenge_type=ALL_TYPES)
    think_better_of_it()

    assert refreshed.error[:2] == ("invalid_grant", "bad_token")
    if end == "deleted":
        assert begun.error == ("user_not_found", "", 50034)
    else:
        token, proof = challenged(lab, who)
        assert token_set(prove_first(lab, who, token, proof, PLAIN)), "once it is back"
    assert lab.post(TOKEN, **form).error == ("invalid_grant", "bad_token", 50173), (
        "the old session stays dead"
    )


@pytest.mark.proves("FLOW-14", "OTP-22")
@each_redemption
def test_after_a_sign_out_everywhere_no_flow_of_before_gives_tokens(lab: Lab, grant: str) -> None:
    reach, cell = REDEMPTIONS[grant]
    place = reach(lab)
    forgotten(lab, place.who)

    assert place.say(lab, cell, scope=PLAIN).error == bad_token(TOKEN)


@pytest.mark.proves("FLOW-14")
@each_redemption
def test_a_policy_that_came_after_the_last_proof_blocks(lab: Lab, grant: str) -> None:
    reach, cell = REDEMPTIONS[grant]
    place = reach(lab)

    with lab.world.changed(policy("block")):
        refused = place.say(lab, cell)
    again = place.say(lab, cell)

    assert refused.error == BLOCKED
    assert again.error == bad_token(TOKEN)


@pytest.mark.proves("FLOW-14")
@pytest.mark.parametrize("grant", ["oob", "password", "continuation_token after sign-up"])
def test_a_policy_that_came_after_the_last_proof_asks_for_more(lab: Lab, grant: str) -> None:
    reach, cell = REDEMPTIONS[grant]
    place = reach(lab)

    with lab.world.changed(policy("mfa")):
        asked = place.say(lab, cell, scope=PLAIN)

    assert asked.error == REGISTRATION_REQUIRED


@pytest.mark.proves("FLOW-14")
def test_a_policy_that_came_back_asks_again_for_what_was_let_go(lab: Lab) -> None:
    place = labs.reg_oob(lab)
    with lab.world.changed(without=(demo.POLICY,)):
        let_go = registered(lab, place.who, place.token, place.code).ok()

    asked = redeemed(lab, place.who, let_go.token)

    assert asked.error == REGISTRATION_REQUIRED
    assert methods(lab, place.who) == set()


@pytest.mark.proves("FLOW-14", "OTP-17")
def test_a_method_that_was_withdrawn_after_its_code_was_sent_proves_nothing(lab: Lab) -> None:
    number = new_number()
    who, _ = somebody(lab, number)
    token, code = second_challenged(lab, who, first_factor(lab, who).token)
    quarantined(lab, who, number)

    reply = lab.said(TOKEN, who.client, continuation_token=token, grant_type="mfa_oob", oob=code)

    assert reply.error == WRONG_CODE


@pytest.mark.proves("FLOW-14")
def test_a_method_that_was_withdrawn_after_its_registration_gives_no_tokens(lab: Lab) -> None:
    place = labs.reg_done(lab)
    (number,) = methods(lab, place.who)
    quarantined(lab, place.who, number)

    for scope in (lab.scope, PLAIN):
        assert redeemed(lab, place.who, place.token, scope).error == bad_token(TOKEN)


@pytest.mark.proves("FLOW-14")
@pytest.mark.parametrize("change", ["disabled", "signed out", "blocked"])
def test_a_refresh_token_is_judged_on_what_is_so_now(lab: Lab, change: str) -> None:
    who, token = sign_up(lab)
    issued = redeemed(lab, who, token, PLAIN).ok()
    documents = (policy("block"),) if change == "blocked" else ()
    if change == "disabled":
        disabled(lab, who)
    elif change == "signed out":
        forgotten(lab, who)

    with lab.world.changed(*documents):
        reply = lab.said(TOKEN, who.client, grant_type="refresh_token", refresh_token=issued["refresh_token"])

    disabled_by_now = ("invalid_grant", "bad_token", 50057)
    assert reply.error == {"disabled": disabled_by_now, "signed out": ENDED, "blocked": BLOCKED}[change]


ON_THE_WAY: dict[str, tuple[Callable[[Target], Place], Cell]] = {
    "introspect": (labs.mfa_required, (INTROSPECT, "")),
    "the second challenge": (labs.mfa_required, (CHALLENGE, "")),
    "register/introspect": (labs.reg_required, (REGISTER_INTROSPECT, "")),
    "register/challenge": (labs.reg_required, (REGISTER_CHALLENGE, "")),
    "register/continue": (labs.reg_oob, (REGISTER_CONTINUE, "oob")),
    "register/continue, preverified": (labs.reg_pre, (REGISTER_CONTINUE, "continuation_token")),
    "resetpassword/continue": (labs.rp_oob, (RESET_CONTINUE, "oob")),
    "resetpassword/submit": (labs.rp_verified, (RESET_SUBMIT, "")),
    "resetpassword/poll_completion": (labs.rp_submitted, (RESET_POLL, "")),
}


@pytest.mark.proves("FLOW-14")
@pytest.mark.parametrize("step", ON_THE_WAY)
def test_an_account_that_was_disabled_in_the_middle_gets_no_further_and_nothing_of_it_changes(
    lab: Lab, step: str
) -> None:
    reach, cell = ON_THE_WAY[step]
    place = reach(lab)
    disabled(lab, place.who)
    before = lab.stored()

    reply = place.say(lab, cell)

    after = lab.stored()
    assert reply.error == DISABLED
    for table in ("subject", "authenticator", "sqlite_sequence"):
        assert after[table] == before[table], table


# Passwords without a flow. --------------------------------------------------------------------------


@pytest.mark.proves("FLOW-15")
@pytest.mark.parametrize(
    "more", [{}, {"continuation_token": ""}, {"client_secret": "x"}, {"oob": "12345678"}]
)
@pytest.mark.parametrize("client", ["otp", "password", "admin"])
def test_a_name_and_a_password_alone_are_no_grant(lab: Lab, client: str, more: dict[str, str]) -> None:
    who = person(lab, lab.password_app)
    asks = {"otp": lab.otp_app, "password": lab.password_app, "admin": demo.ADMIN}[client]
    before = lab.stored()

    replies = [
        lab.said(TOKEN, asks, grant_type="password", username=who.address, password=word, scope=PLAIN, **more)
        for word in (PASSWORD, "not the password")
    ]

    assert {reply.error for reply in replies} == {("unsupported_grant_type", "", 70003)}
    assert lab.stored() == before


@pytest.mark.proves("FLOW-15")
def test_a_password_is_taken_only_from_a_native_public_app(lab: Lab) -> None:
    place = labs.si_pwd(lab)
    app = lab.world.directory.clients[lab.password_app]

    with lab.world.changed(replace(app, native=False)):
        foreign = place.say(lab, (TOKEN, "password"))
    confidential = place.say(lab, (TOKEN, "password"), client=demo.ADMIN, scope=PLAIN)

    assert foreign.error == ("invalid_client", "nativeauthapi_disabled", 7000218)
    assert confidential.error == ("invalid_client", "", 7000218)
    assert place.say(lab, (TOKEN, "password")).token


# Time. ----------------------------------------------------------------------------------------------


@pytest.mark.proves("FLOW-16")
@pytest.mark.parametrize("phase", [phase for phase in PLACES if phase in LEGAL])
def test_a_flow_that_rests_for_ten_minutes_is_over_in_every_phase(lab: Lab, phase: str) -> None:
    place = PLACES[phase](lab)
    lab.advance(IDLE + 1)

    for cell in LEGAL[place.phase]:
        assert place.say(lab, cell).error == EXPIRED, cell


@pytest.mark.proves("FLOW-16")
@pytest.mark.parametrize("phase", ["SI.init", "SI.oob", "SI.pwd", "SU.init", "SU.oob", "RP.init", "RP.oob"])
def test_a_flow_that_never_rests_is_over_after_half_an_hour(lab: Lab, phase: str) -> None:
    place = PLACES[phase](lab)
    path = next(cell[0] for cell in LEGAL[phase] if cell[0].endswith("/challenge"))
    token = place.token

    for _ in range(3):
        lab.advance(9 * 60)
        token = lab.said(path, place.who.client, continuation_token=token).ok().token
    lab.advance(3 * 60 + 1)

    assert lab.said(path, place.who.client, continuation_token=token).error == EXPIRED


@pytest.mark.proves("FLOW-16")
def test_the_time_for_a_new_password_is_never_longer_than_what_is_left_of_the_flow(lab: Lab) -> None:
    who = person(lab, lab.password_app)
    token = begin(lab, RESET_START, who.client, who.address).ok().token

    def send() -> tuple[Reply, str]:
        return sending(
            lab,
            who.address,
            "reset_password",
            lambda: lab.said(RESET_CHALLENGE, who.client, continuation_token=token),
        )

    # Each code is waited for, so that none of them arrives late and is taken for the last.
    for _ in range(2):
        lab.advance(9 * 60)
        token = send()[0].ok().token
    lab.advance(7 * 60)
    sent, code = send()

    form = {"continuation_token": sent.token, "grant_type": "oob", "oob": code}
    proven = lab.said(RESET_CONTINUE, who.client, **form).ok()
    lab.advance(proven["expires_in"] + 1)
    late = lab.said(RESET_SUBMIT, who.client, continuation_token=proven.token, new_password=ANOTHER_PASSWORD)

    assert 0 < proven["expires_in"] <= 300
    assert late.error == EXPIRED


# Codes. ---------------------------------------------------------------------------------------------

BY_PHASE = pytest.mark.parametrize("phase", BY_CODE)


@pytest.mark.proves("OTP-02")
@BY_PHASE
@pytest.mark.parametrize(("seconds", "is_right"), [(260, True), (301, False)])
def test_a_code_is_good_for_five_minutes(lab: Lab, phase: str, seconds: int, is_right: bool) -> None:
    place = PLACES[phase](lab)  # Where it came as a text message half a minute has passed already.
    lab.advance(seconds)

    reply = place.say(lab, BY_CODE[phase])

    if is_right:
        assert reply.status == 200 or reply.token, reply.body
    else:
        assert reply.error == WRONG_CODE


RESENDS = {
    "SI.oob": (CHALLENGE, "sign_in"),
    "MFA.oob": (CHALLENGE, "mfa"),
    "REG.oob": (REGISTER_CHALLENGE, "enrol"),
    "RP.oob": (RESET_CHALLENGE, "reset_password"),
    "SU.oob": (SIGNUP_CHALLENGE, "sign_up"),
}


def resent(lab: Lab, place: Place) -> Place:
    """The same after another code was asked for."""
    path, purpose = RESENDS[place.phase]
    to = place.who.address if place.phase not in ("MFA.oob", "REG.oob") else place.who.number or new_number()
    more = {"challenge_type": "oob", "challenge_target": to} if path == REGISTER_CHALLENGE else {}
    sent, code = sending(
        lab,
        to,
        purpose,
        lambda: lab.said(path, place.who.client, continuation_token=place.token, **more),
    )
    return Place(place.phase, place.who, sent.token, code)


@pytest.mark.proves("OTP-05", "OTP-15")
@BY_PHASE
def test_a_resend_kills_the_code_before_it_and_gives_no_new_tries(lab: Lab, phase: str) -> None:
    place, cell = PLACES[phase](lab), BY_CODE[phase]

    refusals = [place.say(lab, cell, oob=wrong(place.code, n)).error for n in range(1, 4)]
    again = resent(lab, place)
    refusals.append(again.say(lab, cell, oob=place.code).error)
    refusals.append(again.say(lab, cell, oob=wrong(again.code)).error)
    too_late = again.say(lab, cell)
    path, _ = RESENDS[phase]
    more = {"challenge_type": "oob", "challenge_target": new_number()} if path == REGISTER_CHALLENGE else {}
    resend = lab.said(path, again.who.client, continuation_token=again.token, **more)

    assert refusals == [WRONG_CODE] * 5
    assert too_late.error == bad_token(cell[0])
    assert resend.error == bad_token(path)


@pytest.mark.proves("OTP-05", "FLOW-13")
def test_another_method_gives_no_new_tries(lab: Lab) -> None:
    number, mailbox = new_number(), f"spare.{new_address()}"
    who, ids = somebody(lab, number, mailbox)
    token = first_factor(lab, who).token

    def asked(to: str) -> Place:
        ask = partial(lab.said, CHALLENGE, who.client, continuation_token=token, id=ids[to])
        sent, code = sending(lab, to, "mfa", ask)
        return Place("MFA.oob", who, sent.token, code)

    by_text = asked(number)
    refusals = [by_text.say(lab, (TOKEN, "mfa_oob"), oob=wrong(by_text.code, n + 1)).error for n in range(4)]
    by_mail = asked(mailbox)
    refusals.append(by_mail.say(lab, (TOKEN, "mfa_oob"), oob=wrong(by_mail.code)).error)
    too_late = by_mail.say(lab, (TOKEN, "mfa_oob"))

    assert refusals == [WRONG_CODE] * 5
    assert too_late.error == bad_token(TOKEN)


@pytest.mark.proves("OTP-14", "OTP-15")
def test_the_owner_is_told_of_five_wrong_second_codes_and_the_first_factor_is_needed_again(lab: Lab) -> None:
    number = new_number()
    who, _ = somebody(lab, number)
    place = Place("MFA.oob", who, *second_challenged(lab, who, first_factor(lab, who).token))
    for n in range(4):
        place.say(lab, (TOKEN, "mfa_oob"), oob=wrong(place.code, n + 1))
    assert told(lab, who.address, 0)

    place.say(lab, (TOKEN, "mfa_oob"), oob=wrong(place.code, 5))

    assert told(lab, who.address, 1)
    assert told(lab, number, 1)
    assert place.say(lab, (TOKEN, "mfa_oob")).error == bad_token(TOKEN)
    assert redeemed(lab, who, place.token, PLAIN).error == bad_token(TOKEN)
    lab.advance(BETWEEN_TEXTS)
    place = Place("MFA.oob", who, *second_challenged(lab, who, first_factor(lab, who).token))
    assert token_set(place.say(lab, (TOKEN, "mfa_oob")))


@pytest.mark.proves("OTP-14")
def test_the_owner_is_told_when_wrong_second_codes_have_locked_the_method(lab: Lab) -> None:
    number = new_number()
    who, _ = somebody(lab, number)
    for _ in range(2):
        place = Place("MFA.oob", who, *second_challenged(lab, who, first_factor(lab, who).token))
        for n in range(5):
            place.say(lab, (TOKEN, "mfa_oob"), oob=wrong(place.code, n + 1))
        lab.advance(BETWEEN_TEXTS)

    place = Place("MFA.oob", who, *second_challenged(lab, who, first_factor(lab, who).token))

    assert place.say(lab, (TOKEN, "mfa_oob")).error == WRONG_CODE
    assert told(lab, who.address, 2)


@pytest.mark.proves("OTP-22", "ENR-09")
@pytest.mark.parametrize(
    "phase", ["SI.oob", "MFA.oob", "REG.required", "REG.listed", "REG.oob", "REG.pre", "RP.oob"]
)
def test_no_code_and_no_registration_survives_a_sign_out_everywhere(lab: Lab, phase: str) -> None:
    place = PLACES[phase](lab)
    had = methods(lab, place.who)
    forgotten(lab, place.who)

    for cell in LEGAL[phase]:
        assert place.say(lab, cell).error == bad_token(cell[0]), cell

    assert methods(lab, place.who) == had


@pytest.mark.proves("OTP-22", "ENR-09")
@pytest.mark.parametrize("phase", ["MFA.oob", "REG.oob", "RP.oob"])
def test_no_code_and_no_registration_survives_a_new_password(lab: Lab, phase: str) -> None:
    who, _ = somebody(lab, *([new_number()] if phase == "MFA.oob" else []), age=timedelta(0))
    asked = first_factor(lab, who).token
    match phase:
        case "MFA.oob":
            place = Place(phase, who, *second_challenged(lab, who, asked))
        case "REG.oob":
            place = Place(phase, who, *enrolling(lab, who, asked, new_number()))
        case _:
            place = Place(phase, who, *resetting(lab, who))
    had = methods(lab, who)
    _new_password(lab, who)

    for cell in LEGAL[phase]:
        assert place.say(lab, cell).error == bad_token(cell[0]), cell

    assert methods(lab, who) == had


def _new_password(lab: Lab, who: Person) -> None:
    token, code = resetting(lab, who)
    form = {"continuation_token": token, "grant_type": "oob", "oob": code}
    proven = lab.said(RESET_CONTINUE, who.client, **form).ok()
    form = {"continuation_token": proven.token, "new_password": ANOTHER_PASSWORD}
    lab.said(RESET_SUBMIT, who.client, **form).ok()


LOOKALIKES = (
    lambda a: a.replace("a", "\u0430", 1),  # Cyrillic a
    lambda a: a.replace("e", "\u0435"),
    lambda a: a.replace("ada", "ad\u0251", 1),
    lambda a: a.replace("example", "examp1e"),
    lambda a: a.replace("@", "+x@"),
    lambda a: a.replace("@", ".@"),
    lambda a: a.replace(".com", ".com.evil.example"),
    lambda a: f"{a},eve@evil.example",
    lambda a: f"{a} eve@evil.example",
    lambda a: f"eve@evil.example<{a}>",
    lambda a: f"{a}\r\nbcc: eve@evil.example",
    lambda a: f"{a}\x00@evil.example",
    lambda a: a.replace("@", "%40evil.example@"),
    lambda a: a.replace("i", "\u0131"),
    lambda a: a.replace("ada", "\u1d00da"),
)


@pytest.mark.proves("OTP-16")
@pytest.mark.parametrize("path", [INITIATE, RESET_START])
@pytest.mark.parametrize("number", range(len(LOOKALIKES)))
def test_an_address_that_only_looks_alike_gets_nothing_and_leads_to_nobody(
    lab: Lab, number: int, path: str
) -> None:
    who = person(lab, lab.password_app)
    typed = LOOKALIKES[number](who.address)
    if typed == who.address:
        typed = f"x{typed}"
    before = lab.stored()

    reply = begin(lab, path, who.client, typed)

    assert reply.error in (("user_not_found", "", 50034), ("invalid_request", "", 90100))
    assert lab.stored() == before


@pytest.mark.proves("OTP-16")
@pytest.mark.parametrize(
    "spell", [str.upper, str.title, lambda a: f"  {a} ", lambda a: a.replace("@ex", "@EX")]
)
def test_a_code_goes_to_the_address_as_it_is_stored_and_not_as_it_was_typed(
    lab: Lab, spell: Callable[[str], str]
) -> None:
    who = person(lab)
    begun = begin(lab, INITIATE, who.client, spell(who.address)).ok()

    sending(
        lab,
        who.address,
        "sign_in",
        lambda: lab.said(
            CHALLENGE, who.client, continuation_token=begun.token, challenge_target="eve@evil.example"
        ),
    )

    newest: dict[str, Any] = lab.get("/dev/inbox/messages", limit="1")["messages"][0]
    assert newest["to"] == who.address


# Registration. --------------------------------------------------------------------------------------


def hijacked(lab: Lab, who: Person, *targets: str) -> set[tuple[str, str, int]]:
    """What somebody with the right password hears who wants to register a place of their own."""
    token = first_factor(lab, who).token
    before = lab.stored()
    replies = [
        lab.said(
            REGISTER_CHALLENGE,
            who.client,
            continuation_token=token,
            challenge_type="oob",
            challenge_target=target,
            challenge_channel="email" if "@" in target else "sms",
        )
        for target in targets
    ]
    assert lab.stored() == before
    return {reply.error for reply in replies}


@pytest.mark.proves("ENR-02")
def test_whoever_knows_the_password_of_an_account_older_than_a_day_registers_no_place_of_their_own(
    lab: Lab,
) -> None:
    who = person(lab, lab.password_app)
    lab.advance(DAY + 1)

    errors = hijacked(lab, who, new_number(), f"eve.{new_address()}", who.address.replace("@", "+x@"))
    token = first_factor(lab, who).token
    listed = lab.said(REGISTER_INTROSPECT, who.client, continuation_token=token).ok()
    token, code = enrolling(lab, who, token, who.address)
    done = registered(lab, who, token, code).ok()

    assert errors == {CONTACT_REFUSED}
    assert [(m["challenge_channel"], m["login_hint"]) for m in listed["methods"]] == [("email", who.address)]
    assert token_set(redeemed(lab, who, done.token))
    assert methods(lab, who) == {who.address}


@pytest.mark.proves("ENR-02")
def test_an_account_that_becomes_a_day_old_in_the_middle_of_a_registration_is_judged_as_old(lab: Lab) -> None:
    who = person(lab, lab.password_app)
    lab.advance(DAY - 120)
    token, code = enrolling(lab, who, first_factor(lab, who).token, new_number())
    lab.advance(125)

    reply = registered(lab, who, token, code)

    assert reply.status == 400
    assert methods(lab, who) == set()


@pytest.mark.proves("ENR-02")
@pytest.mark.parametrize("age", [0, 400 * DAY])
def test_whoever_signs_in_by_mail_registers_a_phone_however_old_the_account_is(lab: Lab, age: int) -> None:
    who, _ = somebody(lab, password=False, age=timedelta(seconds=age))
    number = new_number()
    token, code = enrolling(lab, who, first_factor(lab, who).token, number)

    done = registered(lab, who, token, code).ok()

    assert token_set(redeemed(lab, who, done.token))
    assert methods(lab, who) == {number}


@pytest.mark.proves("ENR-02")
def test_whoever_has_a_second_factor_registers_no_other_one(lab: Lab) -> None:
    number = new_number()
    who, _ = somebody(lab, number, age=timedelta(0))
    token = first_factor(lab, who).token
    before = lab.stored()

    for path, more in (
        (REGISTER_INTROSPECT, {}),
        (REGISTER_CHALLENGE, {"challenge_type": "oob", "challenge_target": new_number()}),
        (REGISTER_CONTINUE, {"grant_type": "continuation_token"}),
    ):
        reply = lab.said(path, who.client, continuation_token=token, **more)
        assert reply.error == bad_token(path)

    assert lab.stored() == before


def test_the_owner_is_told_in_the_mailbox_of_a_phone_that_was_added(lab: Lab) -> None:
    who = person(lab)

    with_phone(lab, who)

    assert told(lab, who.address, 1)


@pytest.mark.proves("ENR-06")
def test_a_number_that_was_never_proven_is_of_no_use(lab: Lab) -> None:
    who, number = person(lab), new_number()
    token, code = enrolling(lab, who, first_factor(lab, who).token, number)

    assert redeemed(lab, who, token).error == bad_token(TOKEN)
    assert registered(lab, who, token, wrong(code)).error == WRONG_CODE
    assert first_factor(lab, who).error == REGISTRATION_REQUIRED
    assert methods(lab, who) == set()


@pytest.mark.proves("ENR-11")
def test_whoever_begins_a_sign_up_for_the_address_of_another_has_nothing_of_the_account(lab: Lab) -> None:
    address, client = new_address(), lab.password_app
    evil = {"password": ANOTHER_PASSWORD, "attributes": json.dumps({"displayName": "Eve"})}
    begun = begin(lab, SIGNUP_START, client, address, **evil).ok()
    attacker = Place("SU.oob", Person(address, client, ANOTHER_PASSWORD), begun.token)
    attacker = resent(lab, attacker)
    owner, token = sign_up(lab, client, address)

    finished = attacker.say(lab, (SIGNUP_CONTINUE, "oob"))
    resumed = redeemed(lab, owner, attacker.token, PLAIN)
    first, _ = challenged(lab, owner)
    by_attacker = prove_first(lab, owner, first, ANOTHER_PASSWORD, PLAIN)
    by_owner = prove_first(lab, owner, first, PASSWORD, PLAIN)

    assert finished.error == ("user_already_exists", "", 1003037)
    assert resumed.error == bad_token(TOKEN)
    assert by_attacker.error == ("invalid_grant", "", 50126)
    assert token_set(by_owner)
    assert token_set(redeemed(lab, owner, token, PLAIN))
    assert subject(lab, owner).attributes == {"displayName": "Ada"}


@pytest.mark.proves("ENR-11")
def test_the_code_of_the_owner_does_not_finish_the_sign_up_of_somebody_else(lab: Lab) -> None:
    address = new_address()
    who = Person(address, lab.otp_app)
    token = begin(lab, SIGNUP_START, who.client, address).ok().token
    attacker = resent(lab, Place("SU.oob", who, token))
    token = begin(lab, SIGNUP_START, who.client, address).ok().token
    owner = resent(lab, Place("SU.oob", who, token))

    assert attacker.say(lab, (SIGNUP_CONTINUE, "oob"), oob=owner.code).error == WRONG_CODE
    assert loaded(lab, who).subject is None
    assert owner.say(lab, (SIGNUP_CONTINUE, "oob")).status == 200
