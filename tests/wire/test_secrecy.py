"""
What nobody may learn from logs and databases: secrets.

Source: rows 203 and 204; LOG-01, OTP-06.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from genkan.engine.flow import AwaitingProof, read_bookmark
from genkan.engine.transaction import Needs
from genkan.service import demo
from genkan.store.sealing import KeyPurpose, Keys, open_master_key
from tests.server import (
    Reply,
    first_factor_by_code,
    new_address,
    new_number,
    register_phone,
    running,
    sign_up_by_code,
)
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    begun,
    challenged,
    first_factor_by_password,
    password_asked,
    proven,
    redeemed,
    wrong,
)
from tests.wire.servers import StrictServer, World, in_process
from tests.wire.walks import Reset, SignUp

NEW_PASSWORD = "quiet otter by noon"
WRONG_PASSWORD = "loud badger at dawn"
SECRET_MEMBERS = ("continuation_token", "access_token", "refresh_token", "id_token")
SECRET_FIELDS = ("oob", "password", "new_password", "continuation_token", "refresh_token")


@dataclass
class Remembering(StrictServer):
    """A server whose client knows every secret that has gone over the wire."""

    secrets: set[str] = field(default_factory=set)

    def post_form(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None, root: str = "/dev"
    ) -> Reply:
        self.secrets |= {form[name] for name in SECRET_FIELDS if form.get(name)}
        answer = super().post_form(path, form, headers, root)
        self.secrets |= {answer.body[name] for name in SECRET_MEMBERS if answer.body.get(name)}
        return answer


@contextmanager
def remembering(data: Path, *arguments: str) -> Iterator[Remembering]:
    """A process for the length of a block."""
    with running(data, *arguments) as server:
        yield Remembering(**vars(server))


# Logs. ----------------------------------------------------------------------------------------------


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[Remembering]:
    """A process that logs all it can."""
    with remembering(tmp_path / "data", "--log-level", "debug") as server:
        yield server


def live_through_everything(server: StrictServer, folder: Path) -> tuple[str, ...]:
    """Every journey, with its mistakes, and a fault in the middle of one; the names of those who made them."""
    code_user, password_user, number = new_address(), new_address(), new_number()
    sign_up_by_code(server, code_user)
    asked = first_factor_by_code(server, code_user, server.scope)
    done = register_phone(server, asked.token, number)
    tokens = redeemed(server, server.otp_app, done.token).ok()
    form = {"client_id": server.otp_app, "grant_type": "refresh_token"}
    server.post_form(strict.TOKEN, {**form, "refresh_token": tokens["refresh_token"]}).ok()
    server.post_form(strict.TOKEN, {**form, "refresh_token": "gkr1." + "A" * 64})
    walk = SignUp(server, server.password_app)
    walk.start(password_user, password="s3Cret!")
    walk.start(password_user, password=PASSWORD).ok()
    code = walk.send()
    walk.prove(wrong(code))
    walk.prove(code)
    walk.supply(displayName="x" * 300)
    walk.supply(displayName="Ada").ok()
    walk.redeem().ok()
    first_factor_by_password(server, password_user, OPENID, WRONG_PASSWORD)
    reset = Reset(server, server.password_app)
    reset.proven(password_user)
    reset.submit(PASSWORD)
    reset.submit(NEW_PASSWORD).ok()
    reset.poll().ok()
    broken = password_asked(server, password_user)
    with closing(sqlite3.connect(folder / "data" / "dev.db")) as database, database:
        database.execute("UPDATE flow SET body = substr(body, 1, length(body) - 1)")
    fault = proven(server, server.password_app, broken.token, "password", NEW_PASSWORD)
    assert fault.status == 500
    server.http.post(f"{server.base}/dev{strict.TOKEN}?password={NEW_PASSWORD}", content=b"\xff" * 10)
    server.http.get(f"{server.base}/dev{strict.TOKEN}", params={"refresh_token": tokens["refresh_token"]})
    return code_user, password_user, number


@pytest.mark.proves("V1-203", "LOG-01", "LOG-03")
def test_no_secret_and_nobodys_address_is_ever_logged(talkative: Remembering, tmp_path: Path) -> None:
    people = live_through_everything(talkative, tmp_path)

    logged = talkative.log
    lines = [json.loads(line) for line in logged.splitlines()]
    assert any(line["event"] == "http.fault" and "Traceback" in line["fault"] for line in lines)
    assert len(talkative.secrets) > 40
    assert not [secret for secret in (*talkative.secrets, *people) if secret in logged]


@pytest.mark.proves("V1-203", "LOG-01")
def test_nor_does_one_stand_in_the_audit_trail(talkative: Remembering, tmp_path: Path) -> None:
    people = live_through_everything(talkative, tmp_path)

    with closing(sqlite3.connect(tmp_path / "data" / "dev.db")) as database:
        rows = database.execute("SELECT * FROM audit").fetchall()
    written = json.dumps(rows, default=repr)
    assert len(rows) > 20
    assert not [secret for secret in (*talkative.secrets, *people) if secret in written]


# The database. --------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A world of its own, into whose files the test looks."""
    with in_process(tmp_path / "data") as world:
        yield world


def stored(folder: Path) -> bytes:
    """Every byte of the tenant's database, the write-ahead log and whatever was deleted included."""
    return b"".join(path.read_bytes() for path in sorted((folder / "data").glob("dev.db*")))


@pytest.mark.proves("V1-204", "OTP-06")
def test_a_code_that_is_awaited_is_stored_as_a_keyed_digest_alone(fresh: World, tmp_path: Path) -> None:
    address = new_address()
    sign_up_by_code(fresh, address)
    waiting = challenged(fresh, fresh.otp_app, begun(fresh, fresh.otp_app, address).token)
    code = fresh.code(address, "sign_in")

    handle = read_bookmark(waiting.token, fresh._development._tenant.conduct._keys.handle)
    assert handle is not None
    flow = fresh.run(fresh.store.read(Needs(flow=handle[0]))).flow
    assert flow is not None
    assert isinstance(flow.stage, AwaitingProof)
    challenge = flow.stage.challenge

    key = Keys(open_master_key(tmp_path / "data" / "master.key")).of(KeyPurpose.CODES, demo.TENANT_ID)
    assert challenge.answer == hmac.digest(key, (challenge.id + code).encode(), "sha256")
    in_files = stored(tmp_path)
    assert b64encode(challenge.answer) in in_files
    assert code.encode() not in in_files
    assert key not in in_files
    for digest in ("md5", "sha1", "sha256", "sha512"):
        for text in (code, challenge.id + code):
            plain = hashlib.new(digest, text.encode()).digest()
            for written in (plain, plain.hex().encode(), b64encode(plain), urlsafe_b64encode(plain)):
                assert written not in in_files, "whoever has the file could try all codes"


@pytest.mark.proves("V1-204")
def test_no_secret_of_any_journey_stands_in_the_database(tmp_path: Path) -> None:
    with remembering(tmp_path / "data") as server:
        live_through_everything(server, tmp_path)
        in_files = stored(tmp_path)

    assert b"$argon2id$" in in_files
    assert not [secret for secret in server.secrets if secret.encode() in in_files]
