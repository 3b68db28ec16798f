"""The commands and fixtures that the how-to pages and the README show, run as a reader would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.server import Server, first_factor_by_code, new_address, running, sign_up_by_code

ROOT = Path(__file__).resolve().parents[2]
CI_PAGE = ROOT / "docs/how-to/local-entra-in-ci.md"
BIN = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language on a page."""
    parts = re.split(r"^```(\w*)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    fences = list(zip(parts[1::2], parts[2::2], strict=True))
    return [code for (opening, code) in fences[::2] if opening == language]


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what a page shows in bash, with the command `genkan` on the path."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("how-to") / "data") as server:
        yield server


def test_the_pytest_examples_on_the_page_pass_as_they_stand(tmp_path: Path) -> None:
    fixtures, tests = blocks(CI_PAGE, "python")
    (tmp_path / "conftest.py").write_text(fixtures, encoding="utf-8")
    (tmp_path / "test_app.py").write_text(tests, encoding="utf-8")

    outcome = shell(f"cd '{tmp_path}' && python -m pytest -q -p no:cacheprovider .")

    assert "2 passed" in outcome.stdout, outcome.stdout + outcome.stderr


def test_the_curl_commands_on_the_page_do_what_they_are_shown_for(server: Server) -> None:
    address = new_address()
    started = server.post(
        "/signup/v1.0/start", client_id=server.otp_app, username=address, challenge_type="oob redirect"
    )
    server.post("/signup/v1.0/challenge", client_id=server.otp_app, continuation_token=started.token).ok()
    commands = [
        line.replace("http://localhost:8400", server.base).replace("ada@example.com", address)
        for block in blocks(CI_PAGE, "")
        for line in block.splitlines()
        if line.startswith("curl")
    ]
    before = server.http.get(f"{server.base}/dev/clock").json()["now"]

    answers = [shell(command) for command in commands]

    waited, followed, moved, advanced, reset = answers
    assert json.loads(waited.stdout)["messages"][0]["purpose"] == "sign_up"
    assert ": messages follow as they arrive" in followed.stdout
    assert json.loads(moved.stdout) == {"address": None, "country": "JP"}
    assert json.loads(advanced.stdout)["now"] > before
    assert json.loads(reset.stdout) == {"reset": True}
    assert server.messages(address) == []


@pytest.mark.browser
def test_the_playwright_example_on_the_page_passes_as_it_stands(tmp_path: Path) -> None:
    installed = tmp_path / "node_modules"
    installed.mkdir()
    (installed / "@playwright").symlink_to(ROOT / "node_modules/@playwright")
    (installed / "genkan-testing").symlink_to(ROOT / "javascript")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "app.spec.js").write_text(blocks(CI_PAGE, "js")[0], encoding="utf-8")
    (tmp_path / "playwright.config.js").write_text(
        f"export default {{ use: {{ launchOptions: {{ executablePath: {json.dumps(shutil.which('chromium'))} }} }} }};",
        encoding="utf-8",
    )

    outcome = shell(
        f"cd '{tmp_path}' && node '{ROOT}/node_modules/@playwright/test/cli.js' test --reporter=line"
    )

    assert "2 passed" in outcome.stdout, outcome.stdout + outcome.stderr


def test_the_steps_of_the_workflow_start_a_server_that_answers(tmp_path: Path) -> None:
    workflow = blocks(CI_PAGE, "yaml")[0]
    steps = re.search(r"- run: \|\n((?: {10}.*\n)+)", workflow)
    assert steps is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = steps[1].replace("8400", str(port))

    outcome = shell(
        commands + f"\ncurl -sf http://localhost:{port}/dev/v2.0/.well-known/openid-configuration; kill %1",
        RUNNER_TEMP=str(tmp_path),
    )

    assert json.loads(outcome.stdout)["issuer"].startswith(f"http://localhost:{port}/"), outcome.stderr
    assert json.loads((tmp_path / "genkan.json").read_text())["ready"] is True


def test_the_start_command_prints_exactly_one_line(tmp_path: Path) -> None:
    command = next(b.strip() for b in blocks(CI_PAGE, "") if b.startswith("genkan dev"))

    outcome = shell(
        f"({command} & echo $! > '{tmp_path}/pid'; wait) > '{tmp_path}/out' & "
        f"until test -s '{tmp_path}/out'; do sleep 0.1; done; sleep 1; kill $(cat '{tmp_path}/pid')"
    )

    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "out").read_text().count("\n") == 1


def test_the_requests_in_the_readme_are_the_ones_that_work(server: Server) -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r"\$G(/[a-z0-9./]+)", shown)
    address = new_address()

    done = sign_up_by_code(server, address)
    answer = server.post(
        "/oauth2/v2.0/token",
        client_id=server.otp_app,
        continuation_token=done.token,
        grant_type="continuation_token",
        scope="api://genkan-demo/Things.Read",
    )

    assert paths == [
        "/signup/v1.0/start",
        "/signup/v1.0/challenge",
        "/signup/v1.0/continue",
        "/oauth2/v2.0/token",
    ]
    assert answer.error[:2] == ("invalid_grant", "registration_required")
    assert httpx2.get(f"{server.base}/").status_code == 200


def test_the_questions_about_a_policy_are_answered_as_the_page_shows_them(
    server: Server, tmp_path: Path
) -> None:
    sign_up_by_code(server, address := new_address())
    signed_in = first_factor_by_code(server, address, "openid").ok()
    asked = [b for b in blocks(ROOT / "docs/how-to/try-a-policy.md", "") if "genkan" in b]

    said = [
        shell(
            f"cd '{tmp_path}'; "
            + command.replace("ada@example.com", address).replace(
                "CORRELATION_ID", signed_in.headers["client-request-id"]
            ),
            GENKAN_DATA=str(server.data),
        )
        for command in asked
    ]

    assert len(said) == 4
    assert [(done.returncode, done.stderr) for done in said] == [(0, "")] * 4
    assert "asked to register a second factor" in said[0].stdout
    assert "What would have been" in said[1].stdout
    assert "asked to register a second factor first" in said[2].stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deployment that no server runs on."""
    with running(tmp_path / "data") as server:
        return server.data


def test_the_commands_that_bring_users_bring_them_with_their_passwords(folder: Path, tmp_path: Path) -> None:
    tried, brought, emptied = blocks(ROOT / "docs/how-to/bring-your-users.md", "")

    said = [shell(f"cd '{tmp_path}'; {block}", GENKAN_DATA=str(folder)) for block in (tried, brought)]

    assert [(done.returncode, done.stderr) for done in said] == [(0, "")] * 2
    assert "2 would be added, 0 were here already, 1 would be refused" in said[0].stdout
    assert ": 2 added, 0 were here already, 1 refused" in said[1].stdout
    assert "Ada Lovelace" in said[1].stdout
    with running(folder) as server:
        app, password = server.password_app, "lively heron at dusk"
        begun = server.post(
            "/oauth2/v2.0/initiate",
            client_id=app,
            username="ada@example.com",
            challenge_type="password oob redirect",
            capabilities="mfa_required registration_required",
        ).ok()
        asked = server.post(
            "/oauth2/v2.0/challenge",
            client_id=app,
            continuation_token=begun.token,
            challenge_type="password oob redirect",
        ).ok()
        tokens = server.post(
            "/oauth2/v2.0/token",
            client_id=app,
            continuation_token=asked.token,
            grant_type="password",
            password=password,
            scope="openid offline_access",
        ).ok()
        assert tokens["access_token"]
    assert shell(emptied, GENKAN_DATA=str(folder)).stdout == "foreign_hashes = empty\n"


def test_the_commands_of_the_administration_page_do_what_it_says(folder: Path, tmp_path: Path) -> None:
    page = blocks(ROOT / "docs/how-to/administer-from-the-command-line.md", "")

    outcome = shell(f"cd '{tmp_path}'\n" + "\n".join(page), GENKAN_DATA=str(folder))

    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "Whole: " in outcome.stdout
    assert "Brought back bob@example.com." in outcome.stdout
    assert json.loads((tmp_path / "policy.json").read_text())["displayName"]
    assert (tmp_path / "trail.jsonl").read_text().count("\n") > 10


def test_the_program_of_the_sdk_page_prints_what_the_page_says(tmp_path: Path) -> None:
    page = ROOT / "docs/how-to/administer-with-the-graph-sdk.md"
    program = tmp_path / "administer.py"
    program.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    printed = next(block for block in blocks(page, "") if block.endswith("sign-ins\n"))

    with running(tmp_path / "data", "--tls") as server:
        outcome = shell(
            f"python '{program}'",
            SSL_CERT_FILE=server.told["ca_file"],
            REQUESTS_CA_BUNDLE=server.told["ca_file"],
            GENKAN_HOST=server.base,
            GENKAN_CLIENT_ID=server.told["admin"]["client_id"],
            GENKAN_CLIENT_SECRET=server.told["admin"]["client_secret"],
        )

    assert outcome.stdout == printed, outcome.stderr


def test_the_commands_of_the_sdk_page_make_a_client_that_may_read_people(folder: Path) -> None:
    page = blocks(ROOT / "docs/how-to/administer-with-the-graph-sdk.md", "")

    outcome = shell(page[0], GENKAN_DATA=str(folder))

    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "User.Read.All" in shell('genkan app show "Support desk"', GENKAN_DATA=str(folder)).stdout


@pytest.mark.proves("LOG-03")
def test_the_proxy_of_the_production_page_logs_no_query_and_no_body() -> None:
    (config,) = blocks(ROOT / "docs/how-to/run-in-production.md", "nginx")
    formats = re.findall(r"^log_format (\w+) '(.*)';$", config, re.MULTILINE)
    used = re.findall(r"^ *access_log \S+ (\w+);", config, re.MULTILINE)

    assert used == [name for name, _ in formats] != []
    variables = {name for _, written in formats for name in re.findall(r"\$(\w+)", written)}
    assert variables <= {"remote_addr", "time_iso8601", "request_method", "uri", "status", "request_time"}
    assert re.search(r"^ *error_log \S+ crit;", config, re.MULTILINE)
