"""What is kept about a person is theirs to have, and is gone when they are: whatever table it stood in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from genkan.cli import main
from genkan.engine.messages import Deliver, Detect, Detection, PutSubject
from genkan.model import Channel, Message, Place
from genkan.store import carrying
from genkan.store.people import KEPT_AFTER_DELETION
from tests.cli.conftest import Said
from tests.server import new_address, sign_up_by_code
from tests.wire.journeys import OPENID, first_factor_by_password, redeemed, signed_up_by_password
from tests.wire.servers import World, in_process
from tests.wire.test_owner import CODES, ask, token

pytestmark = pytest.mark.xdist_group("backups")

Run = Callable[..., Said]


@pytest.fixture
def at() -> Run:
    """`genkan …` at a folder."""

    def run(data: Path, *words: str | Path) -> Said:
        result = CliRunner(env={"GENKAN_DATA": str(data)}).invoke(main, list(map(str, words)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


def everywhere(world: World, *texts: str) -> dict[str, list[str]]:
    """Which tables say any of this, in whatever column; sealed messages are opened."""

    def look(execute: Any) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        names = [
            row[0] for row in execute("SELECT name FROM sqlite_master WHERE type = 'table'", ()).fetchall()
        ]
        for name in names:
            rows = execute(f"SELECT * FROM {name}", ()).fetchall()
            if name == "outbox":
                rows = [world.store._sealer.open("outbox.body", row[5], row[6]) for row in rows]
            said = json.dumps(rows, default=repr, ensure_ascii=False).casefold()
            if hits := [text for text in texts if text.casefold() in said]:
                found[name] = hits
        return found

    return world.run(world.store._read(look))


def lived(world: World, address: str) -> None:
    """Somebody who has signed up by themselves, and left traces wherever traces are left."""
    redeemed(world, world.password_app, signed_up_by_password(world, address).token, scope=OPENID).ok()
    first_factor_by_password(world, address, OPENID).ok()
    first_factor_by_password(world, address, OPENID, "wrong words entirely")
    ask(world, "POST", CODES, token(world, address), {}).ok()
    subject, now = world.subject(address), world.now
    named = {**subject.attributes, "displayName": "Zerlinda Quux", "city": "Ouagadougou"}
    world.write(PutSubject(replace(subject, attributes=named)))
    found = Detection(
        id="d", at=now, updated_at=now, subject=subject.id, word="newCountry", level="low",
        address="203.0.113.77", place=Place(country="FR"),
    )  # fmt: skip
    world.write(Detect(found, now + timedelta(days=30)))


def waits(world: World, address: str) -> None:
    """A message that no provider has taken yet."""
    world.http.post(f"{world.base}/dev/delivery", json={"failing": True}).raise_for_status()
    now = world.now
    letter = Message(
        id="w", channel=Channel.EMAIL, to=address, purpose="notice", template="signed_in_anew",
        created_at=now, expires_at=now + timedelta(days=2),
    )  # fmt: skip
    world.write(Deliver(letter))


@pytest.mark.parametrize("how", ["erased", "purged"])
def test_when_somebody_is_gone_no_table_says_their_name_or_address(tmp_path: Path, at: Run, how: str) -> None:
    data, address = tmp_path / "data", new_address()
    mine = (address, "Zerlinda Quux", "Ouagadougou", "203.0.113.77")
    with in_process(data) as world:
        other = new_address()
        sign_up_by_code(world, other)
        lived(world, address)
        waits(world, address)
        id, neighbour = world.subject(address).id, world.subject(other).id
        assert {"subject", "identifier", "detection", "outbox"} <= everywhere(world, *mine).keys()
        assert "sign_in" in everywhere(world, id)
    if how == "erased":
        said = at(data, "user", "delete", address, "--erase", "--dry-run").ok().out
        assert said == f"Would erase {address} and everything of them, for good. Nothing was changed.\n"
        at(data, "user", "delete", address, "--erase", "--yes").ok()
        assert "There is no deleted person" in at(data, "user", "delete", address, "--erase", "--yes").no()
    else:
        at(data, "user", "delete", address, "--yes").ok()
    with in_process(data) as world:
        if how == "purged":
            assert "subject" in everywhere(world, *mine)
            world.advance((KEPT_AFTER_DELETION + timedelta(hours=1)).total_seconds())
            world.run(world.store.sweep())
        assert everywhere(world, *mine) == {}
        assert everywhere(world, id).keys() <= {"sign_in", "audit", "signal"}
        assert set(everywhere(world, neighbour)) >= {"subject", "identifier"}
        assert world.subject(other).id == neighbour
        names = {table.name for table in carrying.TABLES} | carrying.LEFT_BEHIND
        assert everywhere(world, "").keys() - {"sqlite_sequence"} == names
    at(data, "logs", "verify").ok()
    at(data, "logs", "sign-ins").ok()


def test_a_person_gets_everything_that_is_theirs_and_no_secret(tmp_path: Path, at: Run) -> None:
    data, address = tmp_path / "data", new_address()
    with in_process(data) as world:
        lived(world, address)
        password = world.run(world.store._read(lambda e: e("SELECT body FROM authenticator", ()).fetchall()))
        id = world.subject(address).id

    told = json.loads(at(data, "user", "export", address).ok().out)

    assert told["person"]["id"] == id
    assert told["person"]["attributes"]["city"] == "Ouagadougou"
    assert told["person"]["identifiers"][0]["value"] == address
    assert [method["kind"] for method in told["methods"]] == ["password"]
    assert len(told["codesOnPaper"][0]["recovery"]["codes"]) == 10
    assert told["foundRisky"][0]["address"] == "203.0.113.77"
    assert told["signIns"]
    assert told["log"]
    text = json.dumps(told)
    for secret in ("argon2", '"digest"', '"head"', '"material"', '"handle"'):
        assert secret not in text
    assert "argon2" in str(password)
    file = tmp_path / "ada.json"
    at(data, "user", "export", id, "--output", file).ok()
    assert json.loads(file.read_text()) == told
    assert file.stat().st_mode & 0o777 == 0o600
    assert "cannot be made" in at(data, "user", "export", id, "--output", file).no()
    at(data, "user", "delete", address, "--yes").ok()
    assert json.loads(at(data, "user", "export", address).ok().out)["person"]["status"] == "deleted"
    assert "There is no deleted person" in at(data, "user", "export", "nobody@example.com").no()
