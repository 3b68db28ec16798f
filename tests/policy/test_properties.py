"""What holds for every policy and every moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.model import Reason
from genkan.policy.decide import decide
from genkan.policy.explain import explain, what_if
from genkan.policy.model import Context, Decision, Person, Policy, SessionControls
from tests.policy.world import PLACES, a_context, a_frequency, a_policy

ACTION = "urn:user:registersecurityinfo"


def some_of(*values: str, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, min_size=least, max_size=3)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly not configured: a policy with every condition would never apply."""
    return st.one_of(st.none(), st.none(), values)


TARGETS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    (
        {"apps": "All"},
        {"apps": "All"},
        {"apps": "All", "not_apps": "P1"},
        {"apps": "All", "not_apps": ["P1", "C"]},
        {"apps": "P1"},
        {"apps": "C"},
        {"apps": ["C", "P1"], "not_apps": "C"},
        {"apps": "None"},
        {"context": "c1"},
        {"context": ["c1", "c2"], "not_apps": "P1"},
        {"action": ACTION},
        {"action": ACTION},
    )
)
CONTROLS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    (
        {"wants": "mfa"},
        {"wants": "mfa"},
        {"wants": "block"},
        {"wants": "compliantDevice"},
        {"wants": ["mfa", "passwordChange"]},
        {"wants": ["mfa", "approvedApplication"]},
        {"any_of": ["domainJoinedDevice", "mfa"]},
        {"any_of": ["compliantDevice"], "strength": "with e-mail"},
        {"strength": "00000000-0000-0000-0000-000000000002"},
        {"strength": "password"},
        {"strength": "gone"},
        {"at_most": "1 hours"},
        {"at_most": "every time"},
        {"wants": "mfa", "at_most": "2 hours", "repeats": "secondaryAuthentication"},
    )
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.integers(0, 999).map(lambda number: f"policy {number}"),
    "users": st.sampled_from(("All", "All", "U1", "U2", "None")),
    "not_users": maybe(some_of("U1", "U2")),
    "groups": maybe(some_of("G1", "G2")),
    "not_groups": maybe(some_of("G1", "G2")),
    "clients": st.sampled_from(("all", "all", "browser", "mobileAppsAndDesktopClients")),
    "platforms": maybe(some_of("all", "iOS", "android", least=1)),
    "places": maybe(some_of("All", "AllTrusted", *PLACES, least=1)),
    "not_places": maybe(some_of("AllTrusted", *PLACES)),
    "sign_in_risk": maybe(some_of("none", "low", "high")),
    "user_risk": maybe(some_of("none", "low", "high")),
}


def policies(*states: str) -> st.SearchStrategy[Policy]:
    parts = st.fixed_dictionaries({**PARTS, "state": st.sampled_from(states)})
    return st.builds(
        lambda part, target, control: a_policy(**part, **target, **control), parts, TARGETS, CONTROLS
    )


ANY_POLICY = policies("on", "on", "on", "report-only", "off")
ENFORCED = policies("on")
SEVERAL = st.lists(ANY_POLICY, max_size=4)

MOMENTS: dict[str, st.SearchStrategy[Any]] = {
    "who": st.sampled_from(("U1", "U2", "U3", "ADM")),
    "kind": st.sampled_from(("initial", "initial", "refresh", "user_action")),
    "purpose": st.sampled_from(("sign_in", "sign_in", "sign_up", "reset_password")),
    "scopes": st.sampled_from(("openid", "openid P1/read")),
    "asks": some_of("c1", "c2"),
    "first": st.sampled_from(("password", "password", "email")),
    "first_age": st.sampled_from(("0 minutes", "6 minutes", "90 minutes", "3 hours")),
    "verified": some_of("email"),
    "second": some_of("email", "sms", "other email"),
    "second_age": st.sampled_from(("0 minutes", "90 minutes", "3 hours")),
    "enrolled": st.booleans(),
    "has": some_of("email", "other email", "sms"),
    "disabled": some_of("email", "sms"),
    "account_age": st.sampled_from(("1 hours", "30 days")),
    "user_risk": st.sampled_from(("hidden", "none", "low", "high")),
    "sign_in_risk": st.sampled_from(("hidden", "none", "low", "high")),
    "address": st.sampled_from(("198.51.100.7", "203.0.113.9", "2001:db8:1::5", "")),
    "country": st.sampled_from(("JP", "US", "")),
    "platform": st.sampled_from(("iOS", "android", "unknown")),
    "security_defaults": st.booleans(),
    "wants_acrs": st.booleans(),
}


def contexts(**fixed: Any) -> st.SearchStrategy[Context]:
    moment = {name: values for name, values in MOMENTS.items() if name not in fixed}
    return st.fixed_dictionaries(moment).map(lambda given: a_context(**given, **fixed))


ANY_CONTEXT = contexts()
SIGN_IN = contexts(kind="initial", enrolled=False)


def without_trace(decision: Decision) -> Decision:
    return replace(decision, trace=())


def applies(policy: Policy, context: Context) -> bool:
    return what_if([policy], context)[0].applies


@pytest.mark.proves("CA-02")
@settings(deadline=None)
@given(SEVERAL, ENFORCED, ANY_CONTEXT)
def test_one_more_policy_never_lets_in_who_was_not_let_in(
    some: list[Policy], more: Policy, context: Context
) -> None:
    before = decide(some, context)

    after = decide([*some, more], context)

    assert after.outcome != "allow" or before.outcome == "allow"


@settings(deadline=None)
@given(SEVERAL, ANY_CONTEXT, st.data())
def test_the_order_of_policies_never_matters(
    some: list[Policy], context: Context, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(some))

    one, other = decide(some, context), decide(shuffled, context)

    assert without_trace(one) == without_trace(other)
    assert sorted(one.trace, key=repr) == sorted(other.trace, key=repr)


@pytest.mark.proves("CA-04")
@settings(deadline=None)
@given(SEVERAL, ANY_CONTEXT)
def test_policies_that_are_off_or_only_report_change_nothing(some: list[Policy], context: Context) -> None:
    enforced = [policy for policy in some if policy.state == "enabled"]

    assert without_trace(decide(some, context)) == without_trace(decide(enforced, context))


@pytest.mark.proves("CA-04")
@settings(deadline=None)
@given(SEVERAL, contexts(security_defaults=False))
def test_what_if_says_of_each_policy_what_the_sign_in_log_says(some: list[Policy], context: Context) -> None:
    log = decide(some, context).trace

    answer = what_if(some, context)

    missed = {"notApplied", "reportOnlyNotApplied", "notEnabled"}
    assert [entry.applies for entry in answer] == [entry.result not in missed for entry in log]
    assert all((entry.reasons == "notSet") == entry.applies for entry in answer)


@settings(deadline=None)
@given(SEVERAL, ENFORCED, ANY_CONTEXT)
def test_a_policy_that_applies_and_blocks_wins(some: list[Policy], block: Policy, context: Context) -> None:
    block = replace(block, grant_controls=a_policy(wants="block").grant_controls)

    decision = decide([*some, block], context)

    assert (decision.outcome == "block") >= applies(block, context)


@settings(deadline=None)
@given(ANY_POLICY, ANY_CONTEXT)
def test_one_more_exclusion_never_makes_a_policy_apply(policy: Policy, context: Context) -> None:
    before = applies(policy, context)
    conditions = policy.conditions
    users, targets = conditions.users, conditions.applications
    person = context.person or Person(id="", created_at=context.now)
    narrower = [
        replace(conditions, users=replace(users, exclude_users=(*users.exclude_users, person.id))),
        replace(conditions, users=replace(users, exclude_groups=(*users.exclude_groups, *person.groups))),
        replace(conditions, users=replace(users, exclude_roles=tuple(person.roles))),
        replace(
            conditions,
            applications=replace(targets, exclude_applications=(*targets.exclude_applications, "P1")),
        ),
    ]
    if conditions.locations is not None:
        places = replace(conditions.locations, exclude_locations=("AllTrusted", *PLACES))
        narrower.append(replace(conditions, locations=places))
    if conditions.platforms is not None:
        platforms = replace(conditions.platforms, exclude_platforms=("iOS",))
        narrower.append(replace(conditions, platforms=platforms))

    after = [applies(replace(policy, conditions=changed), context) for changed in narrower]

    assert before or not any(after)
    if person.id:
        assert not after[0], "to be excluded by name beats whatever includes"


@settings(deadline=None)
@given(ANY_POLICY, ANY_CONTEXT)
def test_one_more_inclusion_never_makes_a_policy_apply_less(policy: Policy, context: Context) -> None:
    before = applies(policy, context)
    conditions = policy.conditions
    users, targets = conditions.users, conditions.applications
    wider = [replace(conditions, users=replace(users, include_users=(*users.include_users, "U3")))]
    wider.append(replace(conditions, client_app_types=(*conditions.client_app_types, "browser")))
    if targets.include_applications:
        applications = replace(targets, include_applications=(*targets.include_applications, "P1"))
        wider.append(replace(conditions, applications=applications))
    if conditions.sign_in_risk_levels:
        wider.append(replace(conditions, sign_in_risk_levels=(*conditions.sign_in_risk_levels, "medium")))
    if conditions.locations is not None:
        places = (*conditions.locations.include_locations, "net")
        wider.append(replace(conditions, locations=replace(conditions.locations, include_locations=places)))

    after = [applies(replace(policy, conditions=changed), context) for changed in wider]

    assert all(after) or not before


@settings(deadline=None)
@given(SEVERAL, ANY_CONTEXT)
def test_nothing_is_evaluated_before_a_first_factor_is_proven(some: list[Policy], context: Context) -> None:
    second_only = tuple(e for e in context.evidence if e.part == "second")

    decision = decide(some, replace(context, evidence=second_only))

    assert (decision.outcome, decision.reason, decision.trace) == ("deny", Reason.BLOCKED_BY_POLICY, ())


@settings(deadline=None)
@given(SEVERAL, SIGN_IN)
def test_what_is_asked_for_can_be_done(some: list[Policy], context: Context) -> None:
    """Whoever is asked for a second factor has one that was not used yet; whoever registers one has none."""
    decision = decide(some, context)

    used = {(e.kind, e.place) for e in context.evidence if e.part == "first"}
    assert bool(decision.usable) == (decision.outcome == "mfa")
    assert bool(decision.registrable) == (decision.outcome == "register")
    assert not {(a.kind, a.target.place) for a in decision.usable if a.target} & used
    assert set(decision.usable) <= set(context.authenticators)
    assert (decision.reason is None) == (decision.outcome in ("allow", "mfa", "register"))


@settings(deadline=None)
@given(SEVERAL, SIGN_IN)
def test_giving_what_is_asked_for_is_enough(some: list[Policy], context: Context) -> None:
    """Each usable second factor, once proven, is not asked for again."""
    decision = decide(some, context)

    for method in decision.usable:
        place = method.target.place if method.target else None
        proof = replace(context.evidence[-1], kind=method.kind, place=place, part="second", at=context.now)
        after = decide(some, replace(context, evidence=(*context.evidence, proof)))
        assert after.outcome in ("allow", "password_change")


@settings(deadline=None)
@given(SEVERAL, ANY_CONTEXT)
def test_every_decision_can_be_explained(some: list[Policy], context: Context) -> None:
    decision = decide(some, context)

    assert len(explain(decision)) == 1 + len(decision.trace)
    assert len(decision.trace) == len(some) + context.security_defaults


class Broken(Sequence[Policy]):
    """A list of policies that cannot be read."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        raise OSError("the disk is gone")


FAULTS: dict[str, Any] = {
    "a device filter": lambda p: replace(p, conditions=replace(p.conditions, devices={"deviceFilter": {}})),
    "an insider risk": lambda p: replace(p, conditions=replace(p.conditions, insider_risk_levels="minor")),
    "workload identities": lambda p: replace(p, conditions=replace(p.conditions, client_applications={})),
    "no target": lambda p: replace(
        p,
        conditions=replace(
            p.conditions, applications=replace(p.conditions.applications, include_applications=())
        ),
    ),
    "an application filter": lambda p: replace(
        p,
        conditions=replace(
            p.conditions, applications=replace(p.conditions.applications, application_filter={})
        ),
    ),
    "no controls": lambda p: replace(p, grant_controls=replace(p.grant_controls, built_in_controls=())),
    "an operator": lambda p: replace(p, grant_controls=replace(p.grant_controls, operator="XOR")),
    "a control": lambda p: replace(
        p, grant_controls=replace(p.grant_controls, built_in_controls=("prayer",))
    ),
    "risk remediation": lambda p: replace(
        p, grant_controls=replace(p.grant_controls, built_in_controls=("riskRemediation",))
    ),
    "terms of use": lambda p: replace(p, grant_controls=replace(p.grant_controls, terms_of_use=("terms",))),
    "custom factors": lambda p: replace(
        p, grant_controls=replace(p.grant_controls, custom_authentication_factors=("duo",))
    ),
    "a frequency": lambda p: replace(
        p,
        session_controls=SessionControls(sign_in_frequency=replace(a_frequency("1 hours"), value=None)),
    ),
    "nonsense": lambda p: replace(p, conditions=None),
}


@pytest.mark.proves("CA-02")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_policy_that_cannot_be_judged_lets_nobody_in(fault: str) -> None:
    broken = FAULTS[fault](a_policy(name="broken", wants="mfa"))

    decision = decide([broken], a_context())

    assert (decision.outcome, decision.reason) == ("deny", Reason.BLOCKED_BY_POLICY)
    assert [(entry.policy, entry.result) for entry in decision.trace] == [("broken", "unknown")]
    assert decision.trace[0].because != ""
    assert [(entry.applies, entry.reasons) for entry in what_if([broken], a_context())] in (
        [(True, "invalidPolicy")],
        [(True, "notSet")],
    )


@settings(deadline=None)
@given(SEVERAL, st.sampled_from(sorted(FAULTS)), contexts(kind="initial"))
def test_nor_does_it_beside_others(some: list[Policy], fault: str, context: Context) -> None:
    broken = FAULTS[fault](a_policy(name="broken", wants="mfa"))

    decision = decide([*some, broken], context)

    assert decision.outcome in ("deny", "block")
    assert decision.reason is Reason.BLOCKED_BY_POLICY
    assert decision.trace[len(some)].result == "unknown"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("state", ["report-only", "off"])
def test_it_has_no_such_power_while_it_is_not_enforced(fault: str, state: str) -> None:
    broken = FAULTS[fault](a_policy(state=state, wants="mfa"))

    decision = decide([broken], a_context())

    assert decision.outcome == "allow"
    assert [entry.result for entry in decision.trace] == [
        "unknown" if state == "report-only" else "notEnabled"
    ]


def test_a_policy_that_is_not_about_the_person_cannot_harm_them() -> None:
    broken = FAULTS["a device filter"](a_policy(users="U2", wants="mfa"))

    decision = decide([broken], a_context(who="U1"))

    assert decision.outcome == "allow"
    assert what_if([broken], a_context(who="U1"))[0].reasons == "users"


@pytest.mark.parametrize("kind", ["initial", "refresh", "user_action", "client"])
def test_policies_that_cannot_be_read_let_nobody_in(kind: str) -> None:
    who, first = (None, None) if kind == "client" else ("U1", "password")

    decision = decide(Broken(), a_context(kind=kind, who=who, first=first))

    assert (decision.outcome, decision.reason) == ("deny", Reason.BLOCKED_BY_POLICY)
    assert [(entry.result, entry.because) for entry in decision.trace] == [("unknown", "OSError")]


def test_a_fault_refuses_a_registration_too() -> None:
    broken = FAULTS["a device filter"](a_policy(action=ACTION, wants="mfa"))

    decision = decide([broken], a_context(kind="user_action"))

    assert (decision.outcome, decision.reason) == ("deny", Reason.BLOCKED_BY_POLICY)


@pytest.mark.parametrize(
    ("kind", "who", "first"),
    [("client", "U1", "password"), ("initial", None, "password"), ("client", "U1", None)],
)
def test_only_a_client_acts_without_a_person(kind: str, who: str | None, first: str | None) -> None:
    decision = decide([], a_context(kind=kind, who=who, first=first))

    assert (decision.outcome, decision.reason) == ("deny", Reason.BLOCKED_BY_POLICY)
