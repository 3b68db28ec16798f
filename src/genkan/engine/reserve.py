"""
What somebody lays by for the day when a device is lost: issued, counted, and shown again when it is needed.

Nothing of it signs anybody in; the emergency protocol alone takes it. Decides who may lay by what, reads no clock.
Source: emergency-protocol 6.1, 6.5, 9.2; ENR-01, ENR-02, ENR-13, SES-08, THR-01.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.emergency.case import Device, Means, Method, Shown
from genkan.engine.emergency.protocol import FAILURES
from genkan.engine.messages import Entropy
from genkan.engine.steps import FRESH
from genkan.factors import paper
from genkan.factors.paper import Use
from genkan.model import Authenticator, Kind, Paper, PaperCode, Reserve, Secret, Subject
from genkan.policy.standing import ENROLMENT_AGE, SECOND_FACTORS
from genkan.risk import rate
from genkan.tokens.claims import AMR, AMR_TWO_FACTORS

MEANS: dict[Use, Means] = {"recovery": Means.RECOVERY_CODE, "freeze": Means.FREEZE_CODE}
ENOUGH_CONTACTS = 3
"""So many people are asked at the least, of whom two must agree (6.1)."""


# Who may change it. ---------------------------------------------------------------------------------


class Proven(Struct, frozen=True, kw_only=True):
    """What somebody has proven before they ask for a change, as their access token says."""

    at: datetime
    """When they last proved a factor: a refreshed token does not renew it."""
    words: tuple[str, ...]
    """`amr` (RFC 8176)."""


Lack = Literal["", "stale", "factor"]
"""What a proof lacks: nothing; it is too old; there is a second factor that was not shown."""


def lack(proven: Proven, subject: Subject, held: Iterable[Authenticator], now: datetime) -> Lack:
    """Say what is wanting for a change of how somebody proves themselves (ENR-01, SES-08)."""
    if abs(now - proven.at) > FRESH:
        return "stale"
    is_missing = AMR_TWO_FACTORS not in proven.words and any(
        _is_second(a, proven.words, subject) for a in held
    )
    return "factor" if is_missing else ""


def lack_for_passkey(proven: Proven, subject: Subject, held: Sequence[Authenticator], now: datetime) -> Lack:
    """
    Say what is wanting for a new passkey, which is two factors from then on.

    A password alone registers none but in the account's first day: whoever has stolen it would keep the account. A code
    to a mailbox of the account does, that of a reset too, as it lets a phone be registered (ENR-02).
    """
    found = lack(proven, subject, held, now)
    is_young = now - subject.created_at < ENROLMENT_AGE
    was_reset = any(
        a.reset_at is not None and now - a.reset_at <= FRESH for a in held
    )  # Older tokens are dead.
    has_code = not {AMR_TWO_FACTORS, AMR[Kind.EMAIL_OTP]}.isdisjoint(proven.words)
    return found or ("" if is_young or was_reset or has_code else "factor")


def _is_second(authenticator: Authenticator, words: tuple[str, ...], subject: Subject) -> bool:
    """It is a second factor, or two by itself, and not the mailbox that an e-mail code has just signed in with."""
    if authenticator.kind is Kind.PASSKEY:
        return True
    if not authenticator.strong or authenticator.kind not in SECOND_FACTORS:
        return False
    was_first = AMR[Kind.PASSWORD] not in words and authenticator.kind is Kind.EMAIL_OTP
    is_own = subject.email is not None and authenticator.target == subject.email
    return not (was_first and is_own)


def proven_by(proven: Proven, held: Sequence[Authenticator]) -> str | None:
    """
    The authenticator by means of which they proved themselves, as far as words tell.

    What is made with it depends on it. Of several that fit, one that lives somewhere counts before a password, and the
    one used last before others.
    """
    fitting = [a for a in held if AMR.get(a.kind) in proven.words]
    fitting.sort(key=lambda a: (a.kind is not Kind.PASSWORD, a.last_used_at or a.created_at))
    return fitting[-1].id if fitting else None


# Codes on paper. ------------------------------------------------------------------------------------


def issued(
    use: Use, subject: str, entropy: Entropy, key: bytes, now: datetime, by: str | None
) -> tuple[Paper, tuple[Secret, ...]]:
    """New codes: what is kept of them, and what is shown once."""
    count = paper.RECOVERY_CODES if use == "recovery" else 1
    size = paper.entropy_wanted(use)
    texts = tuple(paper.written(use, entropy.take(f"{use}/{n}", size)) for n in range(count))
    codes = tuple(
        PaperCode(id=entropy.guid(f"{use}/{n}/id"), digest=paper.digest(key, subject, use, text.text))
        for n, text in enumerate(texts)
    )
    return Paper(codes=codes, issued_at=now, issued_by=by), texts


def laid_by(before: Reserve | None, subject: str, use: Use, new: Paper) -> Reserve:
    """What there is once these codes are issued: those before are worthless."""
    reserve = before or Reserve(subject=subject)
    return replace(reserve, recovery=new) if use == "recovery" else replace(reserve, freeze=new)


def shown(
    reserve: Reserve | None,
    use: Use,
    text: Secret,
    *,
    subject: str,
    key: bytes,
    failures: tuple[int, ...],
    claim: str,
    id: str,
    now: datetime,
    again: frozenset[str] = frozenset(),
) -> Shown:
    """
    Judge a code that somebody typed at the emergency door, as `engine.emergency` takes it.

    Shapes:  `subject` is the account's id, whatever is named for an unknown one; `failures` the account's wrong proofs
             there. Nothing is compared once they are used up (THR-01). `claim` is the claim key, `id` that of the item.
             `again` are spent codes that count all the same: what a recovery rests on is shown again to complete it.
    """
    sheet = None if reserve is None else reserve.recovery if use == "recovery" else reserve.freeze
    has_budget = rate.spend(failures, FAILURES, now) is not None
    found = paper.verify(sheet, text.text, key, subject, use, again) if has_budget else None
    return Shown(id=id, key=claim, method=found.id if found else "", right=found is not None, at=now)


def spent(reserve: Reserve, methods: Iterable[str], now: datetime) -> Reserve:
    """What is left once these methods were used: each code counts once. Ids of other methods say nothing here."""
    ids = frozenset(methods)
    papers = ((name, sheet) for name in ("recovery", "freeze") if (sheet := getattr(reserve, name)))
    return replace(reserve, **{name: paper.spent(sheet, ids, now) for name, sheet in papers})


def passkeys(held: Iterable[Authenticator]) -> tuple[Method, ...]:
    """
    What passkeys are to `engine.emergency`. Each lives on a device of its own, named by the passkey's id, since nothing
    tells which one made it; a synced one belongs to the fabric of its AAGUID.
    """
    return tuple(
        Method(
            id=a.id,
            means=Means.PASSKEY,
            devices=frozenset({a.id}),
            roaming=a.passkey.roaming,
            synced=a.passkey.synced,
            fabric=a.passkey.aaguid if a.passkey.synced else "",
            created_at=a.created_at,
            changed_by=a.bound_by,
            used_at=a.last_used_at,
        )
        for a in held
        if a.passkey is not None
    )


def devices(held: Iterable[Authenticator]) -> tuple[Device, ...]:
    """The devices that passkeys live on, but for security keys, each a thing of its own."""
    return tuple(Device(id=m.id, fabric=m.fabric) for m in passkeys(held) if not m.roaming)


def anchors(held: Iterable[Authenticator]) -> tuple[Authenticator, ...]:
    """The passkeys that their device never gives away (WAN-03)."""
    return tuple(a for a in held if a.passkey is not None and not a.passkey.synced)


def methods(reserve: Reserve | None) -> tuple[Method, ...]:
    """What codes can be shown in an emergency, as `engine.emergency` knows it."""
    if reserve is None:
        return ()
    sheets: tuple[tuple[Use, Paper | None], ...] = (
        ("recovery", reserve.recovery),
        ("freeze", reserve.freeze),
    )
    return tuple(
        Method(id=code.id, means=MEANS[use], created_at=sheet.issued_at, changed_by=sheet.issued_by)
        for use, sheet in sheets
        if sheet is not None
        for code in sheet.codes
        if code.spent_at is None
    )


# Readiness (6.5). -----------------------------------------------------------------------------------


class Readiness(Struct, frozen=True, kw_only=True):
    """How well somebody is prepared for the loss of a device, so that apps can remind them."""

    level: Literal["ready", "fair", "at_risk"]
    missing: tuple[str, ...]
    """What would help next: `anchor`, `second_anchor`, `recovery_codes`, `trusted_contacts`, `freeze_code`."""
    single_point: Literal["phone"] | None
    """What takes the account with it when it is lost."""


def readiness(anchors: int, reserve: Reserve | None, contacts: int) -> Readiness:
    """Judge it: two anchors, or one and printed codes, are ready; codes and three contacts are fair."""
    has_codes = reserve is not None and reserve.recovery is not None and reserve.recovery.left > 0
    can_freeze = reserve is not None and reserve.freeze is not None and reserve.freeze.left > 0
    is_ready = anchors >= 2 or (anchors == 1 and has_codes)
    is_fair = has_codes and contacts >= ENOUGH_CONTACTS
    wanting = (
        ("anchor", anchors == 0),
        ("second_anchor", anchors == 1 and not is_ready),
        ("recovery_codes", not has_codes),
        ("trusted_contacts", contacts < ENOUGH_CONTACTS and not is_ready),
        ("freeze_code", not can_freeze),
    )
    return Readiness(
        level="ready" if is_ready else "fair" if is_fair else "at_risk",
        missing=tuple(word for word, is_wanting in wanting if is_wanting),
        single_point=None if is_ready or is_fair else "phone",
    )
