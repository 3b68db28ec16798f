"""Drills: a deployment is backed up while it runs, goes on, is lost, and is put back. On real databases."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from bench.backup import make
from genkan.bootstrap import StreamSecrets
from genkan.cli import main
from genkan.engine import reserve
from genkan.engine.emergency.case import LOCKED
from genkan.engine.messages import PutAuthenticator, PutReserve, RevokeGrants
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.factors import password as passwords
from genkan.model import Authenticator, Extension, Kind, Reserve, Stream
from genkan.service import demo
from genkan.store.sealing import KeyPurpose, Keys, open_master_key
from tests import postgres
from tests.cli.conftest import Command, Said
from tests.emergency.on_file import contains, decides
from tests.server import newest, sign_up_by_code
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, begun, challenged, first_factor_by_password, proven
from tests.wire.servers import World, in_process
from tests.wire.test_owner import CODES, READINESS, a_person, ask, kept, shown, token

pytestmark = pytest.mark.xdist_group("backups")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pair of keys that the page on backups tells to make."""
    folder = tmp_path_factory.mktemp("keys")
    for line in (
        "openssl genpkey -algorithm x25519 -out backup.key",
        "openssl pkey -in backup.key -pubout -out backup.pub",
    ):
        subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def at() -> Any:
    """`genkan …` at a folder."""

    def run(data: Path, *words: str | Path, typed: str = "") -> Said:
        result = CliRunner(env={"GENKAN_DATA": str(data)}).invoke(main, list(map(str, words)), input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


# Nothing comes back (BKP-02). ----------------------------------------------------------------------------------------


def refreshed(world: World, text: str) -> Any:
    form = {"client_id": world.otp_app, "grant_type": "refresh_token", "refresh_token": text, "scope": OPENID}
    return world.post_form(strict.TOKEN, form)


def waiting(world: World, address: str) -> tuple[str, str]:
    """A flow that waits for a code, and the code."""
    seen = {m["id"] for m in world.messages(address)}
    token = challenged(world, world.otp_app, begun(world, world.otp_app, address, "oob redirect").token).token
    return token, newest(world, address, "sign_in", seen)


def signed_in(world: World, address: str) -> Any:
    return proven(world, world.otp_app, *_apart(*waiting(world, address))).ok()


def _apart(token: str, code: str) -> tuple[str, str, str]:
    return token, "oob", code


@pytest.mark.proves("BKP-02", "BKP-01")
def test_nothing_that_was_spent_or_ended_since_comes_back(tmp_path: Path, keys: Path, at: Any) -> None:
    data, file = tmp_path / "data", tmp_path / "nightly.backup"
    with in_process(data) as world:
        in_a_case, by_password, contained = (a_person(world) for _ in range(3))
        world.person(coded := f"{uuid.uuid4().hex}@example.com")
        first = signed_in(world, coded)["refresh_token"]
        ended = signed_in(world, coded)["refresh_token"]
        flow = waiting(world, coded)
        unspent = waiting(world, coded)
        owner = token(world, by_password)
        paper = ask(world, "POST", CODES, owner, {}).ok()["codes"]
        assert all(shown(world, by_password, code) for code in paper)
        world.run(
            world.store.run(Needs(subject=world.subject(in_a_case).id, whole=True), decides(contains()))
        )
        assert (
            world.run(world.store.read(Needs(subject=world.subject(in_a_case).id))).emergency.state in LOCKED
        )

        at(data, "backup", file, "--recipient", keys / "backup.pub").ok()

        # What happens after it: everything is spent, revoked or ended.
        second = refreshed(world, first).ok()["refresh_token"]
        assert proven(world, world.otp_app, *_apart(*flow)).status == 200
        before = world.run(
            world.store.read(Needs(subject=world.subject(by_password).id, reserve=True))
        ).reserve
        assert before is not None
        used = [m.id for m in reserve.methods(before)][:1]
        world.write(PutReserve(reserve.spent(before, used, world.now)))
        world.run(
            world.store.run(Needs(subject=world.subject(contained).id, whole=True), decides(contains()))
        )
        world.write(RevokeGrants(subject=world.subject(coded).id, at=world.now))
        assert refreshed(world, ended).error[0] == "invalid_grant"
        late = signed_in(world, coded)["refresh_token"]

    at(data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes").ok()

    with in_process(data) as world:
        for text in (first, second, ended, late):
            assert refreshed(world, text).error[0] == "invalid_grant"
        for handle, code in (flow, unspent):
            assert proven(world, world.otp_app, handle, "oob", code).status == 400
        assert ask(world, "GET", READINESS, owner).status == 401
        assert not any(shown(world, by_password, code) for code in paper)
        assert "recovery_codes" in ask(world, "GET", READINESS, token(world, by_password)).ok()["missing"]
        frozen = world.run(world.store.read(Needs(subject=world.subject(in_a_case).id, whole=True)))
        assert frozen.emergency.state == "frozen"
        assert frozen.emergency.case is not None
        assert frozen.emergency.case.claims == ()
        # People sign in as ever.
        assert signed_in(world, coded)["access_token"]
    at(data, "logs", "verify").ok()


@pytest.mark.proves("BKP-02")
def test_what_a_journal_tells_is_done_again(tmp_path: Path, keys: Path, at: Any) -> None:
    data, file, journal = (tmp_path / name for name in ("data", "nightly.backup", "journal"))
    with in_process(data, journal=journal) as world:
        spender, lost, stopped, changed, calm = (a_person(world) for _ in range(5))
        papers = {
            who: ask(world, "POST", CODES, token(world, who), {}).ok()["codes"] for who in (spender, calm)
        }
        at(data, "backup", file, *_to(keys)).ok()
        before = kept(world, spender)
        world.run(
            world.store.run(
                Needs(subject=before.subject, reserve=True),
                lambda loaded: (Change(effects=(PutReserve(spent_first(loaded)),)), None),
            )
        )
        assert [shown(world, spender, code) for code in papers[spender]].count(False) == 1
        dead = next(code for code in papers[spender] if not shown(world, spender, code))
        world.run(world.store.run(Needs(subject=world.subject(lost).id, whole=True), decides(contains())))
        old = held_password(world, changed)
        material = passwords.hash_new("other words at dawn", b"s" * 16)
        world.run(
            world.store.run(
                Needs(subject=old.subject),
                lambda loaded: (
                    Change(
                        effects=(PutAuthenticator(replace(old, material=material, changed_at=loaded.now)),)
                    ),
                    None,
                ),
            )
        )
    at(data, "user", "update", stopped, "--disable", "--journal", journal).ok()

    said = at(
        data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes", "--replay", journal
    ).ok()

    assert "Codes on paper are as they were." in said.out
    with in_process(data, journal=journal) as world:
        for who, texts in papers.items():
            assert {code for code in texts if not shown(world, who, code)} == ({dead} & set(texts))
        account = world.run(world.store.read(Needs(subject=world.subject(lost).id, whole=True)))
        assert account.emergency.state == "frozen"
        assert account.subject is not None
        assert account.subject.id in said.out
        for who in (lost, stopped, changed):
            assert "access_token" not in first_factor_by_password(world, who, OPENID).body
        assert world.subject(stopped).status == "disabled"
        assert world.subject(changed).must_change_password
        assert first_factor_by_password(world, calm, OPENID).ok()["access_token"]
    missing = tmp_path / "missing"
    assert (
        "cannot be read"
        in at(
            data,
            "restore",
            file,
            "--identity",
            keys / "backup.key",
            "--replace",
            "--yes",
            "--replay",
            missing,
        ).no()
    )


def spent_first(loaded: Loaded) -> Reserve:
    assert loaded.reserve is not None
    return reserve.spent(loaded.reserve, [m.id for m in reserve.methods(loaded.reserve)][:1], loaded.now)


def held_password(world: World, address: str) -> Authenticator:
    held = world.run(world.store.read(Needs(subject=world.subject(address).id, whole=True))).held
    return next(a for a in held if a.kind is Kind.PASSWORD)


@pytest.mark.proves("BKP-02")
def test_two_restores_of_one_backup_are_two_different_days(tmp_path: Path, keys: Path, at: Any) -> None:
    data, file = tmp_path / "data", tmp_path / "nightly.backup"
    with in_process(data) as world:
        address = a_person(world)
    at(data, "backup", file, "--recipient", keys / "backup.pub").ok()
    at(data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes").ok()
    with in_process(data) as world:
        between = token(world, address)
        assert ask(world, "GET", READINESS, between).status == 200
        epoch = world.subject(address).epoch

    at(data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes").ok()

    with in_process(data) as world:
        assert world.subject(address).epoch != epoch
        assert ask(world, "GET", READINESS, between).status == 401


def test_codes_on_paper_are_good_where_nobody_used_the_tenant_since(
    tmp_path: Path, keys: Path, at: Any
) -> None:
    data, file = tmp_path / "data", tmp_path / "move.backup"
    with in_process(data) as world:
        address = a_person(world)
        paper = ask(world, "POST", CODES, token(world, address), {}).ok()["codes"]
    at(data, "backup", file, "--recipient", keys / "backup.pub").ok()

    at(data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes", "--stopped").ok()

    with in_process(data) as world:
        assert all(shown(world, address, code) for code in paper)


# The commands. -------------------------------------------------------------------------------------------------------


def backed_up(genkan: Command, keys: Path, file: Path, *words: str) -> list[Any]:
    return genkan("backup", file, "--recipient", keys / "backup.pub", "--json", *words).lines()


def accounts(genkan: Command, *words: str | Path) -> list[Any]:
    return sorted((one["id"], one["identities"]) for one in genkan("user", "list", "--json", *words).lines())


@pytest.fixture
def url() -> str:
    """A database of its own."""
    name = f"backup_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.cluster().url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.cluster().url(name)


@pytest.mark.proves("BKP-01")
def test_a_backup_is_restored_elsewhere_with_the_accounts_that_its_checksum_is_of(
    genkan: Command, folder: Path, keys: Path, tmp_path: Path, url: str
) -> None:
    for name in ("ada", "grace", "alan"):
        genkan("user", "create", f"{name}@example.com", "--name", name.title()).ok()
    genkan("tenant", "create", "shop", "--alias", "shop.example.com").ok()
    genkan("user", "create", "ada@example.com", "--tenant", "shop").ok()
    genkan("group", "create", "Staff", "--tenant", "shop").ok()
    genkan("group", "add-member", "Staff", "ada@example.com", "--tenant", "shop").ok()
    file = tmp_path / "nightly.backup"
    made = {one["tenant"]: one for one in backed_up(genkan, keys, file)}
    assert (made["dev"]["counts"]["subject"], made["shop"]["counts"]["subject"]) == (3, 1)
    assert b"example.com" not in file.read_bytes()
    identity = ("--identity", str(keys / "backup.key"))
    read = {one["tenant"]: one for one in genkan("backup", file, "--verify", *identity, "--json").lines()}
    assert read == made

    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    assert (
        "Put the key file of the deployment there" in genkan("restore", file, *identity, "--data", other).no()
    )
    shutil.copy(folder / "master.key", other)
    places: list[tuple[str | Path, ...]] = [("--data", other), ("--data", other, "--database", url)]
    for place in places:
        done = {one["tenant"]: one for one in genkan("restore", file, *identity, *place, "--json").lines()}
        assert {name: one["accounts"] for name, one in done.items()} == {
            name: one["accounts"] for name, one in made.items()
        }
        for tenant in ("dev", "shop"):
            assert accounts(genkan, *place, "--tenant", tenant) == accounts(genkan, "--tenant", tenant)
            genkan("logs", "verify", *place, "--tenant", tenant).ok()
            kids = [genkan("keys", "list", "--json", *p, "--tenant", tenant).lines() for p in ((), place)]
            assert kids[0] == kids[1]
        (staff,) = genkan("group", "show", "Staff", "--tenant", "shop", *place, "--json").lines()
        assert len(staff["members"]) == 1
        (noted,) = [
            one
            for one in genkan("logs", "audits", *place, "--tenant", "shop", "--json").lines()
            if one["action"] == "Restore backup"
        ]
        assert noted["detail"]["actor"]["kind"] == "operator"
        again = tmp_path / f"again-{len(place)}"
        back = {o["tenant"]: o["accounts"] for o in backed_up(genkan, keys, again, *map(str, place))}
        assert back == {name: one["accounts"] for name, one in made.items()}


@pytest.mark.proves("BKP-02")
def test_nothing_is_replaced_unasked(genkan: Command, folder: Path, keys: Path, tmp_path: Path) -> None:
    file, identity = tmp_path / "one.backup", ("--identity", str(keys / "backup.key"))
    backed_up(genkan, keys, file)
    genkan("user", "create", "late@example.com").ok()

    assert "say --replace" in genkan("restore", file, *identity).no()
    assert "Say so beforehand with --yes" in genkan("restore", file, *identity, "--replace").no()
    said = genkan("restore", file, *identity, "--replace", "--dry-run").ok().out
    assert said.startswith("Would restore dev of 20")
    assert "in the place of what is there" in said
    assert len(genkan("user", "list", "--json").lines()) == 1
    assert (
        "There is no tenant shop in the backup" in genkan("restore", file, *identity, "--tenant", "shop").no()
    )

    genkan("restore", file, *identity, "--replace", "--yes").ok()
    assert genkan("user", "list", "--json").lines() == []


def altered(folder: Path, raw: bytes) -> Iterator[bytes]:
    yield raw[:-1]
    yield raw[: len(raw) // 2]
    yield raw[:-1] + bytes([raw[-1] ^ 1])
    yield raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]
    yield raw + b"\0"


@pytest.mark.proves("BKP-01")
def test_an_altered_backup_changes_nothing_and_a_wrong_phrase_tells_nothing(
    genkan: Command, folder: Path, tmp_path: Path
) -> None:
    genkan("user", "create", "ada@example.com").ok()
    phrase, wrong, short = (tmp_path / name for name in ("phrase", "wrong", "short"))
    phrase.write_text("correct horse battery staple\nnot this line")
    wrong.write_text("correct horse battery stable\n")
    short.write_text("too short\n")
    file = tmp_path / "one.backup"
    assert "must have 16 at least" in genkan("backup", file, "--passphrase-file", short).no()
    assert "Nobody is there to be asked" in genkan("backup", file).no()
    assert not file.exists()
    genkan("backup", file, "--passphrase-file", phrase).ok()
    assert "There is a file" in genkan("backup", file, "--passphrase-file", phrase).no()
    genkan("user", "create", "grace@example.com").ok()
    with closing(sqlite3.connect(folder / "dev.db")) as connection:
        before = list(connection.iterdump())
    raw = file.read_bytes()
    told = genkan("restore", file, "--passphrase-file", wrong, "--replace", "--yes").no()

    for n, bad in enumerate(altered(folder, raw)):
        one = tmp_path / f"bad-{n}"
        one.write_bytes(bad)
        for words in (("backup", one, "--verify"), ("restore", one, "--replace", "--yes")):
            said = genkan(*words, "--passphrase-file", phrase).no()
            assert said == told.replace(str(file), str(one))

    with closing(sqlite3.connect(folder / "dev.db")) as connection:
        assert list(connection.iterdump()) == before
    genkan("backup", file, "--verify", "--passphrase-file", phrase).ok()


@pytest.mark.proves("BKP-05")
def test_a_backup_opens_under_its_own_master_key_alone(
    genkan: Command, folder: Path, keys: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "one.backup", tmp_path / "other"
    backed_up(genkan, keys, file)
    identity = ("--identity", str(keys / "backup.key"))
    genkan("tenant", "create", "desk", "--data", other).ok()

    assert "backed up under another master key" in genkan("restore", file, *identity, "--data", other).no()
    assert [one["name"] for one in genkan("tenant", "list", "--data", other, "--json").lines()] == ["desk"]


@pytest.mark.proves("BKP-05")
def test_with_the_master_key_only_what_was_sealed_under_it_is_lost(
    tmp_path: Path, keys: Path, at: Any
) -> None:
    data, new, file = (tmp_path / name for name in ("data", "new", "nightly.backup"))
    with in_process(data) as world:
        address = a_person(world)
        paper = ask(world, "POST", CODES, token(world, address), {}).ok()["codes"]
        before = first_factor_by_password(world, address, OPENID).ok()
        sealed = secrets_of(data).seal("s", "Bearer of good news")
        world.run(world.store.put_documents(replace(STREAM, authorization=sealed)))
    at(data, "backup", file, *_to(keys)).ok()
    identity = ("--identity", keys / "backup.key")
    lost = ("restore", file, *identity, "--master-key-lost")
    assert "so nothing has to be left behind" in at(data, *lost, "--replace", "--yes").no()
    assert "if it is lost for good, say --master-key-lost" in at(new, "restore", file, *identity).no()
    assert "Say so beforehand with --yes" in at(new, *lost).no()
    assert "without its signing keys and secrets" in at(new, *lost, "--dry-run").ok().out
    (made,) = at(data, "backup", file, "--verify", *identity, "--json").lines()

    (done,) = at(new, *lost, "--stopped", "--yes", "--json").lines()

    assert done["accounts"] == made["accounts"]
    said = at(new, "logs", "verify").ok().out
    assert "Whole: 1 rows are as they were written." in said
    assert "older rows are of before there was a chain" in said
    with in_process(new) as world:
        after = first_factor_by_password(world, address, OPENID).ok()
        assert claims(after["id_token"])["oid"] == claims(before["id_token"])["oid"]
        assert claims(after["id_token"])["sub"] != claims(before["id_token"])["sub"]
        assert not verified(world, before["id_token"])
        assert verified(world, after["id_token"])
        assert not any(shown(world, address, code) for code in paper)
        assert world.directory.streams["s"] == STREAM


def test_only_the_tenant_that_is_asked_for_is_taken(
    genkan: Command, folder: Path, keys: Path, tmp_path: Path
) -> None:
    for name in ("shop", "desk"):
        genkan("tenant", "create", name).ok()
        genkan("user", "create", "ada@example.com", "--tenant", name).ok()
    file, identity = tmp_path / "all.backup", ("--identity", str(keys / "backup.key"))
    assert [one["tenant"] for one in backed_up(genkan, keys, file, "--tenant", "shop")] == ["shop"]
    assert (
        "There is nothing to back up" in genkan("backup", tmp_path / "x", "--tenant", "none", *_to(keys)).no()
    )
    genkan("tenant", "delete", "shop", "--yes").ok()
    genkan("tenant", "create", "shop").ok()

    assert "Another tenant is called shop" in genkan("restore", file, *identity).no()

    genkan("tenant", "delete", "shop", "--yes").ok()
    genkan("restore", file, *identity, "--tenant", "shop").ok()
    assert len(genkan("user", "list", "--tenant", "shop", "--json").lines()) == 1
    assert len(genkan("user", "list", "--tenant", "desk", "--json").lines()) == 1


def _to(keys: Path) -> tuple[str, str]:
    return "--recipient", str(keys / "backup.pub")


def test_a_file_that_a_server_owns_is_not_replaced(tmp_path: Path, keys: Path, at: Any) -> None:
    data, file = tmp_path / "data", tmp_path / "one.backup"
    with in_process(data) as world:
        sign_up_by_code(world, f"{uuid.uuid4().hex}@example.com")
        at(data, "backup", file, *_to(keys)).ok()
        said = at(data, "restore", file, "--identity", keys / "backup.key", "--replace", "--yes").no()
        assert f"process {os.getpid()}. Stop it first" in said
        assert len(at(data, "user", "list", "--json").lines()) == 1


def test_what_is_said_is_for_people(genkan: Command, keys: Path, tmp_path: Path) -> None:
    genkan("user", "create", "ada@example.com").ok()

    said = genkan("backup", tmp_path / "one.backup", *_to(keys)).ok().out

    assert said.startswith(f"Wrote {tmp_path / 'one.backup'}, ")
    assert "Checksum of accounts" in said
    assert "subject" in said
    assert json.dumps(PASSWORD) not in said


# Moving a tenant. ----------------------------------------------------------------------------------------------------

STREAM = Stream(id="s", client="c", audience="a")
EXTENSION = Extension(id="e", hook="otp_send", name="", url="", resource="")


def claims(text: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return found


def verified(world: World, text: str) -> bool:
    """Whether a token is one by the keys that are published now."""
    keys = jwt.PyJWKSet.from_dict(world.http.get(f"{world.base}/dev/discovery/v2.0/keys").json())
    kid = jwt.get_unverified_header(text)["kid"]
    key = next((key for key in keys.keys if key.key_id == kid), None)
    return key is not None and bool(jwt.decode(text, key, ["RS256"], options={"verify_aud": False}))


def secrets_of(data: Path) -> StreamSecrets:
    keys = Keys(open_master_key(data / "master.key"))
    return StreamSecrets(keys.of(KeyPurpose.SIGNALS, demo.TENANT_ID), demo.TENANT_ID)


@pytest.mark.proves("KEY-01")
def test_a_tenant_moves_to_another_master_key_and_another_kind_of_database_and_back(
    tmp_path: Path, keys: Path, at: Any, url: str
) -> None:
    first, second, third, fourth = (tmp_path / name for name in ("first", "second", "third", "fourth"))
    identity = ("--identity", keys / "backup.key")
    with in_process(first) as world:
        address = a_person(world)
        paper = ask(world, "POST", CODES, token(world, address), {}).ok()["codes"]
        before = first_factor_by_password(world, address, OPENID).ok()
        sealed = secrets_of(first).seal("s", "Bearer of good news")
        world.run(world.store.put_documents(replace(STREAM, authorization=sealed)))
        signs = world._development._tenant._calls.secret(EXTENSION)
    (noted,) = at(first, "logs", "verify", "--json").lines()

    def is_the_same(world: World, data: Path) -> None:
        after = first_factor_by_password(world, address, OPENID).ok()
        for name in ("sub", "oid", "iss", "tid"):
            assert claims(after["id_token"])[name] == claims(before["id_token"])[name]
        assert verified(world, before["id_token"])
        assert all(shown(world, address, code) for code in paper)
        assert world._development._tenant._calls.secret(EXTENSION) == signs
        assert secrets_of(data).open(world.directory.streams["s"]) == "Bearer of good news"

    in_files: tuple[str, ...] = ()
    in_schemas = ("--database", url)
    for n, (old, old_place, new, new_place) in enumerate(
        ((first, in_files, second, in_schemas), (second, in_schemas, third, in_files))
    ):
        file = tmp_path / f"{n}.tenant"
        at(old, "tenant", "export", "dev", file, *_to(keys), *old_place).ok()
        assert "Type: genkan tenant import" in at(new, "restore", file, *identity, *new_place).no()
        at(new, "tenant", "import", file, *identity, "--stopped", *new_place).ok()
        assert (new / "master.key").read_bytes() != (old / "master.key").read_bytes()
        assert "is there already" in at(new, "tenant", "import", file, *identity, *new_place).no()
        at(new, "logs", "verify", "--head", noted["head"], *new_place).ok()
        with in_process(new, database=url if new_place else "") as world:
            is_the_same(world, new)

    # A backup of a tenant that has come from elsewhere has the keys that it came with, sealed.
    file = tmp_path / "nightly.backup"
    at(third, "backup", file, *_to(keys)).ok()
    assert "Type: genkan restore" in at(fourth, "tenant", "import", file, *identity).no()
    fourth.mkdir(mode=0o700)
    shutil.copy(third / "master.key", fourth)
    at(fourth, "restore", file, *identity, "--stopped").ok()
    at(fourth, "logs", "verify", "--head", noted["head"]).ok()
    with in_process(fourth) as world:
        is_the_same(world, fourth)


@pytest.mark.proves("BKP-03")
def test_a_hundred_thousand_people_would_be_backed_up_in_minutes_and_back_within_the_hour(
    tmp_path: Path, keys: Path, at: Any
) -> None:
    """On a fiftieth of them; `bench/backup.py` measures them all, and the page on backups has the figures."""
    share, data, new, file = 50, tmp_path / "data", tmp_path / "new", tmp_path / "file"
    for folder in (data, new):
        folder.mkdir(mode=0o700)
    asyncio.run(make(data, 100_000 // share))
    shutil.copy(data / "master.key", new)

    began = time.monotonic()
    at(data, "backup", file, *_to(keys)).ok()
    backed_up = time.monotonic()
    at(new, "restore", file, "--identity", keys / "backup.key").ok()
    restored = time.monotonic()

    assert backed_up - began < 5 * 60 / share * 2
    assert restored - backed_up < 60 * 60 / share
