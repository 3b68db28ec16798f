"""A world to play emergencies in: an owner with many methods, a movable clock, and effects that last."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from genkan.engine.emergency import words
from genkan.engine.emergency.case import (
    Contact,
    Device,
    Emergency,
    Family,
    Means,
    Method,
    Parameters,
    Refusal,
    Shown,
)
from genkan.engine.emergency.evidence import Lost
from genkan.engine.emergency.gate import Attempt, Verdict, ask
from genkan.engine.emergency.protocol import FAILURES, HANDED_OVER, advance
from genkan.engine.messages import Count, Deliver, Entropy, PutSubject, Record
from genkan.identifiers import email, phone
from genkan.model import Secret, Subject

BEGINNING = datetime(2030, 5, 1, 9, tzinfo=UTC)
LONG_AGO = BEGINNING - timedelta(days=200)

SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def a_span(text: str) -> timedelta:
    """A span as the cases write it: `72h`, `3d`, `-2h`."""
    match = re.fullmatch(r"(-?\d+)([smhd])", text)
    assert match is not None, text
    return timedelta(**{SPANS[match[2]]: int(match[1])})


def _address(value: str) -> Any:
    return email(value) if "@" in value else phone(value)


def a_method(id: str, means: str, devices: str = "", **more: Any) -> Method:
    if "address" in more:
        more["address"] = _address(more["address"])
    return Method(
        id=id,
        means=Means(means),
        devices=frozenset([devices] if devices else []),
        created_at=LONG_AGO,
        used_at=BEGINNING - timedelta(days=1),
        **more,
    )


METHODS = (
    a_method("password", "password"),
    a_method("mail", "email", "phone", address="owner@example.com", resets=frozenset({"password"})),
    a_method("sms", "sms", "phone", address="+447800900123"),
    a_method("totp", "totp", "phone"),
    a_method("platform", "passkey", "phone"),
    a_method("synced here", "passkey", "phone", synced=True, fabric="apple"),
    a_method("synced", "passkey", "laptop", synced=True, fabric="other"),
    a_method("key", "passkey", "key", roaming=True),
    a_method("other key", "passkey", "other key", roaming=True),
    a_method("laptop", "passkey", "laptop"),
    a_method("tablet totp", "totp", "tablet"),
    a_method("session", "session", "laptop"),
    a_method("mailbox", "email", "laptop", address="second@example.com"),
    a_method("code 1", "recovery_code"),
    a_method("code 2", "recovery_code"),
    a_method("freeze", "freeze_code"),
    a_method("identity", "identity"),
)

DEVICES = (Device(id="phone", fabric="apple"), Device(id="laptop", fabric="windows"), Device(id="tablet"))
FAMILIES = (
    Family(id="of phone", device="phone"),
    Family(id="of laptop", device="laptop"),
    Family(id="unbound"),
)


class Play:
    """One account through days. `says` is what the last step heard, in a word."""

    def __init__(self, given: dict[str, Any] | None = None) -> None:
        given = dict(given or {})
        self.now = BEGINNING
        self.emergency = Emergency()
        self.reply: words.Reply | Verdict = words.Noted()
        self.effects: tuple[words.Effect, ...] = ()
        self.log: list[words.Effect] = []
        self.ticket: Secret | None = None
        self.steps = 0
        without = set(given.pop("without", ()))
        only = set(given.pop("only", ()))
        self.methods = [m for m in METHODS if m.id not in without and (not only or m.id in only)]
        self.families = list(FAMILIES)
        self.contacts = tuple(Contact(id=f"friend {n}", accepted_at=LONG_AGO) for n in (1, 2, 3))
        self.subject: Subject | None = Subject(
            id="s", identifiers=(), created_at=BEGINNING - a_span(given.pop("signed_up", "200d"))
        )
        if given.pop("nobody", False):
            self.subject, self.methods, self.families = None, [], []
        for id, changes in given.pop("methods", {}).items():
            self._change(id, dict(changes))
        parameters = given.pop("parameters", {})
        spans: dict[str, Any] = {
            k: a_span(v) if isinstance(v, str) and v[0].isdigit() else v for k, v in parameters.items()
        }
        self.facts: dict[str, Any] = {"parameters": Parameters(**spans), "proofed": True, **given}
        self.failures: tuple[int, ...] = ()

    def _change(self, id: str, changes: dict[str, Any]) -> None:
        for name in ("created_at", "changed_at", "used_at"):
            if name in changes:
                changes[name] = self.now - a_span(changes[name])
        self.methods = [replace(m, **changes) if m.id == id else m for m in self.methods]

    def world(self) -> words.Facts:
        self.steps += 1
        return words.Facts(
            now=self.now,
            subject=self.subject,
            methods=tuple(self.methods),
            devices=DEVICES,
            families=tuple(self.families),
            contacts=self.contacts,
            failures=self.failures,
            entropy=Entropy(self.steps.to_bytes(32, "big")),
            **self.facts,
        )

    def advance(self, event: words.Event) -> words.Reply:
        step = advance(self.emergency, event, self.world())
        self.emergency, self.reply, self.effects = step.emergency, step.reply, step.effects
        self.log += step.effects
        for effect in step.effects:
            if isinstance(effect, PutSubject):
                self.subject = effect.subject
            elif isinstance(effect, Count):
                assert effect.bucket == f"{FAILURES.name}/s"
                self.failures = effect.history
            elif isinstance(effect, words.Families) and effect.do == "end":
                self.families = [f for f in self.families if f.id not in effect.families]
            elif isinstance(effect, words.Mark) and effect.state == "removed":
                self.methods = [m for m in self.methods if m.id not in effect.methods]
        if isinstance(step.reply, words.Restoration):
            self.ticket = step.reply.ticket
        return step.reply

    # What a case may do. ---------------------------------------------------------------------------

    def shown(self, what: str, by: str, **more: Any) -> Shown:
        """A proof, as `key`, `wrong key` or `touch of key` (which did not verify its user)."""
        right = not what.startswith("wrong ")
        verified = not what.startswith("touch of ")
        method = what.removeprefix("wrong ").removeprefix("touch of ")
        return Shown(
            id=f"{by}/{method}/{self.steps}", key=more.pop("begun_by", by), method=method,
            right=right, verified=verified, at=self.now, pinned=True, **more,
        )  # fmt: skip

    def do(self, step: dict[str, Any]) -> None:
        """One line of a script."""
        step = dict(step)
        self.now += a_span(step.pop("after", "0s"))
        for id, changes in step.pop("methods", {}).items():
            self._change(id, dict(changes))
        self.facts.update(step.pop("facts", {}))
        for method in step.pop("adds", []):
            known = next(m for m in METHODS if m.id == "key")
            self.methods.append(replace(known, id=method, devices=frozenset({method}), created_at=self.now))
        says = step.pop("says", None)
        does, by = step.pop("does", "tick"), step.pop("by", "owner")
        getattr(self, f"_{does.replace(' ', '_')}")(by, step)
        assert not step, f"not understood: {step}"
        if says is not None:
            assert self.said() == says

    def said(self) -> str:
        reply = self.reply
        refusal = getattr(reply, "refusal", None)
        return str(refusal) if isinstance(refusal, Refusal) else type(reply).__name__

    def _tick(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Tick())

    def _report(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Report())

    def _start(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Start(by))

    def _contain(self, by: str, step: dict[str, Any]) -> None:
        lost = Lost(devices=tuple(step.pop("loses", ())), recovery_codes=step.pop("loses_codes", False))
        for _ in range(step.pop("times", 1)):
            self.advance(
                words.Contain(
                    key=by,
                    shown=self.shown(step.get("shows", ""), by),
                    lost=lost,
                    quiet=step.get("quiet", False),
                )
            )
        step.pop("shows")
        step.pop("quiet", None)

    def _sign_in(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.SignIn(tuple(self.shown(what, by) for what in step.pop("shows"))))

    def _operators_contain(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.OperatorContain(by=by, approved_by=step.pop("with", None), reason="called"))

    def _signal(self, by: str, step: dict[str, Any]) -> None:
        self.advance(
            words.OutsideSignal(
                method=step.pop("of"), signed=step.pop("signed", True), tightens=step.pop("tightens", True)
            )
        )

    def _extend(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Extend(by))

    def _lift(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.AskLift(by))

    def _show(self, by: str, step: dict[str, Any]) -> None:
        """Show items one after the other; `friends` is two of them confirming."""
        self.advance(words.Start(by))
        more = {k: step.pop(k) for k in ("pinned", "counter_ok", "begun_by") if k in step}
        what = step.pop("what")
        for item in [what] if isinstance(what, str) else what:
            if item == "friends":
                self._friends(by, {"who": ["friend 1", "friend 2"]})
            else:
                shown = replace(
                    self.shown(item, by), **{("key" if k == "begun_by" else k): v for k, v in more.items()}
                )
                self.advance(words.Show(by, shown))

    def _friends(self, by: str, step: dict[str, Any]) -> None:
        decision, number = step.pop("decide", "confirm"), step.pop("number_right", True)
        factors = step.pop("two_factors", True)
        for friend in step.pop("who"):
            self.advance(
                words.Answer(
                    key=by, contact=friend, decision=decision, number_right=number, two_factors=factors
                )
            )

    def _attest(self, by: str, step: dict[str, Any]) -> None:
        self.advance(
            words.Attest(by=by, approved_by=step.pop("with"), attachment=step.pop("attachment", "sha256"))
        )

    def _recover(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Recover(by, step.pop("path", None)))

    def _notice_arrives(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.HandedOver(step.pop("at", "mailbox")))

    def _object(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Object(by, self.shown(step.pop("shows"), by)))

    def _contest(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Dispute(key=by, lift=step.pop("lift", False)))

    def _complete(self, by: str, step: dict[str, Any]) -> None:
        shown = self.shown(step.pop("shows"), by)
        self.advance(words.Complete(by, replace(shown, at=self.now - a_span(step.pop("shown", "0s")))))

    def _resolve(self, by: str, step: dict[str, Any]) -> None:
        self.advance(
            words.Resolve(
                winner=step.pop("for"),
                by=None if by == "owner" else by,
                approved_by=step.pop("with", None),
                attachment=step.pop("attachment", ""),
            )
        )

    def _withdraw(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Withdraw(by))

    def _undo(self, by: str, step: dict[str, Any]) -> None:
        what = step.pop("shows")
        self.advance(
            words.Undo(by, tuple(self.shown(w, by) for w in ([what] if isinstance(what, str) else what)))
        )

    def _release(self, by: str, step: dict[str, Any]) -> None:
        asked = self.now - a_span(step.pop("asked", "24h"))
        self.advance(
            words.Release(
                by=by, approved_by=step.pop("with"), reason=step.pop("reason", "found"), asked_at=asked
            )
        )

    def _look(self, by: str, step: dict[str, Any]) -> None:
        self.advance(words.Look(by))

    def _reset(self, by: str, step: dict[str, Any]) -> None:
        """The password is reset by the mailbox; `second` are the account's second factors."""
        self._change("password", {"changed_at": "0s", "changed_by": "mail"})
        self.advance(words.WasReset(method="mail", second=tuple(step.pop("second"))))

    def _redeem(self, by: str, step: dict[str, Any]) -> None:
        assert self.ticket is not None
        self.advance(words.Redeem(self.ticket))

    def _ask(self, by: str, step: dict[str, Any]) -> None:
        """Ask the gate; `epoch` is counted back from the one of now, `touched` are ages of an anchor's touches."""
        proofs = [self.shown(p, by) for p in step.pop("proofs", ())]
        proofs += (
            replace(self.shown(step.get("anchor", "key"), by), at=self.now - a_span(age))
            for age in step.pop("touched", ())
        )
        step.pop("anchor", None)
        asked = step.pop("asked", None)
        epoch = self.subject.epoch - step.pop("epochs_ago", 0) if self.subject else 0
        attempt = Attempt(
            act=step.pop("to"),
            epoch=epoch,
            first_factor=step.pop("first_factor", True),
            proofs=tuple(proofs),
            has_second_factor=step.pop("has_second_factor", True),
            asked_at=self.now - a_span(asked) if asked else None,
            place=step.pop("place", ""),
        )
        self.reply = ask(self.emergency, attempt, self.world())

    # What a case may expect. -----------------------------------------------------------------------

    def seen(self, name: str) -> Any:
        """How it stands now, in the words of the cases."""
        e = self.emergency
        case = e.case
        recovery = case.recovery if case else None
        records = [r for r in self.effects if isinstance(r, Record)]
        match name:
            case "state":
                return e.state
            case "says":
                return self.said()
            case "because":
                return getattr(self.reply, "because", "")
            case "held_for":
                return case and case.hold_until - self.now
            case "hold":
                return case and case.hold
            case "watched_for":
                return e.watch_until and e.watch_until - self.now
            case "quarantined":
                return sorted(case.quarantined) if case else []
            case "demoted":
                return sorted(case.demoted) if case else []
            case "doubted":
                return [d.method for d in e.doubts]
            case "doubted_for":
                return e.doubts[0].until - self.now
            case "burned":
                return sorted(case.burned & {m.id for m in self.methods}) if case else []
            case "suspended":
                return sorted(case.suspended) if case else []
            case "families":
                return sorted(f.id for f in self.families)
            case "methods":
                return sorted(m.id for m in self.methods)
            case "rank":
                return getattr(self.reply, "rank", None)
            case "path":
                return recovery and recovery.path
            case "delay":
                return recovery and recovery.delay
            case "waits_for":
                return recovery and recovery.ready_at and recovery.ready_at - self.now
            case "shown_times":
                return [
                    t
                    for t in (getattr(self.reply, "ready_at", None), getattr(self.reply, "until", None))
                    if t
                ]
            case "notices":
                return [d.message.template for d in self.effects if isinstance(d, Deliver)]
            case "times":
                values = {name for d in self.effects if isinstance(d, Deliver) for name in d.message.values}
                return sorted(values - {HANDED_OVER})
            case "told":
                return sorted(d.message.to for d in self.effects if isinstance(d, Deliver))
            case "audit":
                return [r.action.removeprefix("emergency:") for r in records]
            case "rows":
                return [r.detail["row"] for r in records if "row" in r.detail]
            case "reasons":
                return [r.reason for r in records if r.reason]
            case "alarms":
                return [a.word for a in self.effects if isinstance(a, words.Alarm)]
            case "epoch":
                return self.subject.epoch if self.subject else None
            case "must_change":
                return case.must_change if case else None
            case "change_due":
                return self.subject.must_change_password if self.subject else None
            case "claims":
                return len(case.claims) if case else 0
            case "version":
                return e.version
            case "failures":
                return len(self.failures)
            case "effects":
                return len(self.effects)
            case "immune_for":
                return e.immunity and e.immunity.until - self.now
            case "active":
                return sorted(
                    id
                    for m in self.effects
                    if isinstance(m, words.Mark) and m.state == "active"
                    for id in m.methods
                )
            case "ticket":
                return self.ticket is not None
            case "risk" | "sign_in_frequency" | "bound" | "remember_device":
                return getattr(self.reply, name)
            case "wait":
                return getattr(self.reply, "until") - self.now  # noqa: B009
        raise AssertionError(f"nothing is called {name}")
