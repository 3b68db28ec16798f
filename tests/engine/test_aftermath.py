"""What is left once a database has gone back a day: nothing that could have been used since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from genkan.engine import aftermath
from genkan.engine.aftermath import Noted, Since, What
from genkan.engine.emergency.case import (
    LOCKED,
    NORMAL,
    Case,
    Claim,
    Emergency,
    Held,
    Item,
    Lift,
    Recovery,
    State,
    Ticket,
)
from genkan.model import (
    Authenticator,
    Ceremony,
    Client,
    ClientSecret,
    Kind,
    Paper,
    PaperCode,
    Reserve,
    Subject,
)

NOW = datetime(2030, 1, 2, tzinfo=UTC)
THEN = NOW - timedelta(days=1)
MOMENT = int(NOW.timestamp() * 1000)
WHOLE = Since(is_whole=True)
UNKNOWN = Since()


def told(what: What, about: str, *left: str, at: datetime = NOW, whole: bool = True) -> Since:
    return Since.of([Noted(at=at, tenant="t", what=what, about=about, left=left)], is_whole=whole)


def an_account(**more: object) -> Subject:
    return Subject(id="ada", identifiers=(), created_at=THEN, **more)  # type: ignore[arg-type]


# Sessions. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("BKP-02")
@pytest.mark.parametrize("epoch", [0, 1, 5_000, MOMENT, MOMENT + 9])
@pytest.mark.parametrize("since", [UNKNOWN, WHOLE])
def test_no_epoch_of_before_is_that_of_after(epoch: int, since: Since) -> None:
    after = aftermath.subject(an_account(epoch=epoch), since, NOW)
    client = aftermath.client(Client(id="c", name="", epoch=epoch), since, NOW)

    assert after.epoch > epoch
    assert client.epoch > epoch
    assert after.sessions_from == NOW
    later = aftermath.subject(an_account(epoch=epoch), since, NOW + timedelta(milliseconds=10))
    assert later.epoch > after.epoch or epoch > MOMENT


@pytest.mark.proves("BKP-02")
def test_who_was_stopped_since_stays_so_and_who_was_let_back_in_is_not() -> None:
    assert aftermath.subject(an_account(), told("stopped", "ada"), NOW).status == "disabled"
    assert aftermath.subject(an_account(), told("stopped", "grace"), NOW).status == "active"
    assert aftermath.subject(an_account(), told("back", "ada"), NOW).status == "active"
    since = Since.of(
        [
            Noted(at=NOW, tenant="t", what="back", about="ada"),
            Noted(at=THEN, tenant="t", what="stopped", about="ada"),
        ],
        is_whole=True,
    )
    assert aftermath.subject(an_account(), since, NOW).status == "active"
    deleted = aftermath.subject(an_account(status="deleted"), told("stopped", "ada"), NOW)
    assert deleted.status == "deleted"


def test_a_password_that_was_replaced_since_is_good_for_nothing_but_a_reset() -> None:
    assert aftermath.subject(an_account(), told("password", "ada"), NOW).must_change_password
    assert not aftermath.subject(an_account(), told("password", "grace"), NOW).must_change_password


def test_a_method_that_was_taken_away_since_stays_away() -> None:
    phone = Authenticator(id="m", subject="ada", kind=Kind.SMS_OTP, created_at=THEN)

    gone = aftermath.authenticator(phone, told("gone", "m"), NOW)

    assert (gone.state, gone.removed_at) == ("tombstoned", NOW)
    assert aftermath.authenticator(phone, told("gone", "other"), NOW) == phone
    assert aftermath.authenticator(gone, told("gone", "m"), NOW + timedelta(days=1)) == gone


def test_an_application_keeps_only_what_it_still_had() -> None:
    client = Client(
        id="c",
        name="",
        secrets=tuple(ClientSecret(id=id, digest=b"") for id in ("old", "new")),
        app_roles=("User.Read.All", "Group.Read.All"),
    )

    after = aftermath.client(client, told("client", "c", "new", "Group.Read.All", "later"), NOW)

    assert [s.id for s in after.secrets] == ["new"]
    assert after.app_roles == ("Group.Read.All",)
    assert aftermath.client(client, told("client", "c"), NOW).secrets == ()
    assert aftermath.client(client, UNKNOWN, NOW).secrets == client.secrets


# Codes on paper. -----------------------------------------------------------------------------------------------------


def a_reserve() -> Reserve:
    codes = tuple(PaperCode(id=id, digest=b"") for id in "abc")
    return Reserve(
        subject="ada",
        recovery=Paper(codes=(replace(codes[0], spent_at=THEN), *codes[1:]), issued_at=THEN),
        freeze=Paper(codes=(PaperCode(id="f", digest=b""),), issued_at=THEN),
        handle=b"handle",
        ceremony=Ceremony(
            challenge=b"c", purpose="register", client="c", expires_at=NOW + timedelta(hours=1)
        ),
    )


def live(reserve: Reserve) -> str:
    sheets = (reserve.recovery, reserve.freeze)
    return "".join(code.id for sheet in sheets if sheet for code in sheet.codes if code.spent_at is None)


@pytest.mark.proves("BKP-02")
@pytest.mark.parametrize(
    ("since", "left"),
    [
        (UNKNOWN, ""),
        (WHOLE, "bcf"),
        (told("paper", "ada", "c", "f"), "cf"),
        (told("paper", "ada", "a", "c"), "c"),
        (told("paper", "ada", "x", "y"), ""),
        (told("paper", "grace"), "bcf"),
        (told("paper", "ada", "c", whole=False), ""),
    ],
)
def test_codes_count_that_are_known_to_be_left(since: Since, left: str) -> None:
    after = aftermath.reserve(a_reserve(), since, NOW)

    assert live(after) == left
    assert after.ceremony is None
    assert after.handle == b"handle"
    assert after.recovery is not None
    assert after.recovery.codes[0].spent_at == THEN


def test_who_laid_nothing_by_has_nothing() -> None:
    assert aftermath.reserve(Reserve(subject="ada"), UNKNOWN, NOW) == Reserve(subject="ada")


# Emergencies. --------------------------------------------------------------------------------------------------------


def a_case(state: State = "recovery_ready") -> Emergency:
    item = Item(id="i", code="EM", method="mailbox", touched_at=THEN, at=THEN)
    case = Case(
        id="case",
        opened_at=THEN,
        hold="weak",
        hold_until=THEN + timedelta(hours=72),
        claims=(Claim(key="k", items=(item,), triggered=1, holds=1),),
        lost=("phone",),
        quarantined=frozenset({"phone-code"}),
        recovery=Recovery(key="k", path="R1", rank=6, started_at=THEN, delay=timedelta(0), clock_from=THEN),
        lift=Lift("k", NOW),
    )
    return Emergency(
        state=state, version=7, case=case, held=(Held(hold="weak", since=THEN),), ticket=a_ticket()
    )


def a_ticket() -> Ticket:
    return Ticket(digest=b"t", expires_at=NOW + timedelta(hours=1))


@pytest.mark.proves("BKP-02")
@pytest.mark.parametrize("state", sorted(LOCKED))
@pytest.mark.parametrize(
    "since", [UNKNOWN, told("held", "ada"), told("released", "ada"), told("held", "ada", whole=False)]
)
def test_an_account_that_was_in_a_case_is_frozen_and_its_claims_begin_anew(
    state: State, since: Since
) -> None:
    after = aftermath.emergency(a_case(state), "ada", "new", since, NOW)

    assert (after.state, after.version, after.ticket) == ("frozen", 8, None)
    case = after.case
    assert case is not None
    assert (case.id, case.claims, case.recovery, case.contest, case.lift) == ("case", (), None, None, None)
    assert (case.operators, case.hold, case.hold_until) == (5, "strong", NOW + timedelta(days=30))
    assert (case.lost, case.quarantined, case.burned) == (
        ("phone",),
        frozenset({"phone-code"}),
        frozenset({"i"}),
    )
    assert [(h.hold, h.until) for h in after.held] == [("weak", NOW), ("strong", None)]


@pytest.mark.proves("BKP-02")
@pytest.mark.parametrize(
    "before", [NORMAL, Emergency(state="expired", watch_until=NOW), Emergency(state="restored")]
)
def test_an_account_that_came_into_a_case_since_is_frozen(before: Emergency) -> None:
    after = aftermath.emergency(before, "ada", "new", told("held", "ada"), NOW)

    assert after.state == "frozen"
    assert after.case is not None
    assert (after.case.id, after.case.opened_at, after.watch_until) == ("new", NOW, None)
    assert aftermath.frozen("ada", "new", told("held", "ada"), NOW).state == "frozen"


@pytest.mark.parametrize("since", [UNKNOWN, WHOLE, told("released", "ada"), told("held", "grace")])
def test_an_account_that_is_in_no_case_is_left_in_peace_but_for_a_ticket(since: Since) -> None:
    calm = Emergency(state="restored", version=3)
    assert aftermath.emergency(calm, "ada", "new", since, NOW) == calm

    after = aftermath.emergency(replace(calm, ticket=a_ticket()), "ada", "new", since, NOW)
    assert (after.state, after.ticket, after.version) == ("restored", None, 4)


def test_where_nothing_happened_since_a_case_goes_on() -> None:
    after = aftermath.emergency(a_case(), "ada", "new", WHOLE, NOW)

    assert (after.state, after.case, after.ticket) == ("recovery_ready", a_case().case, None)


def test_who_is_held_is_known_from_the_last_that_is_told() -> None:
    words: tuple[tuple[int, What, str], ...] = (
        (1, "held", "ada"),
        (2, "released", "ada"),
        (3, "held", "grace"),
        (1, "released", "grace"),
        (1, "stopped", "alan"),
    )
    notes = [Noted(at=THEN + timedelta(hours=n), tenant="t", what=w, about=a) for n, w, a in words]

    assert Since.of(notes, is_whole=True).held() == {"grace"}
