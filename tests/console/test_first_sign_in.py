"""The first sign-in of the page Connect, pasted into bash against a real server."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.server import Server, running


def shown(server: Server) -> str:
    """The commands as they stand on the page."""
    page = server.http.get(f"{server.base}/dev/connect").text
    found = re.search(r'<code id="script">(.*?)</code>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def paste(commands: str) -> subprocess.CompletedProcess[str]:
    """What bash says to them."""
    return subprocess.run(["bash"], input=commands, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("arguments", [(), ("--tls",)], ids=["http", "https"])
def test_the_first_sign_in_works_as_it_is_pasted(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path / "data", *arguments) as server:
        said = paste(shown(server))

    assert (said.returncode, said.stderr) == (0, "")
    narrated = re.findall(r"^\d\. .*", said.stdout, re.MULTILINE)
    tokens, refusal = (
        json.loads(answer) for answer in re.findall(r"^\{.*?^\}", said.stdout, re.DOTALL | re.MULTILINE)
    )
    assert [line[0] for line in narrated] == ["1", "2", "3", "4", "5", "6"]
    assert {"id_token", "access_token", "refresh_token"} <= set(tokens)
    assert (refusal["error"], refusal["suberror"]) == ("invalid_grant", "registration_required")


def test_commands_that_meet_no_server_say_so_and_stop(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        commands = shown(server)

    said = paste(commands)

    assert said.returncode != 0
    assert said.stderr.startswith("curl:")
    assert said.stderr.endswith("Unexpected answer: none at all\n")
    assert "2. Ask for a code" not in said.stdout
