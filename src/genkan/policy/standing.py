"""
Where a person stands: what they have proven, what they could prove, and what they could enrol.

Knows methods, not policies. One mailbox or number counts once, and a kind that served as first factor is never the
second (FLOW-07).
Source: conditional-access 6, 8, 9; ENR-02.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from msgspec import Struct

from genkan.model import Authenticator, Evidence, Kind, Purpose
from genkan.policy.model import Context, Person, Strength

METHOD_WORDS: dict[Kind, str] = {
    Kind.PASSWORD: "password",
    Kind.EMAIL_OTP: "email",
    Kind.SMS_OTP: "sms",
    Kind.PASSKEY: "fido2",
    Kind.FEDERATED: "federatedSingleFactor",
}
"""How combinations of a strength name a kind."""

SECOND_FACTORS: tuple[Kind, ...] = (Kind.SMS_OTP, Kind.EMAIL_OTP)
"""The kinds that can be a second factor, in the order they are offered."""

ENROLMENT_AGE = timedelta(hours=24)
"""An account older than this takes no new place on the strength of a password alone (ENR-02)."""


def first_factor(context: Context) -> Evidence | None:
    """
    The proof that counts as first factor, None before there is one.

    An address proven at sign-up or reset stands in for one. After a reset, though, it is the password just set: the
    code that allowed it is spent, but is no factor.
    Source: conditional-access 6.3.
    """
    first = None
    for evidence in context.evidence:
        if evidence.part == "first":
            first = evidence
            break
        if evidence.part == "verified" and first is None:
            first = evidence
    if first is None or (first.part == "verified" and _is_plain_sign_in(context)):
        return None
    if context.purpose is Purpose.RESET_PASSWORD and first.kind is not Kind.PASSWORD:
        return Evidence(kind=Kind.PASSWORD, at=first.at, part="first")
    return first


def _is_plain_sign_in(context: Context) -> bool:
    """A sign-in under way. What a refresh rests on may have begun otherwise, and its grant does not say."""
    return context.purpose is Purpose.SIGN_IN and context.kind != "refresh"


class Standing(Struct, frozen=True, dict=True):
    """One person's standing at one moment. What is costly is worked out once, and only when asked for."""

    context: Context
    person: Person
    first: Evidence
    oldest_second: timedelta | None = None
    """How old a second factor may be; None: as old as the attempt."""

    def limited(self, oldest: timedelta | None) -> Standing:
        """The same, with second factors no older than that."""
        if oldest is None or (self.oldest_second is not None and self.oldest_second <= oldest):
            return self
        return Standing(self.context, self.person, self.first, oldest)

    @cached_property
    def spent(self) -> frozenset[str]:
        """The places that have counted: of the first factor, and after a reset of the code that allowed it."""
        is_reset = self.context.purpose is Purpose.RESET_PASSWORD
        counted = (
            e.place for e in self.context.evidence if e.part == "first" or (is_reset and e.part == "verified")
        )
        return frozenset(place for place in (*counted, self.first.place) if place is not None)

    @cached_property
    def seconds(self) -> tuple[Evidence, ...]:
        """The proofs that count as second factor."""
        return tuple(
            e
            for e in self.context.evidence
            if e.part == "second"
            and e.kind in (*SECOND_FACTORS, Kind.PASSKEY)
            and e.kind != self.first.kind
            and e.place not in self.spent
            and self._is_fresh(e)
        )

    def _is_fresh(self, second: Evidence) -> bool:
        return self.oldest_second is None or self.context.now - second.at <= self.oldest_second

    @property
    def has_two_factors(self) -> bool:
        """A second one has counted, or the first was a passkey, which is two by itself. Source: 6.1."""
        return bool(self.seconds) or self.first.kind is Kind.PASSKEY

    @cached_property
    def words(self) -> frozenset[str]:
        """The methods that have counted, as combinations name them."""
        return frozenset(METHOD_WORDS[e.kind] for e in (self.first, *self.seconds))

    # What they could prove. ---------------------------------------------------------------------------

    def is_enabled(self, kind: Kind) -> bool:
        """The methods policy lets this person use the kind. Source: 6.2 `enabled(m)`."""
        settings = self.context.methods.get(kind)
        if settings is None or not settings.enabled:
            return False
        groups = self.person.groups
        included = not settings.include_groups or not groups.isdisjoint(settings.include_groups)
        return included and groups.isdisjoint(settings.exclude_groups)

    @cached_property
    def registered(self) -> tuple[Authenticator, ...]:
        """
        The second factors that keep their owner from enrolling another, whether usable or not.

        Left out is the mailbox that an e-mail code has just signed in with: that account has no second factor yet.
        Source: 6.2.
        """
        lenient = self.context.settings.jit_when_methods_disabled
        return tuple(
            a
            for a in (*self._strong, *self._passkeys)
            if not self._is_first_factor(a) and (not lenient or self.is_enabled(a.kind))
        )

    @cached_property
    def _strong(self) -> tuple[Authenticator, ...]:
        """What is registered as second factor: SMS before e-mail, then the oldest first."""
        owned = [
            a
            for a in self.context.authenticators
            if a.kind in SECOND_FACTORS and a.strong and a.state == "active"
        ]
        if len(owned) > 1:
            owned.sort(key=lambda a: (SECOND_FACTORS.index(a.kind), a.created_at, a.id))
        return tuple(owned)

    @cached_property
    def _passkeys(self) -> tuple[Authenticator, ...]:
        return tuple(a for a in self.context.authenticators if a.kind is Kind.PASSKEY and a.state == "active")

    @property
    def passkeys(self) -> tuple[Authenticator, ...]:
        """The passkeys that may be asked for, by an app that knows how. Source: 6.1."""
        is_open = self.first.kind is not Kind.PASSKEY and self.is_enabled(Kind.PASSKEY)
        return self._passkeys if is_open else ()

    def _is_first_factor(self, authenticator: Authenticator) -> bool:
        return authenticator.kind == self.first.kind and _place(authenticator) == self.first.place

    @cached_property
    def usable(self) -> tuple[Authenticator, ...]:
        """The second factors that may be asked for. Source: 6.2 `usable(m)`; SSPR-07."""
        if self.person.waits_after_reset:
            return ()
        return tuple(
            a
            for a in self._strong
            if a.kind != self.first.kind and _place(a) not in self.spent and self.is_enabled(a.kind)
        )

    @property
    def is_held_up_by_reset(self) -> bool:
        """A method would do, had the code that allowed the reset not gone to the same place."""
        return any(_place(a) in self.spent and self.is_enabled(a.kind) for a in self.registered)

    # What they could enrol. ---------------------------------------------------------------------------

    @cached_property
    def may_enrol_anywhere(self) -> bool:
        """The account is young, or a code to its sign-in address was proven in this flow (ENR-02)."""
        if self.context.now - self.person.created_at < ENROLMENT_AGE:
            return True
        address = self.person.sign_in_place
        return address is not None and any(e.place == address for e in self.context.evidence)

    @cached_property
    def registrable(self) -> tuple[Kind, ...]:
        """The kinds that may be enrolled: none at all while anything is registered. Source: 6.2."""
        if self.registered:
            return ()
        return tuple(
            kind
            for kind in SECOND_FACTORS
            if kind != self.first.kind
            and self.is_enabled(kind)
            and (self.may_enrol_anywhere or self._is_sign_in_mailbox(kind))
        )

    def _is_sign_in_mailbox(self, kind: Kind) -> bool:
        return kind is Kind.EMAIL_OTP and self.person.sign_in_place is not None

    # Strengths. ---------------------------------------------------------------------------------------

    def meets(self, strength: Strength, further: Kind | None = None) -> bool:
        """What has counted, together with a proof of the kind `further`, makes a whole combination."""
        words = self.words if further is None else self.words | {METHOD_WORDS[further]}
        return any(combination <= words for combination in strength.combinations)

    def could_meet(self, strength: Strength) -> bool:
        """Some method that may be asked for or enrolled would make a whole combination."""
        kinds = (*(a.kind for a in (*self.usable, *self.passkeys)), *self.registrable)
        return self.meets(strength) or any(self.meets(strength, kind) for kind in kinds)


def _place(authenticator: Authenticator) -> str | None:
    return authenticator.target.place if authenticator.target else None
