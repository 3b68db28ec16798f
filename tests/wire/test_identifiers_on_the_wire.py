"""
One spelling for every path: whoever names somebody at any endpoint means the same person, or nobody.

What is canonical is `identifiers`' matter and tested there; here it is shown that nothing goes around it.
Source: CAN-01 to CAN-08; native-auth-v1 5.2, 10.3.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from genkan import identifiers
from genkan.store import sql
from tests.server import Reply, first_factor_by_code, new_address, new_number
from tests.test_identifiers import COLLISIONS
from tests.wire import strict
from tests.wire.journeys import PASSWORD, account_by_password, begun, challenged, ids, proven, redeemed
from tests.wire.servers import StrictServer, World
from tests.wire.walks import ALL_TYPES, Reset, SignUp, Walk

MALFORMED = ("invalid_request", "", 90100)
BAD_CONTACT = ("invalid_request", "", 901001)

# The same person however they are written. ------------------------------------------------------------


def spellings(unique: str) -> list[str]:
    """Ways to write one address; the first is the one that the account was made with."""
    return [
        f"Ada.{unique}@Bücher.com",
        f"ada.{unique}@bücher.com",
        f"ADA.{unique.upper()}@BÜCHER.COM",
        f"ada.{unique}@bu\u0308cher.com",
        f"ada.{unique}@xn--bcher-kva.com",
        f"Ada.{unique}@XN--BCHER-KVA.com",
        f" ada.{unique}@bücher.com\t",
    ]


@pytest.mark.proves("CAN-01", "CAN-02")
def test_every_path_finds_the_person_by_every_spelling(world: World) -> None:
    own, *others = spellings(uuid4().hex[:10])
    walk = SignUp(world, world.password_app)
    walk.start(own, password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    walk.prove(walk.send()).ok()

    assert strict.jwt(walk.redeem(username=others[3]).ok()["id_token"])[1]["preferred_username"] == own
    for spelling in others:
        app = world.password_app
        asked = challenged(world, app, begun(world, app, spelling).token)
        tokens = proven(world, app, asked.token, "password", PASSWORD).ok()
        assert strict.jwt(tokens["id_token"])[1]["preferred_username"] == own, "as it was given"
        assert SignUp(world, app).start(spelling).error == ("user_already_exists", "", 1003037)
        assert Reset(world, app).start(spelling).status == 200


@pytest.mark.proves("CAN-01")
def test_two_sign_ups_by_two_spellings_make_one_account(world: World) -> None:
    first_spelling, second_spelling, *_ = spellings(uuid4().hex[:10])
    first, second = SignUp(world, world.otp_app), SignUp(world, world.otp_app)
    first.start(first_spelling).ok()
    second.start(second_spelling).ok()
    codes = first.send(), second.send()

    assert first.prove(codes[0]).status == 200
    assert second.prove(codes[1]).error == ("user_already_exists", "", 1003037)


@pytest.mark.proves("CAN-01")
def test_a_code_goes_to_the_address_as_the_account_has_it(world: World) -> None:
    own, _, shouted, *_ = spellings(uuid4().hex[:10])
    world.person(own, password=PASSWORD)
    walk = Reset(world, world.password_app)
    walk.start(shouted, own).ok()

    walk.send()

    assert {message["to"] for message in world.messages(own)} == {own}


# Look-alikes. ---------------------------------------------------------------------------------------


def paths(world: World, name: str) -> list[Reply]:
    """Every way to name somebody who may have an account."""
    app = world.password_app
    signed_up = SignUp(world, app)
    signed_up.start(new_address(), password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    signed_up.prove(signed_up.send()).ok()
    return [
        Walk(world, app).post(strict.INITIATE, username=name, challenge_type=ALL_TYPES),
        Reset(world, app).start(name),
        signed_up.redeem(username=name),
    ]


@pytest.mark.parametrize(("account", "alike"), COLLISIONS)
@pytest.mark.proves("CAN-04")
def test_what_only_looks_like_an_account_reaches_nobody(world: World, account: str, alike: str) -> None:
    tag = uuid4().hex[:6]
    account, alike = f"{tag}.{account}", f"{tag}.{alike}"
    if key_of(account):
        world.person(account, password=PASSWORD)
    seen = ids(world, account)

    initiated, reset, token = paths(world, alike)

    for answer in (initiated, reset):
        assert answer.error in (("user_not_found", "", 50034), MALFORMED), answer.body
    assert token.error == MALFORMED
    assert ids(world, account) == seen


def key_of(address: str) -> str:
    """The key of an address; empty when it is none."""
    found = identifiers.email(address)
    return found.key if found else ""


@pytest.mark.parametrize(("account", "alike"), COLLISIONS)
@pytest.mark.proves("CAN-04")
def test_a_look_alike_that_is_an_address_of_its_own_signs_up_for_itself(
    world: World, account: str, alike: str
) -> None:
    walk = SignUp(world, world.otp_app)
    own = f"{uuid4().hex[:6]}.{alike}"
    if walk.start(own).status == 400:
        assert walk.heard[0].error == MALFORMED
        return

    walk.prove(walk.send()).ok()

    name = strict.jwt(walk.redeem().ok()["id_token"])[1]["preferred_username"]
    assert name == own
    assert key_of(own) != key_of(f"{own.partition('.')[0]}.{account}")


# What is no address. ----------------------------------------------------------------------------------

HOSTILE = (
    "Ada <{}>",
    '"Ada" <{}>',
    "{},eve@example.com",
    "{};eve@example.com",
    "{} eve@example.com",
    "{}\r\nBcc: eve@example.com",
    "{}\n",
    "{}\x00",
    "\n{}",
    "mailto:{}",
    "{}(comment)",
    "\u202a{}\u202c",
    "{}\u202e",
    '"{}"@evil.example',
    "=?utf-8?q?x?={}",
    "{}" + " " * 3 + "x",
    "x" * 250 + "{}",
)


def sign_up_start(world: World, name: str) -> Reply:
    return SignUp(world, world.otp_app).start(name)


def initiate(world: World, name: str) -> Reply:
    return Walk(world, world.otp_app).post(strict.INITIATE, username=name, challenge_type=ALL_TYPES)


def reset_start(world: World, name: str) -> Reply:
    return Reset(world, world.otp_app).start(name)


def register(world: World, name: str) -> Reply:
    walk = SignUp(world, world.password_app)
    walk.start(new_address(), password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    walk.prove(walk.send()).ok()
    walk.redeem(scope=world.scope)
    return walk.post(
        strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=name, challenge_channel="email"
    )


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize(
    ("path", "refused"),
    [
        (sign_up_start, MALFORMED),
        (initiate, MALFORMED),
        (reset_start, MALFORMED),
        (register, BAD_CONTACT),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.proves("CAN-06")
def test_more_than_one_plain_address_is_refused_at_every_path(
    world: World, path: Callable[[World, str], Reply], refused: tuple[str, str, int], shape: str
) -> None:
    world.person(address := new_address())

    answer = path(world, shape.replace("{}", address))

    assert answer.error == refused
    assert world.messages(address) == []
    assert world.messages("eve@example.com") == []


# Plus tags. -----------------------------------------------------------------------------------------


@pytest.mark.proves("CAN-02", "CAN-07")
def test_a_tag_makes_another_account_and_counts_as_the_same_mailbox(world: World) -> None:
    plain = new_address()
    tagged = [plain.replace("@", f"+{n}@") for n in range(6)]
    for address in (plain, *tagged[:2]):
        walk = SignUp(world, world.otp_app)
        walk.start(address).ok()
        walk.prove(walk.send()).ok()

    def send(address: str) -> Reply:
        walk = SignUp(world, world.otp_app)
        walk.start(address).ok()
        return walk.challenge()

    answers = [send(address) for address in tagged[2:5]]

    assert [answer.status for answer in answers] == [200, 200, 400]
    assert answers[2].error == ("invalid_request", "", 701014)


# Numbers. -------------------------------------------------------------------------------------------


def written(number: str) -> list[str]:
    """Ways in which people write an international number."""
    code, rest = number[:3], number[3:]
    return [
        f"{code} {rest[:4]} {rest[4:]}",
        f"{code}-{rest[:4]}-{rest[4:]}",
        f"{code} (0){rest}".replace("(0)", ""),
        f" {code}{rest[:2]}.{rest[2:5]}.{rest[5:]} ",
        f"{code}\u00a0{rest[:4]}\u2011{rest[4:]}",
        f"{code} ({rest[:4]}) {rest[4:]}",
    ]


@pytest.mark.parametrize("spelling", range(6))
@pytest.mark.proves("CAN-08")
def test_a_number_is_registered_by_its_one_key_however_it_is_written(
    server: StrictServer, spelling: int
) -> None:
    walk = SignUp(server, server.otp_app)
    walk.start(new_address()).ok()
    walk.prove(walk.send()).ok()
    walk.redeem(scope=server.scope)
    number = new_number()

    sent = walk.post(
        strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=written(number)[spelling]
    )
    walk.post(strict.REGISTER_CONTINUE, grant_type="oob", oob=server.code(number, "enrol")).ok()
    walk.redeem().ok()

    assert sent.ok()["challenge_target"] == number
    required = first_factor_by_code(server, walk.address, server.scope)
    assert required.error[1] == "mfa_required"


@pytest.mark.parametrize(
    "typed",
    [
        "07700 900123",
        "0044 7700 900123",
        "+44 7700 900123 ext. 5",
        "+44 7700 900123,5",
        "+44 7700 90012A",
        "+1 800 FLOWERS",
        "+٤٤ ٧٧٠٠ ٩٠٠١٢٣",
        "+44",
        "+",
        "+44 7700 900123 +44 7700 900124",
        "tel:+447700900123",
        "+44 7700\n900123",
    ],
)
@pytest.mark.proves("CAN-08")
def test_a_number_without_its_country_or_with_more_than_digits_is_refused(
    server: StrictServer, typed: str
) -> None:
    walk = SignUp(server, server.otp_app)
    walk.start(new_address()).ok()
    walk.prove(walk.send()).ok()
    walk.redeem(scope=server.scope)

    for channel in ({}, {"challenge_channel": "sms"}):
        form = {"challenge_type": "oob", "challenge_target": typed, **channel}
        assert walk.post(strict.REGISTER_CHALLENGE, **form).error == BAD_CONTACT


@pytest.mark.proves("CAN-08")
def test_three_spellings_of_one_number_count_as_one_number_tried(server: StrictServer) -> None:
    walk = SignUp(server, server.otp_app)
    walk.start(new_address()).ok()
    walk.prove(walk.send()).ok()
    walk.redeem(scope=server.scope)
    number = new_number()

    answers = []
    for spelling in written(number)[:4]:
        answers.append(walk.post(strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=spelling))
        server.advance(150)  # longer than the fourth text of a step waits

    assert [answer.status for answer in answers] == [200, 200, 200, 400]
    assert answers[3].error == ("invalid_request", "", 50088), "three in ten minutes to one number"


# The database. --------------------------------------------------------------------------------------


@pytest.mark.proves("CAN-05")
def test_the_database_compares_keys_byte_by_byte(tmp_path: Path) -> None:
    scripts = sorted((Path(sql.__file__).parent / "migrations").glob("*.sql"))
    schema = "".join(script.read_text() for script in scripts)
    with closing(sqlite3.connect(tmp_path / "schema.db")) as database:
        database.executescript(schema)
        database.execute("INSERT INTO subject (id, revision, body) VALUES ('1', 1, '{}')")
        keys = ["ada@example.com", "Ada@example.com", "ada@example.com ", "ada@\u0435xample.com"]
        database.executemany("INSERT INTO identifier (key, subject) VALUES (?, '1')", [(k,) for k in keys])

        found = {key: database.execute(sql.HOLDER, (key,)).fetchall() for key in keys}
        with pytest.raises(sqlite3.IntegrityError):
            database.execute("INSERT INTO identifier (key, subject) VALUES (?, '1')", (keys[0],))
        shouted = database.execute(sql.HOLDER, ("ADA@EXAMPLE.COM",)).fetchall()
        collations = database.execute("SELECT sql FROM sqlite_master WHERE sql LIKE '%COLLATE%'").fetchall()

    assert [len(rows) for rows in found.values()] == [1, 1, 1, 1]
    assert shouted == []
    assert collations == []


@pytest.mark.proves("CAN-05")
def test_no_statement_compares_by_anything_but_equality() -> None:
    rooms = Path(sql.__file__).parent
    paths = (*rooms.glob("*.py"), *rooms.glob("migrations/*.sql"))
    # Administrators search people by how a property begins; nobody signs in by what such a search finds.
    texts = [path.read_text() for path in paths if path.name != "people.py"]

    assert len(texts) > 5
    for text in texts:
        assert not re.search(r"\b(COLLATE|NOCASE|LIKE|ILIKE|GLOB|REGEXP|CITEXT|LOWER\(|UPPER\()", text)


@pytest.mark.proves("CAN-05")
def test_the_username_of_somebody_is_never_another_persons_address(world: World) -> None:
    address = account_by_password(world)

    with world.changed(usernames=True):
        answers = [initiate(world, name) for name in (address.partition("@")[0], address.replace("@", "%40"))]
        known = initiate(world, address)

    assert {answer.error for answer in answers} == {("user_not_found", "", 50034)}
    assert known.status == 200
    assert redeemed(world, world.password_app, known.token).error[2] == 55200
