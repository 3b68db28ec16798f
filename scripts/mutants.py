"""
Take a sample of mutants of each room, run the tests that know the room at each, and say which of them survived.

Called by `scripts/mutants.sh`, which makes the copy that is mutated. The sample is drawn by a seed, one mutant at most
for a place in the code, so a run can be repeated, and a longer one contains a shorter one of the same seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

HOME = Path("build/mutants").resolve()
CLEAN, TREE = HOME / "clean", HOME / "tree"
"""The code as it is, and a copy of it for each room: a run that is stopped leaves its last mutant behind."""
PYTEST = "-m pytest -q -x --no-header -p no:cacheprovider -p no:xdist -p no:randomly --hypothesis-seed=0"
FAST = '-m "not slow and not browser"'
SECONDS = 120
"""Of its processor that each run of tests may take at one mutant; one that takes more is found: it hangs."""

PATIENCE = 1800
"""Seconds after which a run that does not even work is given up; a machine that others share does not get there."""

ANNOTATION = "BitOr"
"""A bar in this code is nearly always a part of a type, which nobody runs."""


class Room(NamedTuple):
    """Where mutants are made, and the tests at each, the quick ones first."""

    path: str
    tests: tuple[str, ...]


ROOMS = {
    "policy": Room("src/genkan/policy", ("tests/policy", "tests/wire/test_conditional_access.py")),
    "tokens": Room(
        "src/genkan/tokens",
        ("tests/tokens", "tests/wire/test_tokens.py tests/wire/test_refresh.py tests/graph/test_tokens.py"),
    ),
    "factors": Room(
        "src/genkan/factors",
        ("tests/factors", "tests/wire/test_sign_in.py tests/wire/test_foreign_passwords.py"),
    ),
    "engine": Room(
        "src/genkan/engine",
        (
            "tests/engine tests/emergency",
            "tests/wire/test_sign_in.py tests/wire/test_second_factor.py tests/wire/test_telephony.py",
            "tests/wire/test_registration.py tests/wire/test_sign_up.py tests/wire/test_reset.py",
            "tests/wire/test_risk.py tests/wire/test_sign_in_log.py tests/wire/test_messages_to_owners.py",
            "tests/wire/test_emergency_gate.py tests/wire/test_owner.py tests/wire/test_emergency.py",
            "tests/wire/test_refresh.py tests/wire/test_impact.py",
            "tests/delivery/test_receipts.py tests/attacks/test_limits.py tests/attacks/test_pumping.py",
        ),
    ),
}


def main() -> int:
    asked = argparse.ArgumentParser(prog="make mutants")
    asked.add_argument("--rooms", default=",".join(ROOMS))
    asked.add_argument("--each", type=int, default=40, help="mutants of each room")
    asked.add_argument("--minutes", type=float, default=60, help="for all of them")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--quick", action="store_true", help="run the first two sets of tests of a room only")
    asked.add_argument("--only", default="", help="a file, in place of the whole room")
    given = asked.parse_args()
    names = given.rooms.split(",")
    ends = time.monotonic() + given.minutes * 60
    survivors = 0
    for position, name in enumerate(names):
        share = (ends - time.monotonic()) / (len(names) - position)
        survivors += examined(name, given, share)
    return survivors > 0


def examined(name: str, given: argparse.Namespace, seconds: float) -> int:
    """Run one room's sample for so long at most; how many survived."""
    session, config = HOME / f"{name}.sqlite", HOME / f"{name}.toml"
    session.unlink(missing_ok=True)
    room = ROOMS[name]
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(CLEAN, TREE)
    runs = f"ulimit -t {SECONDS} && " + " && ".join(
        f"{sys.executable} {PYTEST} {FAST} {tests}" for tests in room.tests[: 2 if given.quick else None]
    )
    config.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps([given.only or room.path])}\n"
        f"timeout = {PATIENCE}.0\nexcluded-modules = []\n"
        f"test-command = {json.dumps(f'sh -c {quoted(runs)}')}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(TREE / "src")}
    if subprocess.run(
        ["sh", "-c", runs], cwd=TREE, env=environment, check=False, stdout=subprocess.DEVNULL
    ).returncode:
        raise SystemExit(f"The tests of {name} fail without any mutant: make them pass first.")
    tool = [str(HOME / "venv/bin/cosmic-ray")]
    subprocess.run([*tool, "init", str(config), str(session)], cwd=TREE, env=environment, check=True)
    places, sampled = sample(session, given.each, given.seed)
    try:
        subprocess.run(
            [*tool, "exec", str(config), str(session)],
            cwd=TREE,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {seconds / 60:.0f} minutes")
    return told(name, session, places, sampled)


def quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def sample(session: Path, size: int, seed: int) -> tuple[int, int]:
    """Leave so many mutants in a session, no two of them at one place; how many places there are, and mutants now."""
    with closing(sqlite3.connect(session)) as database, database:
        rows = database.execute(
            "SELECT job_id, module_path, start_pos_row, start_pos_col FROM mutation_specs "
            "WHERE operator_name NOT LIKE ? ORDER BY module_path, start_pos_row, start_pos_col, operator_name, "
            "occurrence",
            (f"%{ANNOTATION}%",),
        ).fetchall()
        draw = random.Random(seed)
        draw.shuffle(rows)
        first: dict[tuple[Any, ...], str] = {}
        for job, *place in rows:
            first.setdefault(tuple(place), job)
        kept = list(first.values())[:size]
        marks = ",".join("?" * len(kept))
        for table in ("mutation_specs", "work_items"):
            database.execute(f"DELETE FROM {table} WHERE job_id NOT IN ({marks})", kept)
    return len(first), len(kept)


def told(name: str, session: Path, places: int, sampled: int) -> int:
    """Say what became of the mutants of a room."""
    with closing(sqlite3.connect(session)) as database:
        rows = database.execute(
            "SELECT s.module_path, s.start_pos_row, s.operator_name, r.test_outcome, r.worker_outcome, r.diff "
            "FROM work_results r JOIN mutation_specs s USING (job_id) ORDER BY 1, 2"
        ).fetchall()
    outcomes = Counter(str(row[3]).rpartition(".")[2].lower() for row in rows)
    survived = [row for row in rows if "surviv" in str(row[3]).lower()]
    killed = len(rows) - len(survived)
    share = f"{100 * killed / len(rows):.0f} %" if rows else "none"
    print(
        f"\n## {name}: {killed} of {len(rows)} found ({share}); {sampled} drawn of {places} places; {dict(outcomes)}\n"
    )
    for path, line, operator, *_, diff in survived:
        print(f"{path}:{line}  {operator.rpartition('/')[2]}")
        changed = [
            text for text in str(diff).splitlines() if text[:1] in "+-" and text[:3] not in ("+++", "---")
        ]
        print("    " + "\n    ".join(changed) + "\n")
    return len(survived)


if __name__ == "__main__":
    sys.exit(main())
