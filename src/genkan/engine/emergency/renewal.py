"""
New ways to sign in for whoever has recovered an account: what the ticket of a recovery is for, and all it is for.

Whatever was there before stays buried beside what is new, so that an anchor can still undo the recovery. Yields no
token: after it comes an ordinary sign-in, under policy. Pure.
Source: emergency-protocol 5.1, 6.4, 9.2 (E14, P9); DT-54, DT-55; PWD-04, ENR-03, ENR-10.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from genkan.engine import signals, steps
from genkan.engine.emergency import account, gate
from genkan.engine.emergency.case import Means
from genkan.engine.messages import (
    Deliver,
    Effect,
    Entropy,
    PutAuthenticator,
    PutEmergency,
    PutSubject,
    Record,
)
from genkan.engine.transaction import Loaded
from genkan.model import Authenticator, Client, Identifier, Kind, Passkey, Secret

KINDS: Final = {
    Means.PASSWORD: Kind.PASSWORD,
    Means.EMAIL: Kind.EMAIL_OTP,
    Means.SMS: Kind.SMS_OTP,
    Means.PASSKEY: Kind.PASSKEY,
}
"""What can be registered with the ticket of a recovery."""

MOST = 6
"""Methods that one recovery may register."""


def is_open(loaded: Loaded, epoch: int, entropy: Entropy) -> bool:
    """Whether the account is still what the recovery made of it, and methods may be registered."""
    subject = loaded.subject
    if subject is None or subject.status != "active" or subject.epoch != epoch:
        return False
    verdict = gate.ask(
        loaded.emergency, gate.Attempt(act="ticket", place="register"), account.facts(loaded, entropy)
    )
    return isinstance(verdict, gate.Allowed) and len(_renewed(loaded)) < MOST


def _renewed(loaded: Loaded) -> tuple[Authenticator, ...]:
    """What this recovery has registered so far."""
    restored = loaded.emergency.restored
    if restored is None:
        return ()
    return tuple(a for a in loaded.held if a.created_at >= restored.at and a.removed_at is None)


def registered(
    loaded: Loaded,
    means: Means,
    client: Client,
    entropy: Entropy,
    *,
    correlation_id: str = "",
    target: Identifier | None = None,
    material: Secret | None = None,
    passkey: Passkey | None = None,
    name: str = "",
) -> tuple[Effect, ...]:
    """All that follows when a new method is there: it is told of everywhere, and to other parties."""
    subject = loaded.subject
    assert subject is not None  # noqa: S101 - `is_open` was asked
    own = subject.email is not None and target == subject.email
    earlier = next((a for a in _renewed(loaded) if a.kind is Kind.PASSWORD), None)
    if means is Means.PASSWORD and earlier is not None:
        new = replace(earlier, material=material, changed_at=loaded.now)
    else:
        new = Authenticator(
            id=entropy.guid("emergency/method"),
            subject=subject.id,
            kind=KINDS[means],
            target=target,
            material=material,
            passkey=passkey,
            name=name,
            strong=means is Means.SMS or (means is Means.EMAIL and not own),
            source="registration",
            created_at=loaded.now,
        )
    put = PutAuthenticator(new)
    effects: list[Effect] = [put]
    if means is Means.PASSWORD and subject.must_change_password:
        effects.append(PutSubject(replace(subject, must_change_password=False)))
    if own and (unburied := _unburied(loaded)) is not None:
        effects.append(unburied)
    record = Record(
        action="emergency:method_registered",
        subject=subject.id,
        client=client.id,
        correlation_id=correlation_id,
        detail={"kind": new.kind.value, "method": new.id},
    )
    told = signals.of_step((put,), loaded, entropy)
    return (*effects, record, *_notices(loaded, client, entropy), *told)


def _unburied(loaded: Loaded) -> PutEmergency | None:
    """The sign-in address has been proven anew, by whoever recovered: it counts again."""
    e, subject = loaded.emergency, loaded.subject
    if e.restored is None or subject is None or account.ADDRESS not in e.restored.tombstones:
        return None
    left = e.restored.tombstones - {account.ADDRESS}
    kept = replace(e, restored=replace(e.restored, tombstones=left), version=e.version + 1)
    return PutEmergency(subject=subject.id, emergency=kept, revision=loaded.emergency_revision)


def _notices(loaded: Loaded, client: Client, entropy: Entropy) -> Iterator[Deliver]:
    """In full where nobody else reads; what lived on the lost device hears only that something happened."""
    subject, restored = loaded.subject, loaded.emergency.restored
    if subject is None:
        return
    facts = steps.facts(loaded, entropy, client)
    dirty = restored.tombstones if restored else frozenset()
    for method in account.methods(subject, loaded.held):
        if method.address is not None:
            template = "emergency_neutral" if method.id in dirty else "method_added"
            yield steps.notice(method.address, facts, client, template)
