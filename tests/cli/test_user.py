"""`genkan user` at a real database."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import bcrypt
import pytest

from genkan import identifiers
from genkan.bootstrap import Development, administering
from genkan.cli.user import METHODS
from genkan.model import Authenticator, Kind
from genkan.service.admin import people
from genkan.settings import Settings
from tests.cli.conftest import Command
from tests.service.offices import OPERATOR


def test_a_person_is_created_listed_shown_changed_deleted_and_brought_back(genkan: Command) -> None:
    assert genkan("user", "list").ok().out == "Nobody is there.\n"
    genkan("user", "create", "Ada@Example.com", "--name", "Ada Lovelace", "--set", "city=London").ok()

    (listed,) = genkan("user", "list", "--json").lines()
    assert listed["displayName"] == "Ada Lovelace"
    assert listed["identities"] == [{"signInType": "emailAddress", "issuerAssignedId": "Ada@Example.com"}]
    shown = genkan("user", "show", "ada@example.com").ok().out
    assert "London" in shown
    assert "e-mail code to a***a@ex****e.com" in shown

    genkan("user", "update", "ada@example.com", "--username", "ada", "--set", "city=", "--disable").ok()
    (shown_by_username,) = genkan("user", "show", "ada", "--json").lines()
    assert shown_by_username["accountEnabled"] is False
    assert "city" not in shown_by_username
    assert len(shown_by_username["identities"]) == 2

    assert "Would delete Ada@Example.com" in genkan("user", "delete", listed["id"], "--dry-run").ok().out
    genkan("user", "delete", listed["id"], "--yes").ok()
    assert genkan("user", "list").ok().out == "Nobody is there.\n"
    assert "Ada Lovelace" in genkan("user", "list", "--deleted").ok().out
    genkan("user", "restore", "ada@example.com").ok()
    assert "Ada Lovelace" in genkan("user", "list", "--search", "lovelace").ok().out or "Ada" in (
        genkan("user", "list", "--search", "ada").ok().out
    )


def test_every_kind_of_method_has_a_name_to_be_shown_by() -> None:
    assert set(METHODS) == {kind.value for kind in Kind}


@pytest.mark.proves("ENR-12")
def test_whatever_a_person_has_ever_proven_themselves_by_is_listed_with_time_and_source(
    genkan: Command, folder: Path
) -> None:
    genkan("user", "create", "ada@example.com").ok()
    genkan("user", "create", "ben@example.com").ok()
    asyncio.run(rebound(folder, "+447812345678", "+447812345699"))

    listed = genkan("user", "methods", "ada@example.com", "--json").lines()

    assert [(m["kind"], m["target"], m["source"], m["until"] is not None) for m in listed] == [
        ("email_otp", "a***a@ex****e.com", "administrator", False),
        ("sms_otp", "+44*******78", "administrator", True),
        ("sms_otp", "+44*******99", "administrator", True),
    ]
    assert listed[1]["until"] == listed[2]["since"] < listed[2]["until"]
    out = genkan("user", "methods", "ada@example.com").ok().out
    assert re.search(r"text message +\+44\*+78 +administrator +\S+ \S+ +\S+", out), out
    assert "text message" not in genkan("user", "show", "ada@example.com").ok().out


async def rebound(folder: Path, number: str, other: str) -> None:
    """Give Ada a phone, change its number, and take it away."""
    first, second = identifiers.phone(number), identifiers.phone(other)
    assert first is not None
    assert second is not None
    async with administering(folder, None) as office:
        ada = await office.store.look(lambda view: view.holder("ada@example.com"))
        assert ada is not None
        for act in (
            people.add_method(office.door, OPERATOR, ada.id, Kind.SMS_OTP, first),
            people.change_method(office.door, OPERATOR, ada.id, Kind.SMS_OTP, second),
            people.remove_method(office.door, OPERATOR, ada.id, Kind.SMS_OTP),
        ):
            assert isinstance(await act, Authenticator)


@pytest.mark.proves("SSPR-09")
def test_an_operator_makes_a_password_useless_and_never_knows_or_sets_one(genkan: Command) -> None:
    help_ = genkan("user", "create", "--help").out + genkan("user", "reset-password", "--help").out
    assert "--password" not in help_

    genkan("user", "create", "ada@example.com", "--sign-in-by", "password").ok()
    assert "password" in genkan("user", "show", "ada@example.com").ok().out
    said = genkan("user", "reset-password", "ada@example.com", "--yes").ok().out
    assert "sets a new password by “forgot password”" in said


def test_what_is_destroyed_is_asked_for_first(genkan: Command) -> None:
    genkan("user", "create", "ada@example.com").ok()

    for command in ("delete", "sign-out", "reset-password"):
        assert "--yes" in genkan("user", command, "ada@example.com").no()
        assert "Nothing was changed" in genkan("user", command, "ada@example.com", "--dry-run").ok().out
    assert "ada@example.com" in genkan("user", "list").ok().out


def test_mistakes_are_one_sentence_that_says_what_to_do(genkan: Command, tmp_path: Path) -> None:
    genkan("user", "create", "ada@example.com").ok()

    assert (
        genkan("user", "create", "ADA@example.com").no()
        == "Somebody has this address, username or id already."
    )
    assert genkan("user", "create", "nobody").no() == "An identity of type emailAddress is an e-mail address."
    assert "Look with genkan user list" in genkan("user", "show", "bob@example.com").no()
    assert "genkan dev" in genkan("user", "list", "--data", tmp_path / "elsewhere").no()
    assert "There is no tenant south" in genkan("user", "list", "--tenant", "south").no()
    assert genkan("user", "update", "ada@example.com").code == 2
    assert genkan("user", "create", "bob@example.com", "--set", "city").code == 2


def test_beside_a_running_server_one_can_look_and_is_told_how_to_change(
    genkan: Command, folder: Path
) -> None:
    async def story() -> None:
        development = Development(Settings(data=folder), "http://localhost:8400")
        await development._start()
        try:
            listed = await asyncio.to_thread(genkan, "user", "list")
            refused = await asyncio.to_thread(genkan, "user", "create", "ada@example.com")
        finally:
            await development._stop()
        assert listed.ok().out == "Nobody is there.\n"
        assert "A server owns the database" in refused.no()
        assert "administration API" in refused.no()

    asyncio.run(story())


def test_names_cannot_move_the_cursor_of_who_lists_them(genkan: Command, tmp_path: Path) -> None:
    (tmp_path / "users.jsonl").write_text(
        json.dumps({"email": "eve@example.com", "displayName": "Eve\u202e\u009b2J"}) + "\n", encoding="utf-8"
    )
    genkan("user", "import", tmp_path / "users.jsonl", "--from", "jsonl").ok()

    shown = genkan("user", "list").ok().out

    assert "\u202e" not in shown
    assert "\u009b" not in shown
    assert "Eve\ufffd\ufffd2J" in shown


# Import. -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def users(tmp_path: Path) -> Path:
    unix = bcrypt.hashpw(b"as before", bcrypt.gensalt(4)).decode()
    file = tmp_path / "users.csv"
    file.write_text(
        "email,email_verified,password_hash,display_name\n"
        f"carl@example.com,true,{unix},Carl\n"
        f"dora@example.com,false,{unix},Dora\n"
        "CARL@example.com,true,,\n"
        "eve@example,true,,\n"
        "\udcff\n".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"),
        encoding="utf-8",
        errors="surrogateescape",
    )
    return file


def test_a_file_is_tried_brought_and_known_again(genkan: Command, users: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    words = ("user", "import", users, "--from", "csv")

    tried = genkan(*words, "--dry-run")
    assert "2 would be added, 0 were here already, 3 would be refused" in tried.out
    assert genkan("user", "list").ok().out == "Nobody is there.\n"

    brought = genkan(*words, "--report", report)
    assert brought.code == 1, "some were refused"
    assert ": 2 added, 0 were here already, 3 refused" in brought.out
    assert [json.loads(line) for line in report.read_text().splitlines()] == [
        {
            "line": 3,
            "record": 2,
            "leftBehind": ["the password was left out: the e-mail address was never proven"],
        },
        {"line": 4, "record": 3, "refused": "line 2 has the same address or username"},
        {
            "line": 5,
            "record": 4,
            "refused": "its e-mail address is none, or not one that mail can be sent to",
        },
        {"line": 6, "record": 5, "refused": "it is not UTF-8"},
    ]

    again = genkan(*words, "--json")
    assert json.loads(again.out)["known"] == 2
    assert json.loads(again.out)["added"] == 0
    assert len(genkan("user", "list", "--json").lines()) == 2


def test_a_file_of_another_kind_is_refused_in_a_sentence(genkan: Command, users: Path) -> None:
    assert "one object in each line" in genkan("user", "import", users, "--from", "auth0").no()
    assert "--firebase-hashing" in genkan("user", "import", users, "--from", "firebase").no()
    assert genkan("user", "import", users, "--from", "csv", "--map", "a=b").code == 2


def test_a_file_may_come_by_standard_input(genkan: Command) -> None:
    said = genkan("user", "import", "-", "--from", "jsonl", typed='{"email": "ada@example.com"}\n')

    assert ": 1 added" in said.ok().out


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever runs the tests in the background has had interrupts ignored, and a child would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_import_that_was_cut_off_is_started_anew_and_loses_and_doubles_nobody(
    genkan: Command, folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    people = 20_000
    file = tmp_path / "many.csv"
    file.write_text("id,email\n" + "".join(f"u{n},person{n}@example.com\n" for n in range(people)))
    words = [
        sys.executable,
        "-m",
        "genkan",
        "user",
        "import",
        str(file),
        "--from",
        "csv",
        "--data",
        str(folder),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    with closing(sqlite3.connect(f"file:{folder / 'dev.db'}?mode=ro", uri=True)) as database:
        while not database.execute("SELECT count(*) FROM subject").fetchone()[0]:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    if how is signal.SIGINT:
        assert err == "Error: It was stopped. Start it anew to bring the others.\n"
        assert " added" in out

    again = genkan("user", "import", file, "--from", "csv", "--json")

    assert again.code == 0, again
    said = json.loads(again.out)
    assert said["known"] > 0
    assert said["added"] > 0
    assert (said["added"] + said["known"], said["refused"]) == (people, 0)
    assert genkan("logs", "verify").ok().out.startswith("Whole")
    with closing(sqlite3.connect(f"file:{folder / 'dev.db'}?mode=ro", uri=True)) as database:
        assert database.execute("SELECT count(*) FROM subject").fetchone()[0] == people
        assert database.execute("SELECT count(*) FROM authenticator").fetchone()[0] == people
