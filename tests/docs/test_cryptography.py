"""The page on cryptography names everything that computes with keys and digests (KEY-06)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genkan.store.sealing import KeyPurpose

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations/cryptography.md").read_text(encoding="utf-8")
PRIMITIVE = re.compile(
    r"^\s*(?:from|import) (?:cryptography|hashlib|hmac|secrets|ssl|argon2|bcrypt|jwt)\b", re.MULTILINE
)


@pytest.mark.proves("KEY-06")
def test_every_file_that_uses_a_primitive_stands_on_the_page_and_no_other() -> None:
    source = ROOT / "src/genkan"
    using = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if PRIMITIVE.search(file.read_text(encoding="utf-8"))
    }
    table = PAGE.partition("## Inventory")[2].partition("## Keys")[0]
    told = set(re.findall(r"`([a-z0-9_/]+\.py)`", table))

    assert using - told == set(), "what do these compute, and with what?"
    assert {file for file in told if not (source / file).exists()} == set()


@pytest.mark.proves("KEY-06")
def test_every_purpose_of_the_master_key_and_a_plan_stand_on_the_page() -> None:
    keys, _, plan = PAGE.partition("## Keys")[2].partition("## What takes their place")

    assert [purpose for purpose in KeyPurpose if f"`{purpose}`" not in keys] == []
    assert "ML-KEM" in plan
    assert "ML-DSA" in plan
