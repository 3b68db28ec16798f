"""Several workers on one address: they are replaced and die without anybody losing what they were told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from tests import postgres
from tests.delivery.sockets import free_port
from tests.nodes.farm import Farm, Node, a_farm
from tests.nodes.load import check, doubled, loaded

pytestmark = pytest.mark.xdist_group("nodes")

WORKERS = 3
IMPATIENT = "from genkan import cli, supervision as s; s.BEAT, s.SILENCE = 0.5, 4; cli.main()"
"""`genkan serve`, whose parent waits for no child for long."""


@contextmanager
def served(folder: Path, **settings: str | None) -> Iterator[tuple[Farm, Node]]:
    """A deployment of one node with several workers; settings are in its file `genkan.toml` too."""
    (folder / "genkan.toml").write_text('url = "https://login.example.com"\n')
    told = {"GENKAN_CONFIG": str(folder / "genkan.toml"), "GENKAN_URL": None, **settings}
    with a_farm(folder, postgres.cluster(), 0) as farm:
        yield farm, begun(farm, **told)


def begun(farm: Farm, program: tuple[str, ...] = ("-m", "genkan"), /, **settings: str | None) -> Node:
    node = farm.begin(program, GENKAN_WORKERS=str(WORKERS), **settings)
    node.wait_until_ready()
    wait(lambda: len(workers(node)) == WORKERS and count(node, "workers.serves") >= WORKERS)
    return node


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Node]]:
    with served(tmp_path_factory.mktemp("workers")) as found:
        yield found


def workers(node: Node) -> set[int]:
    """The children of a node that run."""
    pid = node.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if _runs(int(child))}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def count(node: Node, event: str) -> int:
    return node.log.read_text().count(f'"{event}"')


def wait(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rolled(node: Node) -> None:
    """Have every worker replaced, and wait until the old ones are gone."""
    before = count(node, "workers.rolled")
    old = workers(node)
    node.process.send_signal(signal.SIGHUP)
    wait(lambda: count(node, "workers.rolled") > before)
    wait(lambda: not workers(node) & old and len(workers(node)) == WORKERS)


def base(node: Node) -> str:
    return f"http://127.0.0.1:{node.port}"


def answers(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(2)
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_all_workers_are_replaced_under_load_and_no_request_fails_and_no_flow_is_lost(
    deployment: tuple[Farm, Node],
) -> None:
    farm, node = deployment
    before = workers(node)

    with loaded([base(node)], farm.mail) as journal:
        time.sleep(1)
        rolled(node)
        time.sleep(1)

    assert not workers(node) & before
    assert journal.failures == []
    assert journal.late == 0
    assert journal.flows >= 20
    assert doubled(farm.mail) == []
    check(journal, base(node), farm.mail)


def test_a_worker_that_is_killed_under_load_is_replaced_and_nothing_acknowledged_is_lost(
    deployment: tuple[Farm, Node],
) -> None:
    farm, node = deployment
    before = workers(node)
    doomed = min(before)
    died = count(node, "workers.died")

    with loaded([base(node)], farm.mail, walkers=8) as journal:
        time.sleep(1)
        os.kill(doomed, signal.SIGKILL)
        wait(lambda: len(workers(node)) == WORKERS and doomed not in workers(node))
        time.sleep(1)

    assert count(node, "workers.died") == died + 1
    assert workers(node) > before - {doomed}
    assert len(journal.failures) <= 8, "what was asked of the one that died, and nothing else"
    assert journal.flows >= 10
    check(journal, base(node), farm.mail, patience=75, in_doubt=8)


def test_new_settings_are_taken_up_without_a_restart(deployment: tuple[Farm, Node]) -> None:
    farm, node = deployment
    file = farm.folder / "genkan.toml"
    document = f"{base(node)}/shop/v2.0/.well-known/openid-configuration"
    assert httpx2.get(document).json()["issuer"].startswith("https://login.example.com/")

    file.write_text('url = "https://sign-in.example.com"\nport = 4711\n')
    try:
        rolled(node)
        assert httpx2.get(document).json()["issuer"].startswith("https://sign-in.example.com/")
        assert not answers(4711)
    finally:
        file.write_text('url = "https://login.example.com"\n')
        rolled(node)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("url = 7\nurl = 8\n", "workers.bad_settings"),
        ('url = "ftp://login.example.com"\n', "workers.bad_settings"),
        ('url = "https://login.example.com"\ncertificate = "/no/such"\nprivate_key = "/no/such"\n',
         "workers.successor_failed"),
    ],
)  # fmt: skip
def test_settings_that_nobody_could_start_with_leave_those_who_serve_alone(
    deployment: tuple[Farm, Node], text: str, event: str
) -> None:
    farm, node = deployment
    file = farm.folder / "genkan.toml"
    before, events = workers(node), count(node, event)

    file.write_text(text)
    try:
        node.process.send_signal(signal.SIGHUP)
        wait(lambda: count(node, event) == events + 1)
        wait(lambda: workers(node) == before)
        assert httpx2.get(f"{base(node)}/readyz").status_code == 200
    finally:
        file.write_text('url = "https://login.example.com"\n')
    rolled(node)


def test_somebody_who_was_connected_before_is_still_answered_and_told_to_connect_anew(
    deployment: tuple[Farm, Node],
) -> None:
    _, node = deployment
    rest = b" HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(b"GET /healthz" + rest)
        assert b"connection: close" not in connection.recv(4096)
        closing = None
        before = count(node, "workers.rolled")
        node.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while closing is None and time.monotonic() < deadline:
            connection.sendall(b"GET /healthz" + rest)
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            closing = answer if b"connection: close" in answer else None
            time.sleep(0.05)
        assert closing is not None
        assert connection.recv(1) == b""
    wait(lambda: count(node, "workers.rolled") > before)


def test_each_worker_counts_for_itself_at_a_port_of_its_own(tmp_path: Path) -> None:
    first = free_port()
    with served(tmp_path, GENKAN_METRICS=f"127.0.0.1:{first}") as (farm, node):
        with loaded([base(node)], farm.mail, walkers=4) as journal:
            time.sleep(2)
        texts = [httpx2.get(f"http://127.0.0.1:{first + n}/metrics").text for n in range(WORKERS)]
        found = [
            re.findall(r'^genkan_http_requests_total\{.*status="200"\} (\S+)$', t, re.MULTILINE)
            for t in texts
        ]
        counted = [sum(map(float, values)) for values in found]
        rolled(node)
        after = [httpx2.get(f"http://127.0.0.1:{first + n}/metrics").text for n in range(WORKERS)]

        assert sum(counted) == len(journal.answers)
        assert all("genkan_http_requests_total{" not in text for text in after), "they begin anew"
        assert not answers(first + WORKERS)


def test_when_the_parent_is_killed_its_workers_stop_and_the_port_is_closed(tmp_path: Path) -> None:
    with served(tmp_path) as (_, node):
        children = workers(node)

        node.kill()

        wait(lambda: not any(map(_runs, children)), seconds=20)
        assert not answers(node.port)
        assert count(node, "workers.orphaned") == WORKERS


def test_a_stop_answers_what_was_asked_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with served(tmp_path) as (farm, node):
        children = workers(node)
        with loaded([base(node)], farm.mail, walkers=4) as journal:
            time.sleep(1)
            node.process.terminate()
            assert node.process.wait(30) == 0

        assert not any(map(_runs, children))
        assert not answers(node.port)
        assert count(node, "workers.died") == count(node, "workers.hangs") == 0
        assert {failure.what for failure in journal.failures} <= {"ConnectError"}


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with a_farm(tmp_path, postgres.cluster(), 0) as farm:
        node = begun(farm, ("-c", IMPATIENT))
        hung = min(workers(node))

        os.kill(hung, signal.SIGSTOP)

        wait(lambda: hung not in workers(node) and len(workers(node)) == WORKERS, seconds=30)
        assert count(node, "workers.hangs") == 1


def test_a_worker_that_dies_again_and_again_is_begun_less_and_less_often(tmp_path: Path) -> None:
    with served(tmp_path) as (farm, node):
        (farm.folder / "genkan.toml").write_text("nothing = 1\n")
        os.kill(min(workers(node)), signal.SIGKILL)
        wait(lambda: count(node, "workers.died") == 4)
        lines = [line for line in node.log.read_bytes().splitlines() if b'"workers.died"' in line]
        times = [datetime.fromisoformat(json.loads(line)["at"]) for line in lines]
        pauses = [(after - before).total_seconds() for before, after in pairwise(times)]
        assert all(pause > least for pause, least in zip(pauses, (0.5, 1, 2), strict=True)), pauses
        assert httpx2.get(f"{base(node)}/readyz").status_code == 200

        (farm.folder / "genkan.toml").write_text('url = "https://login.example.com"\n')
        wait(lambda: len(workers(node)) == WORKERS and httpx2.get(f"{base(node)}/healthz").status_code == 200)


def refused(farm: Farm, *options: str, **settings: str) -> str:
    """What a server says that does not start, in its one sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "genkan", "serve", *options],
        env=farm.environment(GENKAN_PORT="0", **settings),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    return sentence


def test_what_cannot_have_several_workers_says_why_and_what_to_do(deployment: tuple[Farm, Node]) -> None:
    farm, _ = deployment
    said = refused(farm, "--workers", "2", GENKAN_DATABASE="")
    assert said == (
        "Error: 2 workers cannot serve tenants that are files: one process owns a SQLite file. Give GENKAN_DATABASE "
        "the address of a PostgreSQL, or leave out --workers."
    )
    assert "GENKAN_WORKERS cannot be used: it may be a number from 1 to 64" in refused(
        farm, GENKAN_WORKERS="0"
    )


def test_the_first_worker_says_once_why_none_can_start(deployment: tuple[Farm, Node]) -> None:
    farm, _ = deployment
    url = farm.url.replace(farm.database, "there_is_none")
    assert "there_is_none" in refused(farm, "--workers", "3", GENKAN_DATABASE=url)
