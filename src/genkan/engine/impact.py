"""
What a policy would have done: the sign-in log judged twice, without it and with it.

Each entry of the log gives a moment as it was: who, for what, from where, with what proven, at which risk. Policy is
asked about it by the function that a sign-in asks, once with the policies before and once with those after, so that
the difference is the policy's alone. Accounts, groups and methods are those of today: the log does not keep them.
Values only; the caller reads the log. Source: conditional-access 5, 14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct, field

from genkan.engine.context import Account, context
from genkan.engine.messages import Directory, Signals, SignIn
from genkan.model import Attempt, Demand, Evidence, Identifier, Kind
from genkan.policy.decide import decide
from genkan.policy.model import ClientApp, Context, Decision, Policy

Effect = Literal[
    "unchanged", "asked", "registers", "stranded", "blocked", "changes_password", "signs_in_again", "let_in"
]
"""What becomes of one sign-in: as before, or asked for a second factor, or … (`WORDS`)."""

WORDS: Final[dict[Effect, str]] = {
    "unchanged": "as before",
    "asked": "asked for a second factor",
    "registers": "asked to register a second factor first",
    "stranded": "stranded: no method would do",
    "blocked": "blocked",
    "changes_password": "asked for a new password",
    "signs_in_again": "asked to sign in again",
    "let_in": "let in, where it was refused or asked for more",
}

_EFFECTS: Final[dict[str, Effect]] = {
    "mfa": "asked",
    "register": "registers",
    "no_method": "stranded",
    "block": "blocked",
    "deny": "blocked",
    "password_change": "changes_password",
    "reauth": "signs_in_again",
    "allow": "let_in",
}

_CLIENT_APPS: Final[dict[str, ClientApp]] = {"browser": "browser", "other": "other"}


class Affected(Struct, kw_only=True, rename="camel"):
    """One person on whom the policy would have had one effect."""

    subject: str
    name: str
    sign_ins: int = 0
    refreshes: int = 0
    last: datetime
    apps: Counter[str] = field(default_factory=Counter)


class Impact(Struct, kw_only=True):
    """The sum over a part of the log."""

    sign_ins: Counter[str] = field(default_factory=Counter)
    """Of each effect, how many."""
    refreshes: Counter[str] = field(default_factory=Counter)
    people: dict[str, dict[str, Affected]] = field(default_factory=dict)
    """Effect → subject → who it was. The unchanged are in it only as far as nothing else became of them."""
    seen: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    """Why entries say nothing: `no first factor`, `account gone`, `app gone`."""

    def add(
        self,
        entry: SignIn,
        account: Account | None,
        directory: Directory,
        before: Sequence[Policy],
        after: Sequence[Policy],
    ) -> None:
        """Judge one entry of the log twice, and count what differs."""
        moment = moment_of(entry, account, directory)
        if isinstance(moment, str):
            self.left_out[moment] += 1
            return
        effect = effect_of(moment, before, after)
        self.seen.add(str(entry.subject))
        counted = self.sign_ins if entry.interactive else self.refreshes
        counted[effect] += 1
        if effect == "unchanged":
            return
        them = self.people.setdefault(effect, {})
        person = them.setdefault(
            str(entry.subject), Affected(subject=str(entry.subject), name=entry.name, last=entry.at)
        )
        if entry.interactive:
            person.sign_ins += 1
        else:
            person.refreshes += 1
        person.last = max(person.last, entry.at)
        person.apps[entry.client_name] += 1


def effect_of(moment: Context, before: Sequence[Policy], after: Sequence[Policy]) -> Effect:
    """What the difference between two sets of policies is for the person, at the same moment."""
    was, becomes = (_effect(decide(policies, moment), moment) for policies in (before, after))
    return "unchanged" if was == becomes else becomes


def _effect(decision: Decision, moment: Context) -> Effect:
    """A refresh asks nobody anything: it fails, and the person signs in anew."""
    effect = _EFFECTS[decision.outcome]
    return "signs_in_again" if moment.kind == "refresh" and effect in ("asked", "registers") else effect


def moment_of(entry: SignIn, account: Account | None, directory: Directory) -> Context | str:
    """The moment that an entry tells of, or why it cannot be told."""
    if not any(step.succeeded and step.part != "second" for step in entry.steps):
        return "no first factor"
    if account is None:
        return "account gone"
    client = directory.clients.get(entry.client)
    if client is None:
        return "app gone"
    return context(
        directory,
        now=entry.at,
        kind="initial" if entry.interactive else "refresh",
        account=account,
        client=client,
        demand=Demand(scopes=entry.scopes, resource=entry.resource, contexts=entry.contexts),
        evidence=tuple(_evidence(step, account) for step in entry.steps if step.succeeded),
        signals=Signals(
            address=entry.address,
            place=entry.place,
            client_app=_CLIENT_APPS.get(entry.client_app, "mobileAppsAndDesktopClients"),
            platform=entry.platform,
        ),
        risk=entry.risk,
        purpose=entry.purpose,
        enrolled=any(s.part == "second" and s.authenticator is None for s in entry.steps if s.succeeded),
    )


def _evidence(step: Attempt, account: Account) -> Evidence:
    """A proof as it counted. The log keeps no mailbox and no number: they are looked up where they still are."""
    target: Identifier | None = next(
        (a.target for a in account.authenticators if a.id == step.authenticator), None
    )
    if target is None and step.kind is Kind.EMAIL_OTP and step.part != "second":
        target = account.subject.email
    return Evidence(
        kind=step.kind,
        authenticator=step.authenticator,
        place=target.place if target else None,
        at=step.at,
        part=step.part,
    )
