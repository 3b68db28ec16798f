"""The files of `deploy/` say what systemd understands, and name what there is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genkan.cli import main

UNIT = Path(__file__).parent.parent.parent / "deploy" / "genkan.service"
has_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")


def analyzed(tmp_path: Path, *command: str) -> str:
    """What systemd says of the unit, whose program is put where there is one."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/genkan/bin/genkan", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", *command, str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def lines(name: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]


def test_the_unit_runs_a_command_with_options_that_there_are() -> None:
    [started] = lines("ExecStart")
    program, noun, *arguments = shlex.split(started)
    known = {option for parameter in main.commands[noun].params for option in parameter.opts}

    assert Path(program).name == "genkan"
    assert {word for word in arguments if word.startswith("--")} <= known
    assert lines("User") == ["genkan"]


@has_systemd
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    said = analyzed(tmp_path, "verify")

    assert UNIT.name not in said, said


@has_systemd
def test_systemd_finds_little_that_the_unit_leaves_open(tmp_path: Path) -> None:
    analyzed(tmp_path, "security", "--offline=true", "--threshold=20", "--no-pager")
