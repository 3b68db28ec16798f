"""
How long a backup and a restore take: `python -m bench.backup 100000`.

Makes so many people, with what each has after some months (a password, a mailbox, three sign-ins, five audit rows), and
then runs the commands as an operator would, on SQLite and, where its address is given, on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from genkan.engine.messages import Effect, LogSignIn, PutAuthenticator, PutSubject, Record, SignIn
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.identifiers import email
from genkan.model import Authenticator, Kind, Purpose, Secret, Subject, Tenant
from genkan.store.places import places
from genkan.store.sealing import Keys, open_master_key

TENANT = "bbbbbbbb-0000-4000-8000-000000000001"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g"
AT_ONCE = 100


def a_guid(*of: object) -> str:
    return str(UUID(bytes=hashlib.blake2b(repr(of).encode(), digest_size=16).digest()))


def a_person(n: int, now: datetime) -> Iterator[Effect]:
    address = email(f"person.{n}@example.com")
    assert address is not None
    subject = Subject(
        id=a_guid(n),
        identifiers=(address,),
        attributes={"displayName": f"Person {n}", "givenName": "Person", "surname": str(n), "city": "Paris"},
        created_at=now - timedelta(days=90),
    )
    yield PutSubject(subject)
    for kind in (Kind.PASSWORD, Kind.EMAIL_OTP):
        yield PutAuthenticator(
            Authenticator(
                id=a_guid(n, kind),
                subject=subject.id,
                kind=kind,
                target=address if kind is Kind.EMAIL_OTP else None,
                material=Secret(HASH) if kind is Kind.PASSWORD else None,
                created_at=subject.created_at,
            )
        )
    for m in range(3):
        entry = SignIn(
            id=a_guid(n, "sign-in", m),
            at=now,
            correlation_id=a_guid(n, "flow", m),
            subject=subject.id,
            name=address.value,
            client=TENANT,
            client_name="Shop",
            resource=TENANT,
            purpose=Purpose.SIGN_IN,
            outcome="issued",
            interactive=True,
        )
        yield LogSignIn(entry, now + timedelta(days=30))
    for m in range(5):
        yield Record(
            action="signin:proof:right",
            subject=subject.id,
            correlation_id=a_guid(n, m),
            detail={"kind": "password"},
        )


async def make(folder: Path, people: int) -> None:
    """A deployment with so many people."""
    lie = places(folder, Keys(open_master_key(folder / "master.key")))
    now = datetime.now(UTC)
    store = lie.open(TENANT, lambda: datetime.now(UTC), "shop")
    await store.put_documents(Tenant(id=TENANT, name="shop"))

    for start in range(0, people, AT_ONCE):
        effects = tuple(e for n in range(start, min(start + AT_ONCE, people)) for e in a_person(n, now))

        def decide(_: Loaded, effects: tuple[Effect, ...] = effects) -> tuple[Change, None]:
            return Change(effects=effects), None

        await store.run(Needs(), decide)
    await store.close()
    lie.close()


def timed(*words: str | Path) -> tuple[float, list[dict[str, object]]]:
    """How many seconds a command takes, and what it says."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "genkan", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, [json.loads(line) for line in done.stdout.splitlines()]


def main(people: int, url: str = "") -> None:
    """Say for each kind of database how long it takes."""
    base = Path(tempfile.mkdtemp(prefix="genkan-bench-"))
    try:
        folder, phrase = base / "data", base / "phrase"
        folder.mkdir(mode=0o700)
        phrase.write_text("six random words are more than these\n")
        asyncio.run(make(folder, people))
        size = (folder / "shop.db").stat().st_size
        print(f"{people:,} people, a database of {size / 2**20:,.0f} MiB")
        secret = ("--passphrase-file", phrase)
        for kind, place in (("SQLite", ()), ("PostgreSQL", ("--database", url))):
            if kind == "PostgreSQL" and not url:
                continue
            if url and place:
                timed("restore", base / "SQLite.backup", "--data", folder, *place, *secret)
            file = base / f"{kind}.backup"
            backup, _ = timed("backup", file, "--data", folder, *place, *secret)
            verify, (made,) = timed("backup", file, "--verify", *secret)
            new = base / f"new-{kind}"
            new.mkdir(mode=0o700)
            shutil.copy(folder / "master.key", new)
            restore, (done,) = timed(
                "restore",
                file,
                "--data",
                folder if place else new,
                *place,
                *secret,
                *(["--replace", "--yes"] if place else []),
            )
            assert done["accounts"] == made["accounts"]
            print(
                f"{kind}: backup {backup:.0f} s, {file.stat().st_size / 2**20:,.0f} MiB; verify {verify:.0f} s; "
                f"restore {restore:.0f} s"
            )
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
