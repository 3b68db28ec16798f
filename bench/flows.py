"""
Whole sign-in flows per second on one core, over real HTTP against a real `genkan dev`.

A closed loop: so many connections, each walking flow after flow. The server is pinned to one core, this client to
another. Codes are read from the development inbox's file, which costs the server nothing. Beside each figure stands
what a server reaches here that does only what cannot be left out (`bench/bound.py`), so that the share means
the same on any machine.

    make bench                          the table in docs/explanation/performance.md
    make bench ARGS="--seconds 5 --connections 8 --journey code"
    make bench ARGS="--database postgresql://genkan@/bench"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import Directory, PutAuthenticator, PutSubject
from genkan.engine.transaction import Change, Needs
from genkan.factors import password
from genkan.model import Authenticator, Identifier, Kind, Message, Subject
from genkan.service import demo
from genkan.store.places import places
from genkan.store.sealing import Keys, open_master_key
from genkan.store.tenant import Store

PASSWORD = "five calm lanterns by the river"
TARGETS = {"code": {"RS256": 730, "ES256": 1640}, "password": {"RS256": 33, "ES256": 33}}
"""Flows per second on one core that the design promises."""


@dataclass
class Person:
    """Somebody who can sign in: an address, and a number as second factor."""

    address: str
    number: str


@dataclass
class Measured:
    """What one run found."""

    flows: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    steps: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


# The database before the run. -----------------------------------------------------------------------


async def prepare(
    folder: Path, people: int, algorithm: Any, journey: str, database: str = ""
) -> list[Person]:
    """A database with so many people, and without the limits that would stop a load from one machine."""
    keys = Keys(open_master_key(folder / "master.key"))
    if database:
        _drop(database)
    lies = places(folder, keys, database, has_the_time=False)
    store = lies.open(demo.TENANT_ID, lambda: datetime.now(UTC), demo.TENANT)
    directory = demo.directory("not used by this benchmark")
    clients = {id: replace(c, signing_algorithm=algorithm) for id, c in directory.clients.items()}
    tenant = replace(
        directory.tenant,
        sms_per_calling_code=0,
        sms_per_calling_code_daily=0,
        sms_daily_budget=0,
        sms_per_prefix=0,
    )
    await store.replace_directory(
        Directory(
            tenant=tenant,
            clients=clients,
            resources=directory.resources,
            policies=directory.policies,
            methods=directory.methods,
        )
    )
    material = password.hash_new(PASSWORD, os.urandom(16))
    found = [Person(f"person{n}@example.com", f"+4479{n:08d}") for n in range(people)]
    await asyncio.gather(*(_create(store, person, journey, material, n) for n, person in enumerate(found)))
    await store.close()
    lies.close()
    return found


def _drop(database: str) -> None:
    """An earlier run has left the demo tenant under another master key."""
    import psycopg

    from genkan.store.postgres import schema_of

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema_of(demo.TENANT_ID)} CASCADE".encode())


async def _create(store: Store, person: Person, journey: str, material: Any, n: int) -> None:
    now = datetime.now(UTC)
    address = identifiers.email(person.address)
    number = Identifier(kind="phone", key=person.number, value=person.number)
    assert address is not None
    subject = Subject(
        id=f"bbbbbbbb-0000-4000-8000-{n:012x}",
        identifiers=(address,),
        attributes={"displayName": "Ada"},
        created_at=now,
    )
    first = Authenticator(
        id=f"cccccccc-0000-4000-8000-{n:012x}",
        subject=subject.id,
        kind=Kind.EMAIL_OTP if journey == "code" else Kind.PASSWORD,
        target=address if journey == "code" else None,
        material=None if journey == "code" else material,
        strong=False,
        created_at=now,
    )
    second = Authenticator(
        id=f"dddddddd-0000-4000-8000-{n:012x}",
        subject=subject.id,
        kind=Kind.SMS_OTP,
        target=number,
        created_at=now,
    )
    effects = (PutSubject(subject), PutAuthenticator(first), PutAuthenticator(second))
    await store.run(Needs(), lambda _: (Change(effects=effects), None))


# The server. ----------------------------------------------------------------------------------------


def start(
    folder: Path, core: int | None, database: str = ""
) -> tuple[subprocess.Popen[str], dict[str, Any], float]:
    """A Genkan: the process, the line it printed, and the seconds until it answered."""
    command = ("genkan", "dev", "--port", "0", "--json", "--data", str(folder), "--log-level", "error")
    return launch(command, core, database)


def launch(
    command: tuple[str, ...], core: int | None, database: str = ""
) -> tuple[subprocess.Popen[str], dict[str, Any], float]:
    """Start a server of Python's."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GENKAN_DATABASE": database},
    )
    assert process.stdout is not None
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    told = json.loads(process.stdout.readline())
    return process, told, time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mebibytes(pid: int) -> float:
    line = next(n for n in Path(f"/proc/{pid}/status").read_text().splitlines() if n.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


# The client. ----------------------------------------------------------------------------------------


class Connection:
    """One HTTP/1.1 connection that is kept open: as little as will do, so that the server is what is measured."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, form: dict[str, str], base: str = "/dev") -> dict[str, Any]:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        body = urlencode(form).encode()
        self._writer.write(
            (
                f"POST {base}{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                f"client-request-id: 3f2504e0-4f89-41d3-9a0c-0305e82c3301\r\ncontent-length: {len(body)}\r\n\r\n"
            ).encode()
            + body
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        return answer


class Codes:
    """The development inbox, read from its file."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(
            f"file:{folder / 'inbox.db'}?mode=ro", uri=True, check_same_thread=False
        )
        self._seen: dict[str, int] = {}
        self._decode = msgspec.msgpack.Decoder(Message).decode

    async def next(self, to: str, place: str) -> str:
        """The next code for an address or number, which nobody has taken yet."""
        for _ in range(20_000):
            row = self._database.execute(
                "SELECT seq, body FROM message WHERE place = ? AND seq > ? ORDER BY seq DESC LIMIT 1",
                (place, self._seen.get(place, 0)),
            ).fetchone()
            if row is not None:
                self._seen[place] = row[0]
                code = self._decode(row[1]).code
                assert code is not None
                return code.text
            await asyncio.sleep(0.001)
        raise TimeoutError(f"no code arrived for {to}")


async def walk(
    connection: Connection, codes: Codes, person: Person, journey: str, measured: Measured
) -> None:
    """One flow: a first factor, a second by SMS, tokens."""
    client = demo.OTP_APP if journey == "code" else demo.PASSWORD_APP

    async def step(name: str, path: str, **form: str) -> dict[str, Any]:
        began = time.perf_counter()
        answer = await connection.post(path, {"client_id": client, **form})
        measured.steps[name].append(time.perf_counter() - began)
        return answer

    begun = await step(
        "initiate",
        "/oauth2/v2.0/initiate",
        username=person.address,
        challenge_type="oob password redirect",
        capabilities="mfa_required registration_required",
    )
    asked = await step("challenge", "/oauth2/v2.0/challenge", continuation_token=begun["continuation_token"])
    proof = (
        {"grant_type": "oob", "oob": await codes.next(person.address, person.address)}
        if journey == "code"
        else {"grant_type": "password", "password": PASSWORD}
    )
    first = await step(
        f"token ({journey})",
        "/oauth2/v2.0/token",
        continuation_token=asked["continuation_token"],
        scope=demo.API_SCOPE,
        **proof,
    )
    listed = await step(
        "introspect", "/oauth2/v2.0/introspect", continuation_token=first["continuation_token"]
    )
    sent = await step(
        "challenge (SMS)",
        "/oauth2/v2.0/challenge",
        continuation_token=listed["continuation_token"],
        id=listed["methods"][0]["id"],
    )
    tokens = await step(
        "token (SMS code, two signatures)",
        "/oauth2/v2.0/token",
        continuation_token=sent["continuation_token"],
        grant_type="mfa_oob",
        oob=await codes.next(person.number, person.number.removeprefix("+")),
    )
    assert tokens.get("access_token"), tokens
    measured.flows += 1


async def walk_bound(connection: Connection, journey: str, measured: Measured) -> None:
    """As many requests, of the bare server."""

    async def step(name: str, **form: str) -> dict[str, Any]:
        began = time.perf_counter()
        answer = await connection.post(f"/{name}", form, "")
        measured.steps[name].append(time.perf_counter() - began)
        return answer

    begun = await step("begin")
    sent = await step("send", flow=begun["flow"])
    if journey == "code":
        await step("prove", **sent)
    else:
        await step("password", flow=begun["flow"])
    await step("look", flow=begun["flow"])
    tokens = await step("tokens", **await step("send", flow=begun["flow"]))
    assert tokens["access_token"]
    measured.flows += 1


Walk = Callable[[Connection, Measured], Awaitable[bool]]
"""Walks one flow; False when there is nobody left to walk it."""


async def load(told: dict[str, Any], pid: int, walks: Walk, connections: int, seconds: float) -> Measured:
    """Closed loop over so many connections, after a short warm-up."""
    port = int(told["base_url"].rpartition(":")[2])
    until, left = 0.0, True

    async def client(measured: Measured) -> None:
        nonlocal left
        connection = Connection("127.0.0.1", port)
        while time.perf_counter() < until and left:
            left = await walks(connection, measured)

    for measured, length in ((Measured(), min(2.0, seconds)), (Measured(), seconds)):
        until = time.perf_counter() + length
        began, cpu = time.perf_counter(), cpu_seconds(pid)
        await asyncio.gather(*(client(measured) for _ in range(connections)))
        measured.seconds, measured.cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
        if not left:
            raise SystemExit("everybody has signed in before the time was up: use more --people")
    return measured


# The report. ----------------------------------------------------------------------------------------


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def signature_milliseconds() -> dict[str, float]:
    """What one signature costs on this machine: the yardstick for every other figure."""
    from genkan.tokens.keys import SigningKey

    found = {}
    for algorithm in ("RS256", "ES256"):
        key = SigningKey.generate(algorithm, created_at=datetime.now(UTC), activates_at=datetime.now(UTC))
        times = []
        for _ in range(300):
            began = time.perf_counter()
            key.sign(b"x" * 700)
            times.append(time.perf_counter() - began)
        found[algorithm] = statistics.median(times) * 1000
    return found


def run(journey: str, algorithm: str, arguments: argparse.Namespace) -> Measured:
    """One journey with one algorithm, in a fresh folder."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wanted = arguments.people if journey == "code" else max(2000, arguments.people // 10)
        people = asyncio.run(prepare(folder, wanted, algorithm, journey, arguments.database))
        process, told, _ = start(folder, 0 if arguments.pin else None, arguments.database)
        codes = Codes(folder)

        async def walks(connection: Connection, measured: Measured) -> bool:
            if people:
                await walk(connection, codes, people.pop(), journey, measured)
            return bool(people)

        return _loaded(process, told, walks, arguments)


def run_bound(journey: str, algorithm: str, arguments: argparse.Namespace) -> Measured:
    """The same on the bare server."""

    async def walks(connection: Connection, measured: Measured) -> bool:
        await walk_bound(connection, journey, measured)
        return True

    with tempfile.TemporaryDirectory() as folder:
        command = ("bench.bound", "--folder", folder, "--algorithm", algorithm)
        process, told, _ = launch(command, 0 if arguments.pin else None)
        return _loaded(process, told, walks, arguments)


def _loaded(
    process: subprocess.Popen[str], told: dict[str, Any], walks: Walk, arguments: argparse.Namespace
) -> Measured:
    try:
        return asyncio.run(load(told, process.pid, walks, arguments.connections, arguments.seconds))
    finally:
        process.terminate()
        process.wait()


def cold_start() -> tuple[float, float, float]:
    """Seconds to the first answer of a folder that exists, of a fresh one, and resident MiB before any password."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        process, _, fresh = start(folder, None)
        process.terminate()
        process.wait()
        again, memory = [], 0.0
        for _ in range(5):
            process, told, seconds = start(folder, None)
            asyncio.run(_one_answer(told))
            again.append(seconds)
            memory = resident_mebibytes(process.pid)
            process.terminate()
            process.wait()
        return statistics.median(again), fresh, memory


async def _one_answer(told: dict[str, Any]) -> None:
    connection = Connection("127.0.0.1", int(told["base_url"].rpartition(":")[2]))
    await connection.post(
        "/oauth2/v2.0/initiate",
        {"client_id": demo.OTP_APP, "username": "nobody@example.com", "challenge_type": "oob redirect"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8, help="length of each measurement [8]")
    parser.add_argument("--connections", type=int, default=32, help="flows at once [32]")
    parser.add_argument("--people", type=int, default=20_000, help="accounts in the database [20000]")
    parser.add_argument("--journey", choices=["code", "password"], help="only this one")
    parser.add_argument("--algorithm", choices=["RS256", "ES256"], help="only this one")
    parser.add_argument(
        "--no-pin", dest="pin", action="store_false", help="do not pin the server to one core"
    )
    parser.add_argument(
        "--database", default="", help="address of a PostgreSQL whose demo tenant may be overwritten [SQLite]"
    )
    parser.add_argument("--steps", action="store_true", help="show p50 and p99 of every step")
    arguments = parser.parse_args()
    if arguments.pin and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})

    costs = signature_milliseconds()
    print(f"one signature here: RS256 {costs['RS256']:.2f} ms, ES256 {costs['ES256']:.2f} ms")
    seconds, fresh, memory = cold_start()
    print(
        f"cold start {seconds:.2f} s (first start of a folder, with key generation, {fresh:.2f} s); {memory:.0f} MiB"
    )
    print(
        f"{'journey':<10}{'alg':<7}{'flows/s':>9}{'bound':>8}{'share':>7}{'target':>8}"
        f"{'CPU ms/flow':>13}{'bound':>7}{'p50 ms':>8}{'p99 ms':>8}"
    )
    for journey in [arguments.journey] if arguments.journey else ["code", "password"]:
        for algorithm in [arguments.algorithm] if arguments.algorithm else ["RS256", "ES256"]:
            measured, least = run(journey, algorithm, arguments), run_bound(journey, algorithm, arguments)
            every = [s for times in measured.steps.values() for s in times]
            reached, bound = measured.flows / measured.seconds, least.flows / least.seconds
            print(
                f"{journey:<10}{algorithm:<7}{reached:>9.0f}{bound:>8.0f}{reached / bound:>7.0%}"
                f"{TARGETS[journey][algorithm]:>8}"
                f"{measured.cpu / max(1, measured.flows) * 1000:>13.2f}{least.cpu / max(1, least.flows) * 1000:>7.2f}"
                f"{percentile(every, 0.5) * 1000:>8.1f}{percentile(every, 0.99) * 1000:>8.1f}"
            )
            if arguments.steps:
                for name, times in measured.steps.items():
                    print(
                        f"    {name:<34}{percentile(times, 0.5) * 1000:>8.1f}{percentile(times, 0.99) * 1000:>8.1f}"
                    )


if __name__ == "__main__":
    main()
