"""The decision table: each case in `cases/` is what is given, what is done as days go by, and how it stands then."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.emergency.world import Play, a_span

FILES = sorted(Path(__file__).with_name("cases").glob("*.toml"))


def cases() -> list[Any]:
    return [
        pytest.param(case, id=" ".join((*case.get("proves", ()), case["name"])))
        for file in FILES
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
    ]


@pytest.mark.parametrize("case", cases())
def test_case(case: dict[str, Any]) -> None:
    play = Play(case.get("given"))
    for step in case["do"]:
        play.do(step)

    seen = {name: play.seen(name) for name in case["expect"]}

    expected = {
        name: a_span(value) if isinstance(seen[name], timedelta) else value
        for name, value in case["expect"].items()
    }
    assert seen == expected
