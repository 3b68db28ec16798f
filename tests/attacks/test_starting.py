"""
How the process starts, and what it leaves in its folder: one sentence where it cannot, and nothing for others to read.

Against real processes. An operator's mistake must not end in a traceback, nor in a server that half works.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.attacks.journeys import CHALLENGE, INITIATE, TOKEN, begin, first_factor, person, with_phone
from tests.attacks.target import Outside
from tests.server import new_address, running, start

# Refusals. ------------------------------------------------------------------------------------------


def refusal(*arguments: str, **environment: str) -> str:
    """The one line that a start ends with which must not succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "genkan", "dev", "--json", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONWARNINGS": "", **environment},
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(".") or "Type: " in line or "genkan dev" in line
    return line


def test_a_second_process_on_the_same_folder_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        line = refusal("--port", "0", "--data", str(first.data))

        person(Outside(first))

    assert f"in use by another Genkan, process {first.process.pid}." in line


def test_after_a_kill_the_folder_is_free_for_the_next_process(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        first.kill()

        with running(first.data) as second:
            person(Outside(second))


@pytest.mark.proves("KEY-02")
def test_a_master_key_that_others_may_use_is_refused_until_it_is_put_right(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data):
        pass
    key = data / "master.key"

    for mode in (0o644, 0o640, 0o604, 0o620):
        key.chmod(mode)
        line = refusal("--port", "0", "--data", str(data))
        assert str(key) in line
        assert "chmod 600" in line

    key.chmod(0o600)
    with running(data) as server:
        person(Outside(server))


@pytest.mark.proves("KEY-02")
@pytest.mark.parametrize(
    "content",
    [b"", b"short", bytes(32), b"a" * 32, bytes(range(33))],
    ids=["empty", "short", "0", "a", "long"],
)
def test_a_master_key_that_is_not_random_is_refused(tmp_path: Path, content: bytes) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "master.key").write_bytes(content)
    (data / "master.key").chmod(0o600)

    line = refusal("--port", "0", "--data", str(data))

    assert str(data / "master.key") in line


@pytest.mark.proves("KEY-02")
def test_a_folder_whose_master_key_was_exchanged_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data):
        pass
    (data / "master.key").unlink()

    line = refusal("--port", "0", "--data", str(data))

    assert "another master key" in line


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_is_a_file_or_below_one_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")

    for more in ((), ("--tls",)):
        line = refusal("--port", "0", "--data", str(tmp_path / place), *more)

        assert f"The folder {tmp_path / place} cannot be used" in line
    assert (tmp_path / "file").read_text() == "mine"


@contextmanager
def taken(family: int, address: str) -> Iterator[int]:
    """A port at which another program listens."""
    with closing(socket.socket(family, socket.SOCK_STREAM)) as other:
        other.bind((address, 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize(
    ("family", "address"),
    [
        pytest.param(socket.AF_INET, "127.0.0.1", id="IPv4"),
        pytest.param(
            socket.AF_INET6,
            "::1",
            id="IPv6",
            marks=pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6"),
        ),
    ],
)
def test_a_port_in_use_at_either_loopback_address_is_refused(
    tmp_path: Path, family: int, address: str
) -> None:
    with taken(family, address) as port:
        line = refusal("--port", str(port), "--data", str(tmp_path / "data"))

    assert f"Port {port} cannot be used" in line
    assert "--port 0" in line


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"GENKAN_LOG_LEVEL": "chatty"}, "GENKAN_LOG_LEVEL cannot be used: it may be debug, info"),
        ({"GENKAN_LOG_LEVEL": ""}, "GENKAN_LOG_LEVEL cannot be used"),
        ({"GENKAN_PORT": "99999"}, "GENKAN_PORT cannot be used: it may be a number from 0 to 65535"),
        ({"GENKAN_PORT": "-1"}, "GENKAN_PORT cannot be used"),
        ({"GENKAN_PORT": "many"}, "GENKAN_PORT cannot be used"),
        ({"GENKAN_TLS": "perhaps"}, "GENKAN_TLS cannot be used: it may be true or false"),
        ({"GENKAN_HASHING_WORKERS": "-1"}, "GENKAN_HASHING_WORKERS cannot be used"),
        ({"GENKAN_HASHING_WORKERS": "few"}, "GENKAN_HASHING_WORKERS cannot be used"),
        ({"GENKAN_HOST": ""}, "GENKAN_HOST cannot be used"),
        ({"GENKAN_HOST": "0.0.0.0"}, "loopback only"),
        ({"GENKAN_HOST": "::"}, "loopback only"),
        ({"GENKAN_DATA": ""}, "GENKAN_DATA cannot be used: it may be a folder"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(
    tmp_path: Path, environment: Mapping[str, str], says: str
) -> None:
    arguments = [
        text
        for name, words in (
            ("GENKAN_PORT", ("--port", "0")),
            ("GENKAN_DATA", ("--data", str(tmp_path / "d"))),
        )
        if name not in environment
        for text in words
    ]

    line = refusal(*arguments, **environment)

    assert says in line
    assert list(tmp_path.iterdir()) == [], "nothing is made for a start that cannot be"


# What it leaves behind. -----------------------------------------------------------------------------


@pytest.mark.proves("KEY-02")
@pytest.mark.parametrize("more", [(), ("--tls",)], ids=["http", "https"])
def test_every_file_in_the_folder_is_its_owners_alone_however_generous_the_umask(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    before = os.umask(0)
    try:
        server = start(tmp_path / "data", *more)
    finally:
        os.umask(before)
    try:
        person(Outside(server))
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in (server.data, *server.data.rglob("*"))}
    finally:
        server.http.close()
        server.stop()
        assert server.process.stdout is not None
        server.process.stdout.close()

    public = {"ca.pem", "server.pem"}
    assert {"master.key", "dev.db", "dev.db-wal", "dev.db.lock", "inbox.db"} <= {p.name for p in found}
    for path, mode in found.items():
        if path.name not in public:
            assert mode & 0o077 == 0, (path.name, oct(mode))


def test_a_code_that_was_being_handed_over_when_the_server_was_killed_arrives_at_once_after_it(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "data") as first:
        who = person(Outside(first))
        begun = begin(Outside(first), INITIATE, who.client, who.address).ok()
        with closing(sqlite3.connect(first.data / "inbox.db", isolation_level=None)) as inbox:
            inbox.execute("BEGIN IMMEDIATE")
            sent = first.post(CHALLENGE, None, client_id=who.client, continuation_token=begun.token).ok()
            _until_leased(first.data / "dev.db")
            first.kill()

        with running(first.data) as second:
            code = second.code(who.address, "sign_in")
            form = {"client_id": who.client, "continuation_token": sent.token, "grant_type": "oob"}

            assert second.post(TOKEN, None, **form, oob=code).ok()["access_token"]
            assert [m["purpose"] for m in second.messages(who.address)].count("sign_in") == 1


def _until_leased(path: Path) -> None:
    """Wait until the worker has taken what is to be sent."""
    deadline = time.monotonic() + 5
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        while not database.execute("SELECT COUNT(*) FROM outbox WHERE leased_until > 0").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.proves("LOG-01")
def test_the_audit_trail_and_the_log_name_nobody_by_address_or_number(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--log-level", "debug") as server:
        target = Outside(server)
        who = with_phone(target, person(target))
        stranger = new_address()
        begin(target, INITIATE, who.client, stranger)
        first_factor(target, who)
        with closing(sqlite3.connect(f"file:{server.data / 'dev.db'}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT * FROM audit").fetchall()

    assert len(rows) > 5
    assert who.number is not None
    for written in (json.dumps(rows, default=repr), server.log):
        for name in (who.address, stranger, who.number):
            assert name not in written
            assert name.lstrip("+").partition("@")[0] not in written


NASTY = 'x\r\n{"event":"forged"}\x1b[31m\x07\u2028\u0085\x00'


@pytest.mark.proves("LOG-06")
def test_nothing_that_is_sent_can_begin_a_line_of_the_log_or_colour_a_terminal(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--log-level", "debug") as server:
        target = Outside(server)
        who = person(target)
        begun = begin(target, INITIATE, who.client, who.address).ok()
        form = {"client_id": who.client, "continuation_token": begun.token, "grant_type": "oob", "oob": "1"}
        for name in (*form, "username", "challenge_type", "capabilities", "scope", "refresh_token", NASTY):
            for path in (INITIATE, CHALLENGE, TOKEN):
                target.post(path, None, **{**form, name: NASTY})
        for name in ("client-request-id", "x-client-SKU", "user-agent", "x-forwarded-for", "origin"):
            for nasty in (b"x\x1b[31m\x07", b'x\t\xc2\x9b31m {"event":"forged"}'):
                server.http.post(f"{server.base}/dev{INITIATE}", headers=[(name.encode(), nasty)], data=form)
        server.http.get(f"{server.base}/dev/%0d%0a%1b%5b31m", params={NASTY: NASTY})
        with closing(sqlite3.connect(server.data / "dev.db")) as database, database:
            database.execute("UPDATE flow SET body = 'x' || char(13, 10, 27, 7) || body")
        assert (
            target.post(CHALLENGE, None, client_id=who.client, continuation_token=begun.token).status == 500
        )

    logged = server.log
    assert logged.isprintable() or {c for c in logged if not c.isprintable()} == {"\n"}
    events = [json.loads(line) for line in logged.splitlines()]
    assert any(event["event"] == "http.fault" for event in events)
    assert all(isinstance(event, dict) and event["event"] != "forged" for event in events)
