"""
What one Conditional Access decision costs, and how it grows with the number of policies.

The tenant has 1,000 groups; the person is in 50 of them. Policies are of the kinds that tenants have: most are about
other groups or apps, some apply. They are given to the engine as values: a decision makes no query, whatever their
number.

    .venv/bin/python bench/policies.py              the table in docs/explanation/performance.md
    .venv/bin/python bench/policies.py --rounds 50
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from datetime import UTC, datetime, timedelta

from genkan.model import Authenticator, Client, Demand, Evidence, Identifier, Kind, MethodSettings
from genkan.policy.decide import decide
from genkan.policy.index import PolicySet
from genkan.policy.model import (
    Applications,
    Conditions,
    Context,
    GrantControls,
    IpLocation,
    IPv4Range,
    Locations,
    Person,
    Platforms,
    Policy,
    SessionControls,
    SignInFrequency,
    Users,
)

NOW = datetime(2031, 3, 4, 5, 6, 7, tzinfo=UTC)
GROUPS = tuple(f"{number:08x}-0000-4000-8000-000000000001" for number in range(1000))
APPS = tuple(f"{number:08x}-0000-4000-8000-000000000002" for number in range(50))
OFFICES = tuple(f"{number:08x}-0000-4000-8000-000000000003" for number in range(20))
TARGET_MICROSECONDS = 200
"""Of one decision with 200 policies."""


def a_policy(number: int, chance: random.Random) -> Policy:
    """One policy of a made-up tenant."""
    kind = number % 5
    users = Users(include_users=("All",), exclude_groups=(chance.choice(GROUPS),))
    if kind in (1, 2):
        users = Users(include_groups=tuple(chance.sample(GROUPS, 3)))
    apps = ("All",) if kind == 0 else tuple(chance.sample(APPS, 2))
    where = Locations(include_locations=("All",), exclude_locations=("AllTrusted",)) if kind == 3 else None
    on = Platforms(include_platforms=("android", "iOS")) if kind == 4 else None
    often = SignInFrequency(is_enabled=True, type="hours", value=12) if number % 20 == 0 else None
    return Policy(
        id=f"{number:08x}-0000-4000-8000-000000000004",
        display_name=f"Policy {number}",
        state="enabledForReportingButNotEnforced" if number % 10 == 9 else "enabled",
        conditions=Conditions(
            users=users, applications=Applications(include_applications=apps), locations=where, platforms=on
        ),
        grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
        session_controls=SessionControls(sign_in_frequency=often) if often else None,
    )


def a_moment() -> Context:
    """A person with a phone, right after the first factor."""
    mailbox = Identifier("email", "sam@example.com", "sam@example.com")
    phone = Identifier("phone", "+447811111111", "+447811111111")
    return Context(
        now=NOW,
        person=Person(
            id="p",
            groups=frozenset(random.Random(1).sample(GROUPS, 50)),
            created_at=NOW - timedelta(days=90),
            sign_in_place=mailbox.place,
        ),
        client=Client(id="c", name="App"),
        demand=Demand(scopes=("openid", "api://x/y"), resource=APPS[0]),
        evidence=(Evidence(kind=Kind.PASSWORD, at=NOW, part="first"),),
        authenticators=(Authenticator(id="a", subject="p", kind=Kind.SMS_OTP, target=phone, created_at=NOW),),
        methods={Kind.EMAIL_OTP: MethodSettings(), Kind.SMS_OTP: MethodSettings()},
        platform="iOS",
        address="198.51.100.7",
        locations={
            id: IpLocation(
                id=id,
                display_name=id,
                is_trusted=True,
                ip_ranges=(IPv4Range(cidr_address=f"203.0.{number}.0/24"),),
            )
            for number, id in enumerate(OFFICES)
        },
    )


def measure(count: int, rounds: int) -> tuple[float, float, int]:
    """Median and 99th percentile of one decision in microseconds, and how many policies applied."""
    chance = random.Random(2)
    policies = PolicySet(a_policy(number, chance) for number in range(count))
    moment = a_moment()
    decision = decide(policies, moment)
    applied = sum(entry.result not in ("notApplied", "reportOnlyNotApplied") for entry in decision.trace)
    took = []
    for _ in range(rounds):
        began = time.thread_time()
        for _ in range(20):
            decide(policies, moment)
        took.append((time.thread_time() - began) / 20 * 1e6)
    return statistics.median(took), statistics.quantiles(took, n=100)[-1], applied


def main() -> None:
    parser = argparse.ArgumentParser(description="What one decision costs.")
    parser.add_argument("--rounds", type=int, default=200, help="Rounds of twenty decisions. [200]")
    rounds = parser.parse_args().rounds
    print(f"{'policies':>9} {'applied':>8} {'median µs':>10} {'p99 µs':>8} {'µs/policy':>10}")
    for count in (0, 10, 100, 200, 1000):
        median, worst, applied = measure(count, rounds)
        each = f"{median / count:10.2f}" if count else " " * 10
        note = ""
        if count == 200:
            note = f"   target {TARGET_MICROSECONDS}: {'met' if median < TARGET_MICROSECONDS else 'missed'}"
        print(f"{count:>9} {applied:>8} {median:>10.1f} {worst:>8.1f} {each}{note}")


if __name__ == "__main__":
    main()
