"""
Measure how long `genkan user import` takes for many people, and again when all of them are there already.

    python bench/import_users.py [PEOPLE]        100,000 unless said otherwise

Writes a CSV with a bcrypt hash for each, seeds a folder as development mode does, and runs the command as an operator
would: file, parsing, canonical names, audit rows with their chain, and a durable commit for each batch.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
GENKAN = Path(sys.executable).parent / "genkan"


def write(file: Path, people: int) -> None:
    """A table of so many people; the same each time."""
    draw = random.Random(1)
    with file.open("w", encoding="utf-8") as stream:
        stream.write(
            "id,email,email_verified,display_name,given_name,family_name,city,password_hash,created_at\n"
        )
        for number in range(people):
            # The last characters of salt and tag are such that no idle bit is set, as bcrypt writes them.
            salt, tag = (
                "".join(draw.choices(ALPHABET, k=21)) + "O",
                "".join(draw.choices(ALPHABET, k=30)) + "u",
            )
            stream.write(
                f"u{number:08},person{number}@example.com,true,Person {number},Person,Number {number},Zürich,"
                f"$2b$10${salt}{tag},2024-01-{number % 28 + 1:02}T12:00:00Z\n"
            )


def seed(folder: Path) -> None:
    """A folder as development mode makes it at its first start."""
    server = subprocess.Popen(
        [GENKAN, "dev", "--port", "0", "--json", "--data", folder], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    server.stdout.readline()
    server.terminate()
    server.wait()


def run(file: Path, folder: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds on the clock, seconds of a processor, and what was said."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [GENKAN, "user", "import", file, "--from", "csv", "--data", folder, "--json"],
        capture_output=True,
        check=True,
        text=True,
    )
    spent = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, worked, json.loads(done.stdout)


def main(people: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, data = Path(folder) / "users.csv", Path(folder) / "data"
        write(file, people)
        seed(data)
        for what, member in (("brought", "added"), ("known again", "known")):
            spent, worked, said = run(file, data)
            assert said[member] == people, said
            print(
                f"{people:,} {what}: {spent:.1f} s, {people / spent:,.0f} a second; {worked:.1f} s of a processor"
            )
        size = (data / "dev.db").stat().st_size
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"database {size / 1e6:.0f} MB, at most {memory / 1024:.0f} MB of memory")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
