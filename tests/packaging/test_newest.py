"""The job that says, every night, whether the newest SDK still drives the administration API."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
JOB = ROOT / ".github" / "workflows" / "newest.yml"


def rows_named_below(folder: Path) -> set[str]:
    """The rows of the administration API that tests of a folder prove."""
    found: set[str] = set()
    for file in folder.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.proves":
                found |= {
                    a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
                }
    return {row for row in found if row.startswith("GR-")}


@pytest.mark.proves("GR-124")
def test_every_night_all_rows_of_the_api_are_tested_against_the_newest_sdk() -> None:
    job = yaml.safe_load(JOB.read_text(encoding="utf-8"))
    script = (ROOT / "scripts" / "newest-sdk.sh").read_text(encoding="utf-8")
    run = [step["run"] for step in job["jobs"]["msgraph-sdk"]["steps"]]

    assert job[True]["schedule"]  # YAML reads the word `on` as a truth.
    assert "make newest" in run
    assert re.search(r"^newest:.*\n\t@scripts/newest-sdk\.sh ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.search(r"^pip install --upgrade .*\bmsgraph-sdk\b", script, re.MULTILINE)
    assert re.search(r"^exec .* -m pytest .* tests/graph ", script, re.MULTILINE)
    assert rows_named_below(ROOT / "tests" / "graph") >= {f"GR-{n:03}" for n in range(1, 124)}


@pytest.mark.proves("SUP-04")
def test_no_workflow_runs_what_others_can_change_or_has_more_rights_than_it_needs() -> None:
    for file in JOB.parent.glob("*.yml"):
        flow = yaml.safe_load(file.read_text(encoding="utf-8"))
        uses = [step["uses"] for job in flow["jobs"].values() for step in job["steps"] if "uses" in step]

        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in uses)
        assert flow["permissions"] == {"contents": "read"}
        assert "pull_request_target" not in flow[True]
        assert "secrets." not in file.read_text(encoding="utf-8")
