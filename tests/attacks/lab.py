"""
The application in this process, its tenant open to change, and every phase of a flow reached by the calls of an app.

Beside the answers, a test sees what is stored: so it can say that nothing has changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attacks import oracle
from tests.attacks.journeys import (
    ANOTHER_PASSWORD,
    CHALLENGE,
    INITIATE,
    INTROSPECT,
    NAME,
    PASSWORD,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
    REGISTER_INTROSPECT,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    TOKEN,
    Person,
    begin,
    challenged,
    enrolling,
    first_factor,
    person,
    resetting,
    second_challenged,
    sign_up,
    with_phone,
)
from tests.attacks.target import Outside, Target, new_number, sending
from tests.server import Reply, new_address
from tests.wire.servers import World, in_process

MEMORY = Path("/dev/shm")
"""Where the system has such a folder: whether things last is not what is asked here."""

BETWEEN_TEXTS, BETWEEN_LATER_TEXTS = 31, 76
"""Seconds after which another text message may be asked for (conditional-access 13.2)."""

CHORES = frozenset({"audit", "outbox"})
"""Tables that change when nothing of an account or a flow does: what was refused, and messages on their way."""


Stored = dict[str, list[tuple[object, ...]]]


def stored(folder: Path) -> Stored:
    """Every row of the demo tenant's database, by table, but for `CHORES`; and how many messages there have been."""
    database = f"file:{folder / 'dev.db'}?mode=ro"
    with closing(sqlite3.connect(database, uri=True, isolation_level=None)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        names = {name for (name,) in found} - CHORES
        rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in sorted(names)}
    # A message that was sent and is gone still shows in the sequence of their numbers.
    return {**rows, "sqlite_sequence": [row for row in rows["sqlite_sequence"] if row[0] == "outbox"]}


class Lab(Outside):
    """A world to attack."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world)
        self.world = world
        self._folder = folder

    def stored(self) -> Stored:
        """Every row of the tenant."""
        return stored(self._folder)

    def said(self, path: str, client: str, **form: str) -> Reply:
        """The answer to a form; its fields may be called as they please."""
        return self.post(path, None, client_id=client, **form)


@contextmanager
def opened() -> Iterator[Lab]:
    """A lab for the length of a block."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        data = Path(folder) / "data"
        with in_process(data) as world:
            yield Lab(world, data)


# Cells. ---------------------------------------------------------------------------------------------

Cell = tuple[str, str]
"""An endpoint, and the grant where it has several."""

CELLS: tuple[Cell, ...] = (
    (CHALLENGE, ""),
    (INTROSPECT, ""),
    (TOKEN, "password"),
    (TOKEN, "oob"),
    (TOKEN, "mfa_oob"),
    (TOKEN, "continuation_token"),
    (SIGNUP_CHALLENGE, ""),
    (SIGNUP_CONTINUE, "oob"),
    (SIGNUP_CONTINUE, "password"),
    (SIGNUP_CONTINUE, "attributes"),
    (RESET_CHALLENGE, ""),
    (RESET_CONTINUE, "oob"),
    (RESET_SUBMIT, ""),
    (RESET_POLL, ""),
    (REGISTER_INTROSPECT, ""),
    (REGISTER_CHALLENGE, ""),
    (REGISTER_CONTINUE, "oob"),
    (REGISTER_CONTINUE, "continuation_token"),
)
"""Every call that carries a continuation token."""


@dataclass(frozen=True)
class Place:
    """Where a flow stands, and all that whoever leads it knows."""

    phase: str
    who: Person
    token: str
    code: str = "00000000"
    """The right one, where one is waited for."""

    def form(self, target: Target, cell: Cell) -> dict[str, str]:
        """The call with everything in it right but, perhaps, its turn."""
        path, grant = cell
        form = {"continuation_token": self.token}
        if grant:
            form["grant_type"] = grant
        if grant in ("oob", "mfa_oob"):
            form["oob"] = self.code
        elif grant == "password":
            form["password"] = self.who.password or PASSWORD
        elif grant == "attributes":
            form["attributes"] = NAME
        if path == TOKEN:
            form["scope"] = target.scope
        elif path == RESET_SUBMIT:
            form["new_password"] = ANOTHER_PASSWORD
        elif path == REGISTER_CHALLENGE:
            by_mail = self.phase == "REG.pre"
            form |= {
                "challenge_type": "oob",
                "challenge_target": self.who.address if by_mail else new_number(),
            }
        return form

    def say(self, lab: Lab, cell: Cell, **changed: str) -> Reply:
        return lab.said(cell[0], **{"client": self.who.client, **self.form(lab, cell), **changed})


# Places, reached by real calls. ---------------------------------------------------------------------


def si_init(target: Target) -> Place:
    who = person(target)
    return Place("SI.init", who, begin(target, INITIATE, who.client, who.address).ok().token)


def si_oob(target: Target) -> Place:
    who = person(target)
    return Place("SI.oob", who, *challenged(target, who))


def si_pwd(target: Target) -> Place:
    who = person(target, target.password_app)
    return Place("SI.pwd", who, challenged(target, who)[0])


def mfa_required(target: Target) -> Place:
    who = with_phone(target, person(target))
    return Place("MFA.required", who, first_factor(target, who).token)


def mfa_listed(target: Target) -> Place:
    before = mfa_required(target)
    shown = target.post(INTROSPECT, client_id=before.who.client, continuation_token=before.token).ok()
    return Place("MFA.listed", before.who, shown.token)


def mfa_oob(target: Target) -> Place:
    before = mfa_required(target)
    found = Place("MFA.oob", before.who, *second_challenged(target, before.who, before.token))
    target.advance(BETWEEN_TEXTS)
    return found


def reg_required(target: Target) -> Place:
    who = person(target)
    return Place("REG.required", who, first_factor(target, who).token)


def reg_listed(target: Target) -> Place:
    before = reg_required(target)
    shown = target.post(REGISTER_INTROSPECT, client_id=before.who.client, continuation_token=before.token)
    return Place("REG.listed", before.who, shown.ok().token)


def reg_oob(target: Target) -> Place:
    before = reg_required(target)
    found = Place("REG.oob", before.who, *enrolling(target, before.who, before.token, new_number()))
    target.advance(BETWEEN_TEXTS)
    return found


def reg_pre(target: Target) -> Place:
    who, token = sign_up(target, target.password_app)
    asked = target.post(
        TOKEN,
        client_id=who.client,
        continuation_token=token,
        grant_type="continuation_token",
        scope=target.scope,
    )
    known = target.post(
        REGISTER_CHALLENGE,
        client_id=who.client,
        continuation_token=asked.token,
        challenge_type="oob",
        challenge_target=who.address,
    ).ok()
    assert known["challenge_type"] == "preverified"
    return Place("REG.pre", who, known.token)


def reg_done(target: Target) -> Place:
    before = reg_oob(target)
    done = target.post(
        REGISTER_CONTINUE,
        client_id=before.who.client,
        continuation_token=before.token,
        grant_type="oob",
        oob=before.code,
    ).ok()
    return Place("REG.done", before.who, done.token, before.code)


def su_init(target: Target) -> Place:
    who = Person(new_address(), target.otp_app)
    return Place("SU.init", who, begin(target, SIGNUP_START, who.client, who.address).ok().token)


def su_oob(target: Target) -> Place:
    before = su_init(target)
    return Place("SU.oob", before.who, *_address_asked(target, before))


def _address_asked(target: Target, before: Place) -> tuple[str, str]:
    sent, code = sending(
        target,
        before.who.address,
        "sign_up",
        lambda: target.post(SIGNUP_CHALLENGE, client_id=before.who.client, continuation_token=before.token),
    )
    return sent.token, code


def su_cred(target: Target) -> Place:
    who = Person(new_address(), target.password_app, PASSWORD)
    begun = Place("SU.init", who, begin(target, SIGNUP_START, who.client, who.address).ok().token)
    token, code = _address_asked(target, begun)
    proven = target.post(
        SIGNUP_CONTINUE, client_id=who.client, continuation_token=token, grant_type="oob", oob=code
    )
    assert proven.error[0] == "credential_required"
    return Place("SU.cred", who, proven.token, code)


def su_pwd(target: Target) -> Place:
    before = su_cred(target)
    asked = target.post(SIGNUP_CHALLENGE, client_id=before.who.client, continuation_token=before.token)
    return Place("SU.pwd", before.who, asked.ok().token, before.code)


def su_attr(target: Target) -> Place:
    before = su_pwd(target)
    asked = target.post(
        SIGNUP_CONTINUE,
        client_id=before.who.client,
        continuation_token=before.token,
        grant_type="password",
        password=PASSWORD,
    )
    assert asked.error[0] == "attributes_required"
    return Place("SU.attr", before.who, asked.token, before.code)


def su_done(target: Target) -> Place:
    return Place("SU.done", *sign_up(target))


def rp_init(target: Target) -> Place:
    who = person(target, target.password_app)
    return Place("RP.init", who, begin(target, RESET_START, who.client, who.address).ok().token)


def rp_oob(target: Target) -> Place:
    who = person(target, target.password_app)
    return Place("RP.oob", who, *resetting(target, who))


def rp_verified(target: Target) -> Place:
    before = rp_oob(target)
    proven = target.post(
        RESET_CONTINUE,
        client_id=before.who.client,
        continuation_token=before.token,
        grant_type="oob",
        oob=before.code,
    ).ok()
    return Place("RP.verified", before.who, proven.token, before.code)


def rp_submitted(target: Target) -> Place:
    before = rp_verified(target)
    kept = target.post(
        RESET_SUBMIT,
        client_id=before.who.client,
        continuation_token=before.token,
        new_password=ANOTHER_PASSWORD,
    ).ok()
    return Place("RP.submitted", before.who, kept.token, before.code)


def rp_done(target: Target) -> Place:
    before = rp_submitted(target)
    polled = target.post(RESET_POLL, client_id=before.who.client, continuation_token=before.token).ok()
    return Place("RP.done", before.who, polled.token, before.code)


def over_by_tokens(target: Target) -> Place:
    before = su_done(target)
    target.post(
        TOKEN,
        client_id=before.who.client,
        continuation_token=before.token,
        grant_type="continuation_token",
    ).ok()
    return Place("over", before.who, before.token)


def over_by_guesses(target: Target) -> Place:
    before = si_oob(target)
    wrong = f"{(int(before.code) + 1) % 10**8:08d}"
    for _ in range(5):
        target.post(
            TOKEN,
            client_id=before.who.client,
            continuation_token=before.token,
            grant_type="oob",
            oob=wrong,
        )
    return Place("over", before.who, before.token, before.code)


def over_by_redirect(target: Target) -> Place:
    who = person(target)
    begun = begin(target, INITIATE, who.client, who.address).ok()
    sent = target.post(
        CHALLENGE, client_id=who.client, continuation_token=begun.token, challenge_type="redirect"
    ).ok()
    assert sent["challenge_type"] == "redirect"
    return Place("over", who, begun.token)


PLACES: Mapping[str, Callable[[Target], Place]] = {
    "SI.init": si_init,
    "SI.oob": si_oob,
    "SI.pwd": si_pwd,
    "MFA.required": mfa_required,
    "MFA.listed": mfa_listed,
    "MFA.oob": mfa_oob,
    "REG.required": reg_required,
    "REG.listed": reg_listed,
    "REG.oob": reg_oob,
    "REG.pre": reg_pre,
    "REG.done": reg_done,
    "SU.init": su_init,
    "SU.oob": su_oob,
    "SU.cred": su_cred,
    "SU.pwd": su_pwd,
    "SU.attr": su_attr,
    "SU.done": su_done,
    "RP.init": rp_init,
    "RP.oob": rp_oob,
    "RP.verified": rp_verified,
    "RP.submitted": rp_submitted,
    "RP.done": rp_done,
    "over, tokens were issued": over_by_tokens,
    "over, too many guesses": over_by_guesses,
    "over, the browser goes on": over_by_redirect,
}
"""Every phase of native-auth-v1 1.8, and the ends that a flow may come to."""

LEGAL: Mapping[str, frozenset[Cell]] = {
    **oracle.LEGAL,
    "MFA.listed": frozenset({(CHALLENGE, ""), (INTROSPECT, "")}),
    "REG.listed": frozenset({(REGISTER_CHALLENGE, ""), (REGISTER_INTROSPECT, "")}),
    # The password is in place when `submit` is answered, so that there is nothing to wait for.
    "RP.submitted": oracle.LEGAL["RP.done"],
    "over": frozenset(),
}
"""Phase → the calls that it allows (native-auth-v1 1.8)."""
