"""
What a policy would have done, against what it then does: the same sign-ins, foretold from the log and gone through.

Source: conditional-access 12, 14; CA-04.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from genkan import identifiers
from genkan.cli import main
from genkan.engine.impact import Impact
from genkan.engine.transaction import SignInQuery
from genkan.model import Kind, MethodSettings, Place
from genkan.policy.model import (
    CountryLocation,
    Locations,
    Policy,
)
from genkan.policy.trace import REPORT_ONLY
from genkan.service import inquiry
from genkan.store.sqlite import SqliteStore
from tests.server import first_factor_by_code, new_address, new_number
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, first_factor_by_password
from tests.wire.policies import for_everybody
from tests.wire.servers import World


def a_draft(control: str, **conditions: Any) -> Policy:
    return for_everybody(control, state=REPORT_ONLY, **conditions)


def foretold(world: World, draft: Policy, since: SignInQuery | None = None) -> Impact:
    before, after = inquiry.compared(world.directory.policies, draft)
    return world.run(inquiry.impact(world.store, before, after, since or SignInQuery(since=world.now)))


def someone(world: World, **given: Any) -> str:
    """An old account with a password: ENR-02 lets it register its own mailbox only."""
    address = new_address()
    world.person(address, password=PASSWORD, age=timedelta(days=3), **given)
    return address


@pytest.mark.proves("CA-04")
def test_whoever_would_have_been_asked_or_stranded_is_so_once_the_policy_is_enabled(world: World) -> None:
    phone = identifiers.phone(new_number())
    assert phone is not None
    has_phone, has_none = someone(world, seconds=(phone,)), someone(world)
    by_code = new_address()
    world.person(by_code, age=timedelta(days=3))
    started = world.now
    draft = a_draft("mfa")
    sms_off = (Kind.SMS_OTP, MethodSettings(enabled=False))

    with world.changed(draft, sms_off):
        for address in (has_phone, has_none):
            first_factor_by_password(world, address, OPENID).ok()
        first_factor_by_code(world, by_code, OPENID).ok()
        told = foretold(world, draft, SignInQuery(since=started))

    with world.changed(draft):
        told_with_sms = foretold(world, draft, SignInQuery(since=started))

    assert told.sign_ins == {"stranded": 2, "registers": 1}
    assert set(told.people["stranded"]) == {world.subject(has_phone).id, world.subject(by_code).id}
    assert set(told.people["registers"]) == {world.subject(has_none).id}
    assert told_with_sms.sign_ins == {"asked": 1, "registers": 2}
    assert set(told_with_sms.people["asked"]) == {world.subject(has_phone).id}

    with world.changed(replace(draft, state="enabled"), sms_off):
        answers = [first_factor_by_password(world, a, OPENID).error for a in (has_phone, has_none)]
        answers.append(first_factor_by_code(world, by_code, OPENID).error)
    assert answers == [
        ("invalid_grant", "", 50079),
        ("invalid_grant", "registration_required", 50079),
        ("invalid_grant", "", 50079),
    ]


def test_a_refresh_asks_nobody_anything_so_it_would_have_been_a_new_sign_in(world: World) -> None:
    address = someone(world)
    started = world.now
    first = first_factor_by_password(world, address, OPENID).ok()
    world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=first["refresh_token"],
    ).ok()

    told = foretold(world, a_draft("mfa"), SignInQuery(since=started))

    assert told.refreshes == {"signs_in_again": 1}
    assert told.people["signs_in_again"][world.subject(address).id].refreshes == 1


def test_where_somebody_was_counts_as_the_log_has_it(world: World) -> None:
    from_japan, from_nowhere = someone(world), someone(world)
    started = world.now
    japan = CountryLocation(id=str(uuid4()), display_name="Japan", countries_and_regions=("JP",))
    draft = a_draft("block", locations=Locations(include_locations=(japan.id,)))

    with world.changed(japan, draft):
        with world.located(Place(country="JP")):
            first_factor_by_password(world, from_japan, OPENID).ok()
        first_factor_by_password(world, from_nowhere, OPENID).ok()
        told = foretold(world, draft, SignInQuery(since=started))

    assert told.sign_ins == {"blocked": 1, "unchanged": 1}
    assert set(told.people["blocked"]) == {world.subject(from_japan).id}


def test_a_wrong_password_says_nothing_of_a_policy(world: World) -> None:
    address = someone(world)
    started = world.now
    first_factor_by_password(world, address, OPENID, password="not this one")

    told = foretold(world, a_draft("block"), SignInQuery(since=started))

    assert told.left_out == {"no first factor": 1}
    assert not told.sign_ins


def test_a_policy_that_is_enabled_is_compared_with_a_tenant_without_it(world: World) -> None:
    enabled = replace(a_draft("block"), state="enabled")

    before, after = inquiry.compared((*world.directory.policies, enabled), enabled)

    assert enabled not in before
    assert enabled in after


# On the command line. --------------------------------------------------------------------------------


def run(world: World, *words: str) -> tuple[int, str]:
    """What a command says about the folder of a server that runs."""
    store = world._development._store
    assert isinstance(store, SqliteStore)
    folder = store._lock.name.rpartition("/")[0]
    done = CliRunner().invoke(main, [*words, "--data", folder])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_sign_in_is_explained_beside_the_running_server(world: World) -> None:
    address, correlation = someone(world), str(uuid4())
    form = {
        "client_id": world.password_app,
        "username": address,
        "challenge_type": "oob password redirect",
        "capabilities": "mfa_required registration_required",
    }
    begun = world.post_form(strict.INITIATE, form, {"client-request-id": correlation})
    asked = world.post(strict.CHALLENGE, client_id=world.password_app, continuation_token=begun.token)
    world.post(
        strict.TOKEN,
        client_id=world.password_app,
        continuation_token=asked.token,
        grant_type="password",
        password=PASSWORD,
        scope=world.scope,
    )

    code, told = run(world, "explain", correlation)

    assert code == 0
    assert "The password was right; a second factor had to be registered first." in told
    assert "“The demo API needs a second factor” applied and was not met: it wants a second factor." in told
    assert "It ended where a second factor had to be registered." in told
    assert address not in told

    code, told = run(world, "explain", correlation, "--json")
    assert json.loads(told)[0]["correlation_id"] == correlation


def test_an_unknown_correlation_id_is_said_to_be_so(world: World) -> None:
    code, told = run(world, "explain", str(uuid4()))

    assert code == 1
    assert told.startswith("Error: Nothing is known of ")


def test_what_if_says_what_would_be_asked_and_sends_nothing(world: World) -> None:
    address = someone(world)

    code, told = run(
        world, "policy", "what-if", address, "--app", world.password_app, "--for", "api://genkan-demo"
    )

    assert code == 0
    assert "asked to register a second factor" in told
    assert "May be registered: e-mail" in told
    assert world.messages(address) == []


def test_what_if_answers_for_another_place_and_risk(world: World) -> None:
    address = someone(world)
    japan = CountryLocation(id=str(uuid4()), display_name="Japan", countries_and_regions=("JP",))
    draft = replace(a_draft("block", locations=Locations(include_locations=(japan.id,))), state="enabled")
    question = ("policy", "what-if", address, "--app", world.password_app, "--json")
    with world.changed(japan, draft):
        there = json.loads(run(world, *question, "--country", "jp")[1])
        elsewhere = json.loads(run(world, *question, "--country", "de")[1])

    assert (there["outcome"], elsewhere["outcome"]) == ("block", "allow")
    reasons = {entry["id"]: entry["analysisReasons"] for entry in elsewhere["policies"]}
    assert reasons[draft.id] == "location"


def test_impact_reads_a_draft_from_a_file_and_names_the_people(world: World, tmp_path: Any) -> None:
    address = someone(world)
    first_factor_by_password(world, address, OPENID).ok()
    file = tmp_path / "draft.json"
    file.write_text(
        json.dumps(
            {
                "displayName": "Nobody any more",
                "state": "disabled",
                "conditions": {
                    "users": {"includeUsers": [world.subject(address).id]},
                    "applications": {"includeApplications": ["All"]},
                },
                "grantControls": {"operator": "OR", "builtInControls": ["block"]},
            }
        )
    )

    code, told = run(world, "policy", "impact", str(file), "--since", "1h")
    assert code == 0
    assert "What would have been with “Nobody any more” enabled" in told
    assert world.subject(address).id in told.partition("Blocked")[2]

    told_as_json = json.loads(run(world, "policy", "impact", str(file), "--json")[1])
    assert told_as_json["signIns"]["blocked"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("policy", "impact", "no such policy"), "There is no policy or file no such policy"),
        (("policy", "impact", "The demo API needs a second factor", "--since", "soon"), "soon is no time"),
        (("policy", "what-if", "nobody@example.com", "--app", "no app"), "There is no app no app"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(world: World, words: tuple[str, ...], said: str) -> None:
    code, told = run(world, *words)

    assert code == 1
    assert said in told
    assert "Traceback" not in told
