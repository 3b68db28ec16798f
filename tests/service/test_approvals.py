"""Two administrators for what could undo protection: nothing happens by one, and what was approved is what happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genkan.engine import approvals as rules
from genkan.model import Approval
from genkan.service.admin import applications, approvals, people, policies, tenants
from genkan.service.admin.applications import APPROVE, PERMISSIONS, ApplicationChange
from genkan.service.admin.door import Actor, Refusal
from genkan.service.admin.people import NewPerson
from tests.service.offices import OPERATOR, Office, made, office, refused

pytestmark = pytest.mark.anyio

ADA = Actor(id="ada", name="Ada's desk", roles=frozenset(PERMISSIONS))
BOB = Actor(id="bob", name="Bob's desk", roles=frozenset(PERMISSIONS))
MFA = {
    "displayName": "Everybody",
    "state": "enabled",
    "conditions": {
        "users": {"includeUsers": ["All"]},
        "applications": {"includeApplications": ["All"]},
        "clientAppTypes": ["all"],
    },
    "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
}

Attempt = Callable[[Actor], Awaitable[Any]]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    """A tenant where two have to agree."""
    async with office(tmp_path) as one:
        app = made(await applications.add(one.door, OPERATOR, ApplicationChange(name="Bob's desk")))
        made(await applications.grant_role(one.door, OPERATOR, app.id, APPROVE))
        made(await tenants.change(one.door, OPERATOR, {"dual_control": True}))
        yield one


def waiting(here: Office) -> tuple[Approval, ...]:
    return approvals.waiting(here.store.directory(), here.clock())


async def by_two(here: Office, attempt: Attempt) -> Any:
    """Let an act be asked for by one, who cannot approve it, be approved by another, and be done."""
    asked = refused(await attempt(ADA))
    assert asked.code == "ApprovalRequired", asked
    (one,) = waiting(here)
    assert (asked.why, asked.code, asked.target) == ("forbidden", "ApprovalRequired", one.id)
    assert one.id in asked.text
    again = refused(await attempt(ADA))  # It waits; asking twice is no second word.
    assert (again.target, len(waiting(here))) == (one.id, 1)
    own = refused(await approvals.judge(here.door, ADA, one.id, "approved"))
    assert (own.why, own.text) == ("forbidden", "You asked for it: another administrator has to approve it.")
    assert isinstance(await attempt(ADA), Refusal)
    made(await approvals.judge(here.door, BOB, one.id, "approved", "as agreed"))
    done = made(await attempt(ADA))
    assert waiting(here) == ()  # The word is spent.
    return done


# What takes two. ----------------------------------------------------------------------------------------------------


@pytest.mark.proves("ADM-06")
@pytest.mark.parametrize(
    "patch",
    [
        {"state": "disabled"},
        {"state": "enabledForReportingButNotEnforced"},
        {"conditions": {"clientAppTypes": ["browser"]}},
    ],
)
async def test_a_policy_that_is_on_is_weakened_by_two(here: Office, patch: dict[str, Any]) -> None:
    policy = made(await policies.add(here.door, ADA, MFA))
    await by_two(here, lambda actor: policies.change(here.door, actor, policy.id, patch))


@pytest.mark.proves("ADM-06")
async def test_a_policy_that_is_on_is_removed_by_two(here: Office) -> None:
    policy = made(await policies.add(here.door, ADA, MFA))
    await by_two(here, lambda actor: policies.remove(here.door, actor, policy.id))
    assert not list(here.store.directory().policies)


async def test_what_weakens_nothing_takes_one(here: Office) -> None:
    policy = made(await policies.add(here.door, ADA, {**MFA, "state": "disabled"}))
    made(await policies.change(here.door, ADA, policy.id, {"state": "enabled"}))
    made(await policies.change(here.door, ADA, policy.id, {"displayName": "All"}))
    made(await tenants.change(here.door, OPERATOR, {"code_length": 9}))
    assert waiting(here) == ()


@pytest.mark.proves("ADM-06")
async def test_security_defaults_are_switched_off_by_two(here: Office) -> None:
    made(await policies.set_security_defaults(here.door, ADA, on=True))
    await by_two(here, lambda actor: policies.set_security_defaults(here.door, actor, on=False))


@pytest.mark.proves("ADM-06")
@pytest.mark.parametrize("setting", ["audit_retention", "log_retention"])
async def test_how_long_logs_are_kept_is_changed_by_two(here: Office, setting: str) -> None:
    change = {setting: timedelta(days=31), "code_length": 9}
    await by_two(here, lambda actor: tenants.change(here.door, actor, change))
    assert getattr(here.store.directory().tenant, setting) == timedelta(days=31)


@pytest.mark.proves("ADM-06")
async def test_it_is_switched_off_by_two(here: Office) -> None:
    await by_two(here, lambda actor: tenants.change(here.door, actor, {"dual_control": False}))
    assert not here.store.directory().tenant.dual_control


@pytest.mark.proves("ADM-06")
async def test_nobody_makes_themselves_a_second_administrator(here: Office) -> None:
    bobs = applications.approvers(here.store.directory())[0].id
    mine = made(await applications.add(here.door, ADA, ApplicationChange(name="Another of Ada's")))
    assert refused(await applications.grant_role(here.door, ADA, mine.id, APPROVE)).code == "ApprovalRequired"
    assert refused(await applications.add_secret(here.door, ADA, bobs)).code == "ApprovalRequired"
    made(await applications.add_secret(here.door, ADA, mine.id))
    itself = msgspec.structs.replace(BOB, id=bobs)
    made(await applications.add_secret(here.door, itself, bobs))
    assert len(waiting(here)) == 2


@pytest.mark.proves("ADM-06")
async def test_many_people_are_deleted_by_two(here: Office) -> None:
    everybody = [
        made(await people.add(here.door, ADA, NewPerson(principal_name=f"p{n}@north.example"))).id
        for n in range(42)
    ]
    for id in everybody[:20]:
        made(await people.remove(here.door, ADA, id))
    await by_two(here, lambda actor: people.remove(here.door, actor, everybody[20]))
    for id in everybody[21:40]:  # Twenty more, and then it takes a further word.
        made(await people.remove(here.door, ADA, id))
    assert refused(await people.remove(here.door, ADA, everybody[40])).code == "ApprovalRequired"
    # The twenty are of all of them together: else somebody with several clients would have several times as many.
    assert refused(await people.remove(here.door, BOB, everybody[40])).code == "ApprovalRequired"
    here.clock.move(timedelta(hours=1))
    made(await people.remove(here.door, ADA, everybody[41]))


@pytest.mark.proves("ADM-06")
async def test_a_tenant_is_deleted_by_two(here: Office) -> None:
    await by_two(here, lambda actor: tenants.allow_removal(here.door, actor))


# The word of the second one. ----------------------------------------------------------------------------------------


async def shortened(here: Office, days: int = 31, by: Actor = ADA) -> Any:
    return await tenants.change(here.door, by, {"audit_retention": timedelta(days=days)})


async def test_it_is_for_that_very_act_of_that_very_administrator(here: Office) -> None:
    id = refused(await shortened(here)).target
    made(await approvals.judge(here.door, BOB, id, "approved"))
    assert refused(await shortened(here, 32)).target != id
    assert refused(await shortened(here, by=BOB)).target != id
    assert refused(await shortened(here, by=msgspec.structs.replace(ADA, kind="operator"))).target != id
    made(await shortened(here))


async def test_it_does_not_count_when_what_it_is_about_has_changed_since(here: Office) -> None:
    policy = made(await policies.add(here.door, ADA, MFA))

    async def off() -> Any:
        return await policies.change(here.door, ADA, policy.id, {"state": "disabled"})

    first = refused(await off()).target
    made(await approvals.judge(here.door, BOB, first, "approved"))
    made(await policies.change(here.door, BOB, policy.id, {"displayName": "Everybody at all"}))
    assert refused(await off()).target != first


async def test_it_counts_once_also_for_those_who_hurry(here: Office) -> None:
    made(await policies.set_security_defaults(here.door, ADA, on=True))
    id = refused(await policies.set_security_defaults(here.door, ADA, on=False)).target
    made(await approvals.judge(here.door, BOB, id, "approved"))
    made(await policies.set_security_defaults(here.door, ADA, on=False))
    made(await policies.set_security_defaults(here.door, ADA, on=True))
    assert refused(await policies.set_security_defaults(here.door, ADA, on=False)).target != id
    both = await asyncio.gather(
        *(approvals.judge(here.door, OPERATOR, waiting(here)[0].id, "approved") for _ in range(2))
    )
    assert [isinstance(one, Refusal) for one in both] == [False, True]


async def test_it_counts_for_a_day(here: Office) -> None:
    id = refused(await shortened(here)).target
    here.clock.move(rules.LIFETIME)
    assert refused(await approvals.judge(here.door, BOB, id, "approved")).why == "missing"
    id = refused(await shortened(here)).target
    assert [one.id for one in here.store.directory().approvals.values()] == [id]  # The old one is gone.
    made(await approvals.judge(here.door, BOB, id, "approved"))
    here.clock.move(rules.LIFETIME)
    assert refused(await shortened(here)).code == "ApprovalRequired"


async def test_a_no_is_a_no_for_as_long_and_whoever_asked_learns_why(here: Office) -> None:
    id = refused(await shortened(here)).target
    made(await approvals.judge(here.door, BOB, id, "refused", "not before the audit"))
    assert refused(await shortened(here)).text == "Bob's desk refused this: not before the audit."
    assert refused(await approvals.judge(here.door, BOB, id, "approved")).why == "stale"
    assert len(waiting(here)) == 1


async def test_whoever_asked_takes_it_back(here: Office) -> None:
    id = refused(await shortened(here)).target
    made(await approvals.judge(here.door, ADA, id, "refused"))
    assert refused(await approvals.judge(here.door, BOB, id, "approved")).why == "stale"


async def test_nobody_fills_the_list(here: Office) -> None:
    for days in range(31, 31 + rules.MOST):
        assert refused(await shortened(here, days)).code == "ApprovalRequired"
    no = refused(await shortened(here, 99))
    assert (no.code, len(waiting(here))) == ("", rules.MOST)
    assert refused(await shortened(here, 99, BOB)).code == "ApprovalRequired"


@pytest.mark.proves("ADM-06")
async def test_the_log_has_both_of_them(here: Office) -> None:
    id = refused(await shortened(here)).target
    refused(await approvals.judge(here.door, ADA, id, "approved"))
    made(await approvals.judge(here.door, BOB, id, "approved", "as agreed"))
    made(await shortened(here))
    rows = [row.record for row in await here.store.trail(limit=100) if row.record.category][-4:]
    assert [(row.action, row.reason) for row in rows] == [
        ("Update organization", "forbidden"),
        ("Approve act", "forbidden"),
        ("Approve act", ""),
        ("Update organization", ""),
    ]
    assert rows[3].detail["actor"]["id"] == "ada"
    assert rows[3].detail["approved_by"] == {"id": "app:bob", "name": "Bob's desk"}
    assert {"name": "reason", "old": None, "new": '"as agreed"'} in rows[2].detail["targets"][0]["changes"]


# Off by default. ----------------------------------------------------------------------------------------------------


async def test_where_one_administers_alone_one_is_enough(tmp_path: Path) -> None:
    async with office(tmp_path) as alone:
        made(await tenants.change(alone.door, OPERATOR, {"audit_retention": timedelta(days=31)}))
        no = refused(await tenants.change(alone.door, OPERATOR, {"dual_control": True}))
        assert APPROVE in no.text  # Nobody could approve, not even to switch it off again.
