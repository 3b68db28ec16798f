"""
What somebody at the emergency door was asked, and what their answer shows.

What was asked is kept by whoever was asked, sealed, so that a stranger's question writes nothing and an account that
does not exist is asked like any other. Wrong answers are counted before they are compared. Pure: draws no randomness,
reads no clock.
Source: emergency-protocol 6.1, 7, 9.2, 9.3; DT-02, DT-70, DT-79; THR-01, ENUM-02, WAN-01.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine import reserve
from genkan.engine.emergency import account
from genkan.engine.emergency.case import Means, Method, Shown
from genkan.engine.emergency.protocol import FAILURES
from genkan.engine.messages import Checked, Count, Entropy, Signals
from genkan.engine.transaction import Loaded
from genkan.factors import otp, passkey
from genkan.factors.interface import Right
from genkan.model import Authenticator, Challenge, Identifier, Kind, Secret
from genkan.risk import rate
from genkan.tokens import dpop

LIFETIME = timedelta(minutes=10)
"""How long a question stands."""

LINK_LIFETIME = timedelta(minutes=30)
"""How long the link of a notice does (E1)."""

SENDS = rate.Limit("emergency codes", ((3, timedelta(hours=1)), (10, timedelta(days=1))))
"""Codes asked for in one name, whether or not anybody has it."""

SENT = rate.Limit("emergency codes of an account", ((3, timedelta(hours=1)), (10, timedelta(days=1))))
"""Codes that go out for an account. What is beyond is not sent, and answered as if it were."""

TEXTED = rate.Limit("emergency texts of an account", ((3, timedelta(days=1)),))
"""The same of text messages (7)."""

NAMES = rate.Limit("names at the emergency door", ((20, timedelta(hours=1)),))
"""Different accounts that a client network may ask for (7)."""

NAME_ASKED = rate.Limit("a name at the emergency door", ((1, timedelta(hours=1)),))
"""Says whether a network has asked for this name lately: then it is no further one."""

HELD = rate.Limit("weak holds of a tenant", ((1000, timedelta(days=7)),))
"""What the circuit breaker of a tenant goes by."""

LEAST_FLOOD = 20
"""Weak holds of an hour that never are a flood, however quiet the week was."""

FLOOD = 5
"""How many times the mean of the week an hour must have to be one (7, AS-32)."""

ONCE = rate.Limit("right answers", ((1, timedelta(days=1)),))
"""A question is answered rightly once."""

PROOF = rate.Limit("proofs of possession", ((1, dpop.KEPT),))
"""A proof of possession counts once (RFC 9449 11.1)."""

OFFERED: tuple[Means, ...] = (
    Means.PASSWORD,
    Means.EMAIL,
    Means.SMS,
    Means.FREEZE_CODE,
    Means.PASSKEY,
    Means.RECOVERY_CODE,
)
"""What can be shown at the door: the same for everybody, whatever an account has."""

SENT_TO = {Means.EMAIL: Kind.EMAIL_OTP, Means.SMS: Kind.SMS_OTP}
"""What codes are sent to."""


Use = Literal["proof", "link", "ticket", "renewal"]
"""
What a question is for: to prove something, or the link of a notice, the ticket of a recovery, the right to register
new methods that the ticket was redeemed for. One is never taken for another.
"""


class Asked(Struct, frozen=True, kw_only=True):
    """One question. Sealed, it is a continuation token, the id of an item of evidence, or the link of a notice."""

    id: str
    """Of the item that a right answer becomes; that answer counts once."""
    use: Use = "proof"
    expires_at: datetime
    key: str = ""
    """The claim key that it was asked under; empty of a link, which whoever follows it brings one to."""
    client: str = ""
    name: Identifier | None = None
    """Who was named; None: the case or the subject says whom it is about."""
    case: str = ""
    subject: str = ""
    """Whom it is about, where it is no proof's."""
    means: Means | None = None
    """None: only who it is about was said."""
    method: str = ""
    """Where a code went; empty where it went nowhere."""
    challenge: Challenge | None = None
    nonce: bytes = b""
    """What a passkey is to sign; of a ticket: its secret."""
    epoch: int = 0
    """Of the account, when it was asked."""


class Proof(Struct, frozen=True, kw_only=True):
    """An answer. `text` is a code or a password; `credential` an AuthenticationResponseJSON."""

    means: Means
    text: Secret = Secret("")
    credential: dict[str, Any] | None = None


# Where it is counted. -------------------------------------------------------------------------------


def owner(asked: Asked, loaded: Loaded) -> str:
    """Whose wrong answers these are: the account's, or those in a name or case that is nobody's."""
    if loaded.subject is not None:
        return loaded.subject.id
    return _nobody(asked.name.place if asked.name else asked.case or asked.subject)


def _nobody(name: str) -> str:
    """2^18 buckets hold whatever names are made up (THR-10)."""
    return f"nobody/{int.from_bytes(rate.digest16(name)[:4]) % 2**18:x}"


def used(asked: Asked) -> str:
    """Whether this question was answered rightly before."""
    return f"emergency/used/{asked.id}"


def replayed(proof: str) -> str:
    """Whether this proof of possession was seen before (RFC 9449 11.1)."""
    return f"dpop/{proof}"


def sends(asked: Asked, means: Means, loaded: Loaded) -> str:
    """Codes asked for in a name, whosever it is, or in a case: two names of one account do not show that they are."""
    slot = _nobody(asked.name.place) if asked.name else owner(asked, loaded)
    return f"emergency/asked/{means}/{slot}"


def sent(subject: str, means: Means) -> str:
    """Codes that went out for an account."""
    return f"emergency/sent/{means}/{subject}"


def names(signals: Signals) -> str:
    """Names asked for by a client network."""
    return f"emergency/names/{rate.hidden_network(signals.address)}"


def name_asked(name: Identifier, signals: Signals) -> str:
    """Whether a client network has asked for a name."""
    return f"emergency/name/{rate.digest16(rate.network(signals.address), name.place).hex()}"


WEAK_HOLDS = "emergency/holds"
"""Weak holds of the tenant."""


def counted(bucket: str, limit: rate.Limit, loaded: Loaded) -> Count | None:
    """One more, if the limit allows it."""
    history = rate.spend(loaded.histories.get(bucket, ()), limit, loaded.now)
    return None if history is None else count(bucket, history, limit)


def count(bucket: str, history: tuple[int, ...], limit: rate.Limit) -> Count:
    return Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, limit))


def newly_named(name: Identifier, signals: Signals, loaded: Loaded) -> tuple[Count, ...] | None:
    """What a name costs a client network, which has twenty of them an hour; None: it has had them."""
    if not signals.address:
        return ()
    asked = counted(name_asked(name, signals), NAME_ASKED, loaded)
    if asked is None:
        return ()
    further = counted(names(signals), NAMES, loaded)
    return None if further is None else (asked, further)


def is_flooded(loaded: Loaded) -> bool:
    """So many accounts were held in an hour, by little, that weak proofs only send notices now (AS-32)."""
    history = loaded.histories.get(WEAK_HOLDS, ())
    since = rate.milliseconds(loaded.now - timedelta(hours=1))
    lately = sum(at > since for at in history)
    mean = (len(history) - lately) / (7 * 24 - 1)
    return lately >= max(LEAST_FLOOD, FLOOD * mean)


# What is asked. -------------------------------------------------------------------------------------


def reached(means: Means, methods: Sequence[Method], quarantined: frozenset[str]) -> Method | None:
    """The mailbox or number that a code goes to: a clean one before one that is on the lost device."""
    fitting = [m for m in methods if m.means is means and m.address is not None]
    return min(fitting, key=lambda m: m.id in quarantined, default=None)


def code(
    means: Means, to: Identifier | None, length: int, entropy: Entropy, key: bytes, now: datetime
) -> tuple[Challenge, Secret]:
    """A question that a code answers, and the code. Nobody's is made like anybody's, and sent nowhere."""
    digits = entropy.digits("emergency/code", length)
    kind = SENT_TO[means]
    challenge = otp.issue(
        kind,
        to,
        None,
        length=length,
        lifetime=LIFETIME,
        now=now,
        challenge_id=entropy.guid("emergency/challenge"),
        code=digits,
        key=key,
    )
    return challenge, Secret(digits)


def password(loaded: Loaded) -> Authenticator | None:
    """What a password is compared with."""
    return next((a for a in loaded.held if a.kind is Kind.PASSWORD and a.removed_at is None), None)


# What an answer shows. ------------------------------------------------------------------------------


class Judged(Struct, frozen=True, kw_only=True):
    """What an answer shows, and the passkey as it must be from now on, where one was used."""

    shown: Shown
    used: Authenticator | None = None


def judged(
    asked: Asked,
    proof: Proof,
    loaded: Loaded,
    *,
    key: str,
    code_key: bytes,
    paper_key: bytes,
    failures: tuple[int, ...],
    origin: str,
    checked: Checked | None,
    spent: Iterable[str] = (),
) -> Judged:
    """
    Compare an answer with what was asked.

    Shapes:  `failures` are the account's, this answer not counted; `origin` an allowed one, of a passkey; `checked`
             what came of comparing a password; `spent` codes of paper that may be shown once more, to complete a
             recovery.
    """
    method, right, used, extra = "", False, None, {}
    subject, held = loaded.subject, loaded.held
    match proof.means:
        case Means.EMAIL | Means.SMS:
            method = asked.method
            right = asked.means is proof.means and _is_code(asked, proof.text, loaded, code_key)
        case Means.PASSWORD:
            own = password(loaded)
            method = own.id if own else ""
            right = (
                own is not None
                and checked is not None
                and checked.right
                and (checked.authenticator, checked.revision) == (own.id, own.revision)
            )
        case Means.RECOVERY_CODE | Means.FREEZE_CODE if subject is not None:
            return Judged(
                shown=reserve.shown(
                    loaded.reserve,
                    "freeze" if proof.means is Means.FREEZE_CODE else "recovery",
                    proof.text,
                    subject=subject.id,
                    key=paper_key,
                    failures=failures,
                    claim=key,
                    id=asked.id,
                    now=loaded.now,
                    again=frozenset(spent),
                )
            )
        case Means.PASSKEY if asked.nonce and asked.means is Means.PASSKEY:
            handle = loaded.reserve.handle if loaded.reserve and loaded.reserve.handle else b""
            for one in held:
                if one.passkey is None or one.removed_at is not None or proof.credential is None:
                    continue
                signed = passkey.signed(proof.credential, one.passkey, asked.nonce, origin, handle)
                if signed is not None:
                    method, right = one.id, True
                    extra = {"verified": signed.verified, "counter_ok": signed.counter_ok}
                    used = replace(one, passkey=signed.passkey, last_used_at=loaded.now)
        case _:
            pass
    return Judged(
        shown=Shown(id=asked.id, key=key, method=method, right=right, at=loaded.now, **extra), used=used
    )


def _is_code(asked: Asked, text: Secret, loaded: Loaded, key: bytes) -> bool:
    """It is the code, in time, and what it was sent to is still where codes of this method go (OTP-17)."""
    if asked.challenge is None:
        return False
    is_right = isinstance(otp.verify(asked.challenge, None, text.text, loaded.now, key), Right)
    if loaded.subject is None or not asked.method:
        return False
    return is_right and account.address(loaded.subject, loaded.held, asked.method) == asked.challenge.target


def followed(asked: Asked, loaded: Loaded, key: str) -> Judged:
    """What the link of a notice shows: that somebody reads the mailbox it went to (E1)."""
    return Judged(shown=Shown(id=asked.id, key=key, method=asked.method, right=True, at=loaded.now))


def refunded(loaded: Loaded, bucket: str, at: int) -> tuple[int, ...]:
    """The wrong answers of an account, without the one that was counted before it was compared."""
    return rate.refund(loaded.histories.get(bucket, ()), at)


def failures(owner: str) -> str:
    """Where wrong answers are counted."""
    return account.failures(owner)


def spend_failure(asked: Asked, loaded: Loaded) -> Count | None:
    """Count an answer as a wrong one before it is looked at; None: there were too many (DT-70, DT-79)."""
    return counted(failures(owner(asked, loaded)), FAILURES, loaded)
