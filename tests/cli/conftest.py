"""A deployment in a folder, as development mode leaves it, and the command line at it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import Struct

from genkan.bootstrap import Development
from genkan.cli import main
from genkan.settings import Settings


class Said(Struct, frozen=True):
    """What a command came to."""

    code: int
    out: str
    err: str

    def ok(self) -> Said:
        assert self.code == 0, self
        assert self.err == "", self
        return self

    def no(self) -> str:
        """The one sentence of a refusal."""
        assert self.code == 1, self
        assert self.err.startswith("Error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("Error: ").strip()

    def lines(self) -> list[Any]:
        """What was printed for programs."""
        self.ok()
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Said]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `genkan dev` makes it at its first start."""
    folder = tmp_path_factory.mktemp("seeded") / "data"

    async def start_and_stop() -> None:
        development = Development(Settings(data=folder), "http://localhost:8400")
        await development._start()
        await development._stop()

    asyncio.run(start_and_stop())
    return folder


@pytest.fixture
def folder(seeded: Path, tmp_path: Path) -> Path:
    shutil.copytree(seeded, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def genkan(folder: Path) -> Command:
    """`genkan …` at this folder, in this process: nobody is at its keyboard, and its output goes into a file."""

    def run(*words: str | Path, typed: str = "") -> Said:
        result = CliRunner(env={"GENKAN_DATA": str(folder)}).invoke(
            main, [str(w) for w in words], input=typed
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run
