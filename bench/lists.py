"""
Measure what a page of a long list costs: people, and the sign-in log, from the first page to the last.

    python -m bench.lists                     50,000 people and 200,000 sign-ins
    python -m bench.lists --people 1000 --sign-ins 5000

Fills a folder as development mode makes it: people by `genkan user import`, sign-ins by the store's batch. Then a
`genkan dev` process is asked over HTTP, one request after another on one connection, and every link to a next page is
followed. A time is from the request until the last byte of its answer is there; JSON is not read in it. Beside it
stands what the server's process worked for a page, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from genkan.engine.messages import LogSignIn, SignIn
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Attempt, Kind, Place, Purpose, Reason
from genkan.policy.model import Applied
from genkan.service import demo
from genkan.store.sealing import Keys, open_master_key
from genkan.store.sqlite import SqliteStore
from tests.server import Server, start

GENKAN = Path(sys.executable).parent / "genkan"
TARGET_MILLISECONDS = 50
"""For the slowest of a hundred pages."""
BATCH = 1000
OWNERS = 500
"""People to whom the sign-ins belong, so that one of them has some hundreds."""


def import_people(data: Path, folder: Path, people: int) -> None:
    """Bring so many people, each with an address, into a folder."""
    file = folder / "people.csv"
    with file.open("w", encoding="utf-8") as stream:
        stream.write("id,email,email_verified,display_name,given_name,family_name\n")
        for number in range(people):
            stream.write(
                f"u{number:08},person{number}@example.com,true,Person {number},Person,Number {number}\n"
            )
    subprocess.run(
        [GENKAN, "user", "import", file, "--from", "csv", "--data", data],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def entry(number: int, at: datetime) -> SignIn:
    """A sign-in by two factors under two policies, as most are."""
    app, name = ((demo.OTP_APP, "Codes"), (demo.PASSWORD_APP, "Passwords"))[number % 2]
    refused = number % 20 == 0
    kinds = ((Kind.EMAIL_OTP, "first"), (Kind.SMS_OTP, "second"))
    return SignIn(
        id=f"{number:08x}-0000-4000-8000-000000000001",
        at=at,
        correlation_id=f"{number:08x}-0000-4000-8000-000000000002",
        subject=f"{number % OWNERS:08x}-0000-4000-8000-000000000003",
        name=f"Person {number % OWNERS}",
        client=app,
        client_name=name,
        resource=demo.API,
        scopes=(demo.API_SCOPE,),
        purpose=Purpose.SIGN_IN,
        interactive=number % 3 != 0,
        outcome="refused" if refused else "issued",
        reason=Reason.WRONG_CODE if refused else None,
        steps=tuple(Attempt(kind=kind, part=part, at=at, succeeded=True) for kind, part in kinds),  # type: ignore[arg-type]
        requires_mfa=True,
        policies=tuple(
            Applied(
                policy=id,
                name="A policy",
                state="enabled",
                result="success",
                because="a factor was missing, and was given",
                grant_controls=("mfa",),
            )
            for id in (demo.POLICY, demo.ABROAD)
        ),
        address=f"198.51.100.{number % 250}",
        place=Place(country="DE"),
        client_app="mobileAppsAndDesktopClients",
        platform="iOS",
    )


async def log_sign_ins(data: Path, sign_ins: int) -> None:
    """Write so many sign-ins of the last four weeks into the log."""
    now = datetime.now(UTC)
    keys = Keys(open_master_key(data / "master.key"))
    store = SqliteStore.open(data / f"{demo.TENANT}.db", demo.TENANT_ID, keys, lambda: now)
    step = timedelta(days=28) / sign_ins
    for begin in range(0, sign_ins, BATCH):
        numbers = range(begin, min(begin + BATCH, sign_ins))
        effects = tuple(
            LogSignIn(entry(n, now - step * (sign_ins - n)), now + timedelta(days=30)) for n in numbers
        )

        def write(_: Loaded, effects: tuple[LogSignIn, ...] = effects) -> tuple[Change, None]:
            return Change(effects=effects), None

        await store.run(Needs(), write)
    await store.close()


def worked(server: Server) -> float:
    """Milliseconds of a processor that the server has used (proc(5), stat)."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


class Pages:
    """Follows a list from page to page."""

    def __init__(self, server: Server) -> None:
        admin, where = server.told["admin"], urlsplit(server.base)
        self._connection = http.client.HTTPConnection("127.0.0.1", where.port)
        form = {
            "grant_type": "client_credentials",
            "client_id": admin["client_id"],
            "client_secret": admin["client_secret"],
            "scope": "https://graph.microsoft.com/.default",
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/dev/oauth2/v2.0/token", urlencode(form), headers)
        self._headers = {
            "authorization": f"Bearer {json.load(self._connection.getresponse())['access_token']}"
        }

    def times(self, path: str) -> tuple[list[float], int]:
        """Milliseconds of each page of a list, and how many entries it had in all."""
        found, entries, following = [], 0, f"/v1.0{quote(path, safe='/?&$=')}"
        while following:
            began = time.perf_counter()
            self._connection.request("GET", following, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
            found.append((time.perf_counter() - began) * 1000)
            if answer.status == 429:
                time.sleep(int(answer.headers["retry-after"]))
                found.pop()
                continue
            assert answer.status == 200, body
            page = json.loads(body)
            entries += len(page["value"])
            link = urlsplit(page.get("@odata.nextLink", ""))
            following = f"{link.path}?{link.query}" if link.path else ""
        return found, entries


def percentile(times: list[float], share: float) -> float:
    """The time within which this share of them lies."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--sign-ins", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genkan-lists-") as name:
        folder = Path(name)
        data = folder / "data"
        start(data).stop()
        import_people(data, folder, given.people)
        asyncio.run(log_sign_ins(data, given.sign_ins))
        server = start(data)
        try:
            pages = Pages(server)
            owner = f"{7:08x}-0000-4000-8000-000000000003"
            print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
            print(
                f"{'list':58} {'pages':>6} {'first':>7} {'last':>7} {'p50':>7} {'p99':>7} {'worked':>7}  ms"
            )
            for path in (
                "/users?$top=100",
                "/users?$top=999",
                "/users?$top=100&$orderby=displayName desc",
                "/users?$top=100&$filter=startswith(displayName,'Person 4')",
                "/auditLogs/signIns",
                "/auditLogs/signIns?$top=100",
                "/auditLogs/signIns?$top=1000",
                f"/auditLogs/signIns?$top=100&$filter=userId eq '{owner}'",
                "/auditLogs/signIns?$top=100&$filter=status/errorCode ne 0",
            ):
                before = worked(server)
                times, entries = pages.times(path)
                work = (worked(server) - before) / len(times)
                middle, slow = statistics.median(times), percentile(times, 0.99)
                said = "" if slow < TARGET_MILLISECONDS else f"  over {TARGET_MILLISECONDS}"
                print(
                    f"{path:58} {len(times):6} {times[0]:7.1f} {times[-1]:7.1f} {middle:7.1f} {slow:7.1f} {work:7.1f}"
                    f"  {entries:,} entries{said}",
                    flush=True,
                )
            print(f"load after: {os.getloadavg()[0]:.1f}")
        finally:
            server.http.close()
            server.stop()


if __name__ == "__main__":
    main()
