"""Several real `genkan serve` processes on one real PostgreSQL, behind the proxy that the client plays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

import httpx2
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.canaries import Marks
from tests.delivery.sockets import free_port
from tests.postgres import Cluster, Pair, Pooler

TENANT, APP = "cccccccc-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-0000000000a1"

SEED = f"""
[tenant]
id = "{TENANT}"
name = "shop"

[[apps]]
id = "{APP}"
name = "Shop"
"""


class Mail:
    """A relay that takes everything."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []
        self._came = threading.Condition()
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.port: int = self._controller.port
        self._controller.start()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        letter: EmailMessage = message_from_bytes(envelope.content or b"", policy=POLICY)  # type: ignore[arg-type]
        plain = letter.get_body(("plain",))
        with self._came:
            self.letters.append((envelope.rcpt_tos[0], plain.get_content() if plain else ""))
            self._came.notify_all()
        return "250 Ok"

    def code(self, to: str, number: int = 1, timeout: float = 20) -> str:
        """The code in somebody's so-manieth letter, waited for."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._of(to)) >= number, timeout=timeout), self.letters[
                -9:
            ]
            found = re.search(r"^    (\d{8})\r?$", self._of(to)[number - 1], re.MULTILINE)
        assert found, self._of(to)
        return found[1]

    def _of(self, to: str) -> list[str]:
        return [text for address, text in self.letters if address == to]

    def close(self) -> None:
        self._controller.stop()


@dataclass
class Node:
    """One process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def post(self, path: str, **form: str) -> httpx2.Response:
        """Call an endpoint of the tenant as an app does."""
        return self.http.post(f"/shop{path}", data={"client_id": APP, **form})

    def token(self, answer: httpx2.Response) -> str:
        """The continuation token of a call that went well."""
        assert answer.status_code == 200, answer.text
        return str(answer.json()["continuation_token"])

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while b"serve.ready" not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to stop; wait until it has."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(timeout=30)


@dataclass
class Farm:
    """The nodes and what they share."""

    folder: Path
    cluster: Cluster | Pair | Pooler
    database: str
    mail: Mail
    nodes: list[Node] = field(default_factory=list)
    marks: Marks = field(default_factory=Marks)
    """The secrets that went over the wire to any node; none of them may be written anywhere (LOG-02)."""

    def sinks(self) -> dict[str, bytes]:
        """All that the nodes have written: their logs, and every row of the database."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        found = {path.name: path.read_bytes() for path in self.folder.glob("*.log")}
        with psycopg.connect(self.url) as connection:
            tables = connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
                " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in tables:
                query = SQL("SELECT t::text FROM {} t").format(Identifier(schema, table))
                rows = "\n".join(text for (text,) in connection.execute(query).fetchall())
                found[f"{schema}.{table}"] = rows.encode()
        return found

    @property
    def url(self) -> str:
        return self.cluster.url(self.database)

    def begin(self, program: Sequence[str] = ("-m", "genkan"), /, **settings: str | None) -> Node:
        """Start one more node; it may not be ready yet. `program` is what Python runs."""
        port = free_port()
        log = self.folder / f"node-{len(self.nodes)}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, *program, "serve"],
                stdout=sink,
                stderr=sink,
                env=self.environment(GENKAN_PORT=str(port), **settings),
            )
        node = Node(process, port, log)
        self.marks.listen(node.http)
        self.nodes.append(node)
        return node

    def environment(self, **settings: str | None) -> dict[str, str]:
        """That of a command or a node of this deployment; None: without this setting."""
        found: dict[str, str | None] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GENKAN_")},
            "GENKAN_DATA": str(self.folder / "data"),
            "GENKAN_DATABASE": self.url,
            "GENKAN_SEED": str(self.folder / "shop.toml"),
            "GENKAN_URL": "https://login.example.com",
            "GENKAN_TRUSTED_PROXIES": "127.0.0.1",
            "GENKAN_HASHING_WORKERS": "1",
            "GENKAN_EMAIL_RELAY_HOST": "127.0.0.1",
            "GENKAN_EMAIL_RELAY_PORT": str(self.mail.port),
            "GENKAN_EMAIL_RELAY_SECURITY": "none",
            "GENKAN_EMAIL_RELAY_SENDER": "no-reply@contoso.example",
            **settings,
        }
        return {name: value for name, value in found.items() if value is not None}

    def command(self, *arguments: str) -> str:
        """What a command of `genkan` prints, which must go well."""
        done = subprocess.run(
            [sys.executable, "-m", "genkan", *arguments],
            env={k: v for k, v in self.environment().items() if k in os.environ or k in COMMANDS},
            capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


COMMANDS = ("GENKAN_DATA", "GENKAN_DATABASE")


@contextmanager
def a_farm(
    folder: Path, cluster: Cluster | Pair | Pooler, count: int, **settings: str | None
) -> Iterator[Farm]:
    """Start nodes on a database of their own, all at once."""
    import psycopg

    database = f"farm_{uuid.uuid4().hex}"
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    (folder / "shop.toml").write_text(SEED)
    farm = Farm(folder, cluster, database, Mail())
    try:
        for _ in range(count):
            farm.begin(**settings)
        for node in farm.nodes:
            node.wait_until_ready()
        yield farm
    finally:
        for node in farm.nodes:
            node.stop()
        farm.mail.close()
    found = farm.marks.found_in(farm.sinks())
    assert not found, f"secrets were written: {found[:5]}"


def an_address() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"


def signed_up(farm: Farm, address: str, *nodes: Node, scope: str = "") -> Mapping[str, Any]:
    """Sign somebody up by a code, each call at the next of these nodes; return the tokens."""
    a, b, c, d = (nodes * 4)[:4]
    token = a.token(a.post("/signup/v1.0/start", username=address, challenge_type="oob redirect"))
    token = b.token(b.post("/signup/v1.0/challenge", continuation_token=token, challenge_type="oob redirect"))
    code = farm.mail.code(address)
    token = c.token(c.post("/signup/v1.0/continue", continuation_token=token, grant_type="oob", oob=code))
    answer = d.post(
        "/oauth2/v2.0/token",
        continuation_token=token,
        grant_type="continuation_token",
        scope=f"openid offline_access {scope}".strip(),
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def challenged(address: str, *nodes: Node) -> str:
    """Begin to sign in by a code; return the continuation token that awaits it."""
    a, b = (nodes * 2)[:2]
    token = a.token(a.post("/oauth2/v2.0/initiate", username=address, challenge_type="oob redirect"))
    return b.token(b.post("/oauth2/v2.0/challenge", continuation_token=token, challenge_type="oob redirect"))
