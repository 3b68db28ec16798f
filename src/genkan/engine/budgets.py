"""
What a guess is charged to: the method of the account, the network it comes from, the app, the tenant, the password.

It is spent before anything is compared, in the step's own transaction, and given back when the proof was right. There
are two lanes, so that nobody can lock an owner out: strangers may use up their own share of an account's budget, and
what is left is for places that the account was fully signed in from before. Those places answer to no budget of a
crowd either. Passkeys have a budget of their own, which nothing else is charged to and no stranger can use up.
Pure; the counting is `risk.rate`'s. Source: OTP-11 to OTP-13, THR-01 to THR-05, THR-10, AVL-01 to AVL-03.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from genkan.engine.flow import Flow
from genkan.engine.messages import Count, Facts, Signals
from genkan.model import Challenge, Kind, Tenant
from genkan.risk import rate
from genkan.risk.footprint import Sighting, knows_network
from genkan.risk.rate import Lane, Limit, Pool

Budget: TypeAlias = tuple[Limit | Pool, str]
"""A limit, and where it is counted."""

Spent: TypeAlias = tuple[tuple[str, int], ...]
"""Buckets, and the entry to take back from each if the proof is right."""


def sighting(signals: Signals) -> Sighting:
    """What a request shows of where it comes from."""
    return Sighting(
        address=signals.address, place=signals.place, device=f"{signals.platform}/{signals.client_app}"
    )


def lane(flow: Flow, facts: Facts) -> Lane:
    """Whom this request's guesses are charged to. Its address is the proof, since native calls bear no cookie."""
    if not facts.signals.address:
        return "whole"
    if flow.subject is None:
        return "strangers"
    return "known" if knows_network(facts.footprint, sighting(facts.signals), facts.now) else "strangers"


def owner(flow: Flow, challenge: Challenge) -> str:
    """Whose guesses these are: the subject's, or those at a place that nobody holds yet (OTP-11)."""
    if flow.subject is not None:
        return flow.subject
    return flow.identifier.place if flow.identifier else challenge.id


def of_guess(
    flow: Flow, challenge: Challenge, lane: Lane, signals: Signals, tenant: Tenant
) -> Iterator[Budget]:
    """Every budget that one guess at this challenge is spent from; all must allow it."""
    kind, who = challenge.kind, owner(flow, challenge)
    if kind is Kind.PASSKEY:
        network = rate.network(signals.address)
        yield rate.WRONG_SIGNATURES, rate.signatures(who, network, is_nobody=flow.subject is None)
        return
    is_password = kind is Kind.PASSWORD
    if flow.subject is None:
        limit = rate.PASSWORD_OF_NOBODY if is_password else rate.WRONG_CODES_OF_NOBODY
        yield limit, rate.guesses_of_nobody(who, kind)
    else:
        whole = rate.WRONG_PASSWORDS if is_password else rate.wrong_codes(challenge.length)
        yield whole, rate.guesses(who, kind)
        share = _share(kind, challenge.length, lane)
        if share is not None:
            yield share, rate.guesses_of_lane(who, kind, lane)
    if lane == "known":
        return
    if signals.address and tenant.wrong_guesses_per_network:
        network = rate.guesses_from_network(rate.network(signals.address), kind)
        yield rate.network_limit(tenant.wrong_guesses_per_network), network
    if tenant.wrong_guesses_per_app:
        limit_of_app = rate.crowd("wrong guesses through an app", tenant.wrong_guesses_per_app)
        yield limit_of_app, rate.guesses_through_app(flow.client, kind)
    if tenant.wrong_guesses_per_tenant:
        limit_of_tenant = rate.crowd("wrong guesses in the tenant", tenant.wrong_guesses_per_tenant)
        yield limit_of_tenant, rate.guesses_in_tenant(kind)


def of_password(text: str, lane: Lane, facts: Facts) -> tuple[Budget, ...]:
    """The budget of one password, whosever account it is tried at. Whoever is known may mistype what others try."""
    count = facts.directory.tenant.wrong_guesses_of_one_password
    if lane == "known" or not count:
        return ()
    return ((rate.password_limit(count), rate.one_password(text, facts.code_key)),)


def _share(kind: Kind, length: int, lane: Lane) -> Limit | None:
    """What one lane may take. Wrong passwords make each lane wait for itself; codes are scarce for strangers alone."""
    if kind is Kind.PASSWORD:
        return rate.STRANGERS_WRONG_PASSWORDS if lane == "strangers" else rate.WAITING_PASSWORDS
    return rate.strangers_wrong_codes(length) if lane == "strangers" else None


def names(flow: Flow, challenge: Challenge, signals: Signals, tenant: Tenant) -> Iterator[str]:
    """Every bucket that a guess may touch, whichever lane it is in by the time it is judged."""
    yield from _of_every_lane(flow, challenge, signals, tenant)


def _of_every_lane(
    flow: Flow, challenge: Challenge, signals: Signals, tenant: Tenant
) -> dict[str, Limit | Pool]:
    """Bucket → limit."""
    lanes: tuple[Lane, ...] = ("known", "strangers") if signals.address else ("whole",)
    return {
        bucket: limit for one in lanes for limit, bucket in of_guess(flow, challenge, one, signals, tenant)
    }


def spend(budgets: Iterable[Budget], facts: Facts) -> tuple[Count, ...] | None:
    """One from each; None, and nothing is spent, where any of them refuses."""
    counts: list[Count] = []
    for limit, bucket in budgets:
        history = rate.spend(facts.histories[bucket], limit, facts.now)
        if history is None:
            return None
        counts.append(count(bucket, history, limit))
    return tuple(counts)


def spent(counts: Iterable[Count]) -> Spent:
    """What is to be given back if the proof is right."""
    return tuple((c.bucket, c.history[-1]) for c in counts)


def ends_row(budgets: Iterable[Budget], counts: Iterable[Count]) -> bool:
    """This was the last wrong proof in a row that a method of an account may have."""
    histories = {c.bucket: c.history for c in counts}
    return any(_is_full_row(limit, histories.get(bucket, ())) for limit, bucket in budgets)


def has_ended_row(budgets: Iterable[Budget], taken: Spent, facts: Facts) -> bool:
    """The same, where it was spent in an earlier step: of several at once the last is the one that tells."""
    entries = dict(taken)
    return any(
        _is_full_row(limit, history := facts.histories[bucket]) and history[-1] == entries.get(bucket)
        for limit, bucket in budgets
    )


def _is_full_row(limit: Limit | Pool, history: tuple[int, ...]) -> bool:
    if isinstance(limit, Pool):
        return False
    return any(span == rate.IN_A_ROW and len(history) >= count for count, span in limit.windows)


def right(flow: Flow, challenge: Challenge, lane: Lane, taken: Spent, facts: Facts) -> Iterator[Count]:
    """
    Give back what a proof was charged that turned out right. What is counted in a row ends with it, in every lane.

    The lane it came by waits no more; the others go on as they were for a day (THR-04, OTP-13).
    """
    if not taken and not any(facts.histories.values()):
        return  # Nobody has guessed wrong lately, as nearly always.
    entries = dict(taken)
    waits = rate.guesses_of_lane(owner(flow, challenge), challenge.kind, lane)
    found = _of_every_lane(flow, challenge, facts.signals, facts.directory.tenant)
    for bucket, limit in found.items():
        before = history = facts.histories[bucket]
        if bucket in entries:
            history = rate.drain(history, limit, entries[bucket])
        if isinstance(limit, Limit) and limit.counts_in_a_row:
            history = (
                () if limit.patience is not None and bucket == waits else rate.forgive(history, facts.now)
            )
        if history != before:
            yield count(bucket, history, limit)


def clear(subject: str, kind: Kind, facts: Facts) -> Iterator[Count]:
    """Forget guesses at what is no more: the password has been replaced."""
    for bucket in of_method(subject, kind):
        if facts.histories.get(bucket):
            yield Count(bucket=bucket, history=(), keep_until=facts.now)


def of_method(subject: str, kind: Kind) -> Iterator[str]:
    """Every bucket of one method of an account."""
    yield rate.guesses(subject, kind)
    lanes: tuple[Lane, ...] = ("whole", "known", "strangers")
    yield from (rate.guesses_of_lane(subject, kind, one) for one in lanes)


def count(bucket: str, history: tuple[int, ...], limit: Limit | Pool) -> Count:
    return Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, limit))
