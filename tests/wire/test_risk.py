"""
Risk, over the wire: what a sign-in shows, what policies make of it, and how it is settled.

The application stands behind a proxy that it trusts, so a test may come from anywhere; where anywhere is, and which
networks are bad, is in files.
Source: conditional-access 3, 4.5, 10, 16; THR-05 to THR-07.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import Count, Detection, PutSubject, SignIn
from genkan.engine.transaction import DetectionQuery
from genkan.model import AccountRisk, Kind, Reason
from genkan.policy.model import (
    CountryLocation,
    IpLocation,
    IPv4Range,
    Locations,
    Policy,
)
from genkan.risk import account, rate
from tests.server import Reply, new_address, new_number, newest
from tests.service import mmdb
from tests.service.servers import Outside, outside
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    first_factor_by_password,
    ids,
    listed,
    proven,
    redeemed,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World, in_process
from tests.wire.walks import Reset

LONDON, LONDON_TOO, TOKYO, TOR, BAD = (
    "198.51.100.7",
    "198.51.101.7",
    "203.0.113.9",
    "192.0.2.5",
    "192.0.2.200",
)
NOWHERE = "100.64.0.7"
LEAKED = "lively heron and a leak"
NEW = "quiet otter by noon"

FORWARDED = "x-forwarded-for"
DEVICE = "x-client-os"

BLOCKED = ("invalid_grant", "message_only", 53003)
MFA = ("invalid_grant", "mfa_required", 50076)
TOO_RISKY = ("invalid_grant", "message_only", 53004)
CHANGE = ("invalid_request", "", 50142)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("risk")


@pytest.fixture(scope="module")
def service() -> Iterator[Outside]:
    """A service that is asked about risk; it finds none until it is told to."""
    with outside() as one:
        one.body = b'{"level": "none"}'
        yield one


@pytest.fixture(scope="module")
def world(folder: Any, service: Outside) -> Iterator[World]:
    """A tenant that judges sign-ins, on a server that knows the world."""
    geo = mmdb.write(
        folder / "city.mmdb",
        {
            "198.51.100.0/23": mmdb.city("GB", 51.5, -0.12),
            "203.0.113.0/24": mmdb.city("JP", 35.68, 139.69),
        },
    )
    (folder / "tor.txt").write_text("192.0.2.0/25\n")
    (folder / "bad.txt").write_text("192.0.2.128/25\n")
    digests = sorted(hashlib.sha1(text.encode()).hexdigest().upper() for text in (LEAKED, "another", "third"))
    (folder / "leaks.txt").write_text("".join(f"{digest}:1\n" for digest in digests))
    with in_process(
        folder / "data",
        trusted_proxies="127.0.0.0/8",
        geo_database=geo,
        anonymous_networks=folder / "tor.txt",
        bad_networks=folder / "bad.txt",
        leaked_passwords=folder / "leaks.txt",
        risk_url=f"{service.url}/judge",
        risk_deadline=5000,
    ) as running:
        tenant = replace(running.directory.tenant, assess_risk=True)
        running.run(running.store.put_documents(tenant))
        running.http.headers[DEVICE] = "iOS"
        yield running


def at(world: World, address: str) -> None:
    """From here on requests come from there."""
    world.http.headers[FORWARDED] = address


@pytest.fixture(autouse=True)
def at_home(world: World, service: Outside) -> None:
    at(world, LONDON)
    world.http.headers[DEVICE] = "iOS"
    service.body, service.after = b'{"level": "none"}', 0.0


def new_person(world: World, *, phone: bool = False, password: str = PASSWORD) -> tuple[str, str]:
    """Somebody whose account is old, and the number of their phone."""
    address, number = new_address(), new_number()
    found = identifiers.phone(number)
    assert found is not None
    world.person(address, password=password, seconds=(found,) if phone else (), age=timedelta(days=30))
    return address, number


def signs_in(world: World, address: str, password: str = PASSWORD) -> Reply:
    return first_factor_by_password(world, address, OPENID, password)


def at_home_in_london(world: World, **how: Any) -> tuple[str, str]:
    """Somebody whose account knows London and a phone."""
    person = new_person(world, **how)
    signs_in(world, person[0]).ok()
    return person


def second_factor(world: World, asked: Reply, number: str) -> Reply:
    """The answer to the right code by text message."""
    app, seen = world.password_app, ids(world, number)
    method = listed(world, app, asked.token)[0]["id"]
    sent = world.post(strict.CHALLENGE, client_id=app, continuation_token=asked.token, id=method).ok()
    code = newest(world, number, "mfa", seen)
    return proven(world, app, sent.token, "mfa_oob", code)


def risk_of(world: World, address: str) -> AccountRisk:
    return world.subject(address).risk


def last_entry(world: World, address: str) -> SignIn:
    return world.sign_ins(address)[0]


def detections(world: World, address: str) -> list[Detection]:
    """What was found about somebody, the oldest first."""
    found = world.run(world.store.detections(DetectionQuery(subject=world.subject(address).id)))
    return sorted(found, key=lambda d: (d.at, d.word))


def put_at_risk(world: World, address: str, risk: AccountRisk) -> None:
    world.write(PutSubject(replace(world.subject(address), risk=risk)))


# What a sign-in shows. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "device", "level", "reasons"),
    [
        pytest.param(LONDON, "iOS", "none", (), id="nothing new"),
        pytest.param(LONDON_TOO, "iOS", "low", ("unfamiliarFeatures",), id="a new network"),
        pytest.param(LONDON, "Windows", "low", ("unfamiliarFeatures",), id="a new device"),
        pytest.param(LONDON_TOO, "Windows", "medium", ("unfamiliarFeatures",), id="both"),
        pytest.param(
            TOKYO,
            "iOS",
            "high",
            ("unfamiliarFeatures", "newCountry", "impossibleTravel"),
            id="too far too soon",
        ),
        pytest.param(TOR, "iOS", "medium", ("unfamiliarFeatures", "anonymizedIPAddress"), id="a proxy"),
        pytest.param(BAD, "iOS", "high", ("unfamiliarFeatures", "maliciousIPAddress"), id="a bad network"),
    ],
)
def test_each_signal_has_its_level_and_says_why(
    world: World, address: str, device: str, level: str, reasons: tuple[str, ...]
) -> None:
    who, _ = at_home_in_london(world)
    assert (last_entry(world, who).risk.level, detections(world, who)) == ("none", [])

    at(world, address)
    world.http.headers[DEVICE] = device
    signs_in(world, who).ok()

    entry = last_entry(world, who)
    assert (entry.risk.level, entry.risk.reasons) == (level, reasons)
    assert entry.risk.state == ("atRisk" if reasons else "none")
    found = detections(world, who)
    assert {d.word for d in found} == set(reasons)
    assert all((d.request, d.address, d.state) == (entry.id, address, "atRisk") for d in found)


def test_a_new_country_is_one_even_if_there_was_time_to_get_there(world: World) -> None:
    who, _ = at_home_in_london(world)
    world.advance(24 * 3600)

    at(world, TOKYO)
    signs_in(world, who).ok()
    first = last_entry(world, who).risk
    world.advance(60)
    signs_in(world, who).ok()

    assert (first.level, first.reasons) == ("medium", ("unfamiliarFeatures", "newCountry"))
    assert last_entry(world, who).risk.level == "none", "by now the account knows Tokyo"


def test_where_nothing_is_known_of_an_account_nothing_is_new(world: World) -> None:
    who, _ = new_person(world)

    at(world, TOKYO)
    signs_in(world, who).ok()

    assert last_entry(world, who).risk.level == "none"


def test_a_sign_in_that_looks_very_bad_teaches_the_account_nothing(world: World) -> None:
    who, number = at_home_in_london(world, phone=True)
    at(world, BAD)
    signs_in(world, who).ok()
    signs_in(world, who).ok()

    assert "unfamiliarFeatures" in last_entry(world, who).risk.reasons
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("high",))):
        second_factor(world, signs_in(world, who), number).ok()
    signs_in(world, who).ok()
    assert last_entry(world, who).risk.reasons == ("maliciousIPAddress",), "with a second factor it does"


def test_whoever_begins_in_a_bad_place_does_not_shed_that_by_going_home(world: World) -> None:
    who, number = at_home_in_london(world, phone=True)
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("high",))):
        at(world, BAD)
        asked = signs_in(world, who)
        assert asked.error == MFA

        at(world, LONDON)
        resumed = redeemed(world, world.password_app, asked.token, scope=OPENID)
        assert resumed.error != ("", "", 0)
        second_factor(world, asked, number).ok()


# Many wrong proofs. ---------------------------------------------------------------------------------


def test_a_right_password_after_many_wrong_ones_from_somewhere_new_puts_the_account_at_risk(
    world: World,
) -> None:
    who, number = at_home_in_london(world, phone=True)
    at(world, LONDON_TOO)
    for number_of_guess in range(10):
        signs_in(world, who, f"wrong {who} {number_of_guess}")
        world.advance(3600)
    assert risk_of(world, who).level == "hidden", (
        "to try is not enough: else anybody could do that to anybody"
    )

    signs_in(world, who).ok()

    entry = last_entry(world, who)
    assert "anomalousUserActivity" in entry.risk.reasons
    assert (risk_of(world, who).level, risk_of(world, who).state) == ("medium", "atRisk")
    at(world, LONDON)
    with world.changed(for_everybody("block", user_risk_levels=("medium",))):
        assert signs_in(world, who).error == BLOCKED
    assert number


@pytest.mark.proves("THR-05")
def test_a_right_password_that_somebody_tries_everywhere_is_the_work_of_a_sprayer(world: World) -> None:
    common = "winter of our discontent"
    victim, _ = new_person(world, password=common)
    with world.changed(wrong_guesses_of_one_password=6):
        for number in range(3):
            other, _ = new_person(world)
            at(world, f"100.64.{number}.9")
            signs_in(world, other, common)
        at(world, NOWHERE)
        signs_in(world, victim, common).ok()

    assert last_entry(world, victim).risk.level == "high"
    assert "passwordSpray" in last_entry(world, victim).risk.reasons
    assert risk_of(world, victim).level == "high"
    assert "passwordSpray" in {d.word for d in detections(world, victim)}


# Policies. ------------------------------------------------------------------------------------------


@pytest.mark.proves("CAP-098")
def test_a_second_factor_under_a_policy_on_risk_settles_the_risk(world: World) -> None:
    who, number = at_home_in_london(world, phone=True)
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("high",))):
        at(world, TOKYO)
        asked = signs_in(world, who)
        assert asked.error == MFA
        assert {d.state for d in detections(world, who)} == {"atRisk"}
        second_factor(world, asked, number).ok()

    entry = last_entry(world, who)
    assert (entry.risk.level, entry.risk.state) == ("high", "remediated")
    assert entry.risk.detail == "userPassedMFADrivenByRiskBasedPolicy"
    assert {(d.state, d.detail) for d in detections(world, who)} == {
        ("remediated", "userPassedMFADrivenByRiskBasedPolicy")
    }
    assert risk_of(world, who).level == "hidden"


@pytest.mark.proves("CAP-099")
def test_a_policy_on_high_risk_leaves_medium_alone(world: World) -> None:
    who, _ = at_home_in_london(world)
    at(world, TOR)
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("high",))):
        signs_in(world, who).ok()


@pytest.mark.proves("CAP-100")
def test_where_nobody_looks_the_risk_is_hidden_and_no_policy_on_risk_applies(world: World) -> None:
    who, _ = at_home_in_london(world)
    at(world, BAD)
    with world.changed(
        for_everybody("block", sign_in_risk_levels=("none", "low", "medium", "high")), assess_risk=False
    ):
        signs_in(world, who).ok()
        assert last_entry(world, who).risk.level == "hidden"


@pytest.mark.proves("CAP-100")
def test_a_service_that_does_not_answer_in_time_leaves_the_risk_hidden(
    world: World, service: Outside
) -> None:
    who, _ = at_home_in_london(world)
    source = world._development._surroundings.risk_source
    assert source is not None
    source._judge._deadline, service.after = 0.05, 1.0
    try:
        with world.changed(for_everybody("block", sign_in_risk_levels=("none", "low", "medium", "high"))):
            signs_in(world, who).ok()
            assert last_entry(world, who).risk.level == "hidden"
            at(world, BAD)
            assert signs_in(world, who).error == BLOCKED, "what is known all the same still counts"
    finally:
        source._judge._deadline = 5.0


def test_what_the_service_finds_counts_with_its_reasons(world: World, service: Outside) -> None:
    who, _ = at_home_in_london(world)
    service.body = b'{"level": "high", "reasons": ["malwareInfectedIPAddress"]}'
    with world.changed(for_everybody("block", sign_in_risk_levels=("high",))):
        assert signs_in(world, who).error == BLOCKED
    entry = last_entry(world, who)
    assert (entry.reason, entry.risk.reasons) == (Reason.BLOCKED_BY_POLICY, ("malwareInfectedIPAddress",))
    assert [d.word for d in detections(world, who)] == ["malwareInfectedIPAddress"]


@pytest.mark.proves("CAP-101")
def test_no_risk_is_a_level_too(world: World) -> None:
    who, number = at_home_in_london(world, phone=True)
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("none",))):
        asked = signs_in(world, who)
        assert asked.error == MFA
        second_factor(world, asked, number).ok()
    assert last_entry(world, who).risk.state == "none", "there was nothing to settle"


@pytest.mark.proves("CAP-102")
def test_nobody_registers_a_method_under_risk(world: World) -> None:
    who, _ = at_home_in_london(world)
    at(world, BAD)
    with world.changed(for_everybody("mfa", sign_in_risk_levels=("high",))):
        assert signs_in(world, who).error == TOO_RISKY


@pytest.mark.proves("CAP-103")
def test_an_account_that_is_confirmed_to_be_in_the_wrong_hands_is_blocked(world: World) -> None:
    who, _ = at_home_in_london(world)
    with world.changed(for_everybody("block", user_risk_levels=("high",))):
        signs_in(world, who).ok()
        put_at_risk(world, who, account.confirmed_compromised(world.now))
        assert signs_in(world, who).error == BLOCKED
        put_at_risk(world, who, account.dismissed(world.now))
        signs_in(world, who).ok()


def new_password_wanted() -> Policy:
    return for_everybody("mfa", "passwordChange", operator="AND", user_risk_levels=("high",))


@pytest.mark.proves("CAP-104", "CAP-106")
def test_a_risky_account_passes_a_second_factor_then_changes_the_password_and_is_well_again(
    world: World,
) -> None:
    who, number = at_home_in_london(world, phone=True)
    put_at_risk(world, who, account.confirmed_compromised(world.now))
    with world.changed(new_password_wanted()):
        asked = signs_in(world, who)
        assert asked.error == MFA
        assert second_factor(world, asked, number).error == CHANGE
        Reset(world, world.password_app).done(who, NEW)
        signs_in(world, who, NEW).ok()

    risk = risk_of(world, who)
    assert (risk.level, risk.state) == ("none", "remediated")
    assert risk.detail == "userPerformedSecuredPasswordChange"


def test_a_reset_that_nothing_asked_for_is_told_as_a_reset(world: World) -> None:
    who, _ = at_home_in_london(world, phone=True)
    put_at_risk(world, who, account.raised(AccountRisk(), "high", world.now))

    Reset(world, world.password_app).done(who, NEW)

    assert risk_of(world, who).detail == "userPerformedSecuredPasswordReset"


@pytest.mark.proves("CAP-105")
def test_for_a_new_password_a_method_must_have_been_there_before(world: World) -> None:
    who, _ = at_home_in_london(world)
    put_at_risk(world, who, account.confirmed_compromised(world.now))
    with world.changed(new_password_wanted()):
        assert signs_in(world, who).error == TOO_RISKY


@pytest.mark.proves("CAP-107")
def test_the_risks_of_sign_in_and_account_must_both_hold(world: World) -> None:
    who, _ = at_home_in_london(world)
    put_at_risk(world, who, account.raised(AccountRisk(), "low", world.now))
    at(world, BAD)
    policy = for_everybody("block", sign_in_risk_levels=("high",), user_risk_levels=("high",))
    with world.changed(policy):
        signs_in(world, who).ok()
        put_at_risk(world, who, account.raised(AccountRisk(), "high", world.now))
        assert signs_in(world, who).error == BLOCKED


# Leaked passwords. ----------------------------------------------------------------------------------


@pytest.mark.proves("THR-06", "PWD-10")
def test_a_right_password_from_a_leak_must_be_changed_after_the_second_factor(world: World) -> None:
    who, number = new_person(world, phone=True, password=LEAKED)

    asked = signs_in(world, who, LEAKED)
    assert asked.error == MFA, "no policy asks for it, but the password proves little"
    assert second_factor(world, asked, number).error == CHANGE

    assert (risk_of(world, who).level, risk_of(world, who).state) == ("high", "atRisk")
    assert ("leakedCredentials", "user") in {(d.word, d.activity) for d in detections(world, who)}
    world.advance(31)
    assert signs_in(world, who, LEAKED).error == MFA, "it is so every time"
    reset = Reset(world, world.password_app).proven(who)
    refused = reset.submit(LEAKED + "ed once more")
    assert refused.status == 200, "another one will do"
    signs_in(world, who, LEAKED + "ed once more").ok()
    assert (risk_of(world, who).level, risk_of(world, who).state) == ("none", "remediated")


@pytest.mark.proves("THR-06")
def test_without_a_second_factor_a_leaked_password_must_be_changed_at_once(world: World) -> None:
    who, _ = new_person(world, password=LEAKED)

    assert signs_in(world, who, LEAKED).error == CHANGE
    assert signs_in(world, who, "another").error[2] == 50126, "what is wrong is just wrong, leaked or not"


@pytest.mark.proves("THR-06")
def test_a_leaked_password_is_found_where_sign_ins_are_not_judged_too(world: World) -> None:
    who, _ = new_person(world, password=LEAKED)
    with world.changed(assess_risk=False):
        assert signs_in(world, who, LEAKED).error == CHANGE
    assert risk_of(world, who).level == "high"


@pytest.mark.proves("PWD-04", "PWD-08")
def test_a_leaked_password_is_no_new_password(world: World) -> None:
    who, _ = new_person(world)

    refused = Reset(world, world.password_app).proven(who).submit(LEAKED)

    assert refused.error == ("invalid_grant", "password_banned", 399246)


# Where a request comes from. ------------------------------------------------------------------------

OFFICE = IpLocation(
    id="dddddddd-0000-4000-8000-000000000001",
    display_name="Office",
    is_trusted=True,
    ip_ranges=(IPv4Range(cidr_address="198.51.100.0/24"),),
)
JAPAN = CountryLocation(
    id="dddddddd-0000-4000-8000-000000000002", display_name="Japan", countries_and_regions=("JP",)
)


def outside_the_office() -> Policy:
    places = Locations(include_locations=("All",), exclude_locations=("AllTrusted",))
    return for_everybody("mfa", locations=places)


@pytest.mark.proves("CAP-080", "CAP-081")
def test_behind_a_proxy_that_is_trusted_the_office_is_known_by_what_it_says(world: World) -> None:
    who, _ = new_person(world, phone=True)
    with world.changed(OFFICE, outside_the_office()):
        signs_in(world, who).ok()
        at(world, TOKYO)
        assert signs_in(world, who).error == MFA


@pytest.mark.proves("CAP-089", "THR-07")
@pytest.mark.parametrize(
    "headers",
    [
        {FORWARDED: LONDON},
        {"forwarded": f"for={LONDON}"},
        {"x-real-ip": LONDON},
        {FORWARDED: f"::ffff:{LONDON}"},
    ],
)
def test_a_header_of_a_peer_that_is_no_proxy_of_ours_moves_nothing(
    tmp_path_factory: pytest.TempPathFactory, headers: dict[str, str]
) -> None:
    with in_process(tmp_path_factory.mktemp("plain") / "data") as plain:
        who, _ = new_person(plain, phone=True)
        plain.http.headers.update(headers)
        with plain.changed(OFFICE, outside_the_office()):
            assert signs_in(plain, who).error == MFA
        assert last_entry(plain, who).address == ""


@pytest.mark.proves("THR-07")
def test_what_a_client_writes_into_the_header_itself_does_not_move_its_budget(world: World) -> None:
    with world.changed(wrong_guesses_per_network=3):
        people = [new_person(world)[0] for _ in range(5)]
        for number, who in enumerate(people):
            at(world, f"203.0.{number}.1, {NOWHERE}")
            signs_in(world, who, f"wrong {who}")
        at(world, f"8.8.8.8, {NOWHERE}")
        assert signs_in(world, people[4]).error[2] == 50126, "its network has guessed enough"
        at(world, LONDON)
        signs_in(world, people[4]).ok()


@pytest.mark.proves("CAP-082", "CAP-083", "CAP-085")
def test_a_country_is_looked_up_in_the_database_of_places(world: World) -> None:
    who, _ = new_person(world)
    with world.changed(JAPAN, for_everybody("block", locations=Locations(include_locations=(JAPAN.id,)))):
        signs_in(world, who).ok()
        at(world, TOKYO)
        assert signs_in(world, who).error == BLOCKED
        at(world, NOWHERE)
        signs_in(world, who).ok()


@pytest.mark.proves("CAP-091")
def test_a_refresh_from_a_closed_country_is_blocked(world: World) -> None:
    who, _ = new_person(world)
    app = world.password_app
    token = signs_in(world, who).ok()["refresh_token"]
    with world.changed(JAPAN, for_everybody("block", locations=Locations(include_locations=(JAPAN.id,)))):
        at(world, TOKYO)
        form = {"client_id": app, "grant_type": "refresh_token", "refresh_token": token}
        assert world.post_form(strict.TOKEN, form).error == BLOCKED
        at(world, LONDON)
        world.post_form(strict.TOKEN, form).ok()


def test_a_refresh_is_judged_by_its_risk_too(world: World) -> None:
    who, _ = new_person(world)
    token = signs_in(world, who).ok()["refresh_token"]
    form = {"client_id": world.password_app, "grant_type": "refresh_token", "refresh_token": token}
    with world.changed(for_everybody("block", sign_in_risk_levels=("high",))):
        at(world, BAD)
        assert world.post_form(strict.TOKEN, form).error == BLOCKED
    assert last_entry(world, who).risk.reasons == ("unfamiliarFeatures", "maliciousIPAddress")


# Work. ----------------------------------------------------------------------------------------------

WORK = "x-genkan-work"
WORK_NEEDED = ("invalid_request", "", 50131)


def begins(world: World, path: str, name: str, work: str = "") -> Reply:
    by_password = {"password": PASSWORD} if path == strict.SIGNUP_START else {}
    form = {"client_id": world.password_app, "username": name, "challenge_type": "oob password redirect"}
    return world.post(path, {WORK: work} if work else None, **form, **by_password)


def solved(puzzle: str) -> str:
    """By the way that the answer describes."""
    bits = int(puzzle.partition(".")[0])

    def zeros(text: str) -> bool:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()) >> (256 - bits) == 0

    return next(text for n in itertools.count() if zeros(text := f"{puzzle}:{n}"))


STARTS = (strict.INITIATE, strict.SIGNUP_START, strict.RESET_START)


@pytest.mark.proves("THR-08")
@pytest.mark.parametrize("path", STARTS)
def test_where_work_is_wanted_it_is_asked_of_everybody_alike(world: World, path: str) -> None:
    known, unknown = new_person(world)[0], new_address()
    with world.changed(work="always", work_bits=8):
        asked = [begins(world, path, name) for name in (known, unknown)]
        assert [reply.error for reply in asked] == [WORK_NEEDED] * 2
        assert set(asked[0].body) == set(asked[1].body)
        assert len(asked[0]["puzzle"]) == len(asked[1]["puzzle"])
        done = solved(asked[0]["puzzle"])
        assert begins(world, path, unknown, done).error == WORK_NEEDED, "it was for another name"
        assert begins(world, path, known, done).error != WORK_NEEDED
        assert begins(world, path, known, done).error == WORK_NEEDED, "it was used"
        at(world, TOKYO)
        assert begins(world, path, known, solved(asked[0]["puzzle"])).error == WORK_NEEDED


@pytest.mark.proves("THR-05", "THR-08")
def test_a_spray_from_one_network_makes_it_work_and_nobody_else(world: World) -> None:
    with world.changed(work="under_attack", work_bits=8, wrong_guesses_per_network=6):
        at(world, "100.64.77.1")
        people = [new_person(world)[0] for _ in range(4)]
        for who in people[:3]:
            signs_in(world, who, f"wrong {who}")

        asked = begins(world, strict.INITIATE, people[3])
        assert asked.error == WORK_NEEDED
        begins(world, strict.INITIATE, people[3], solved(asked["puzzle"])).ok()
        at(world, LONDON)
        begins(world, strict.INITIATE, people[3]).ok()


@pytest.mark.proves("THR-05")
def test_a_spray_from_everywhere_makes_all_of_the_tenant_work(world: World) -> None:
    spent = rate.guesses_in_tenant(Kind.PASSWORD)
    with world.changed(work="under_attack", work_bits=8, wrong_guesses_per_tenant=6):
        world.write(Count(bucket=spent, history=(), keep_until=world.now))
        for number in range(4):
            at(world, f"100.65.{number}.1")
            signs_in(world, (who := new_person(world)[0]), f"wrong {who}")

        at(world, LONDON)
        assert begins(world, strict.INITIATE, new_person(world)[0]).error == WORK_NEEDED
        world.advance(3601)
        begins(world, strict.INITIATE, new_person(world)[0]).ok()
