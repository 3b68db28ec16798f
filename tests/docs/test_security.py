"""`docs/security.md`: as the code and the tests are, and with nothing left out in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import rows, security

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_as_the_code_is() -> None:
    """But for the tests that it names, which `make docs` brings up to date with every new one."""

    def without_tests(text: str) -> str:
        return re.sub(r"^(\| \[[A-Z]+-\d+\].*\|)[^|]*\|$", r"\1", text, flags=re.MULTILINE)

    text = security.PAGE.read_text(encoding="utf-8")

    assert without_tests(security.written(text)) == without_tests(text)


def test_every_row_is_proven_or_says_why_not() -> None:
    known, proven = rows.read_rows(), rows.read_proofs()
    concerned = {row for row in known if rows.family(row) in security.FAMILIES}

    assert sorted(concerned - proven.keys() - security.OPEN.keys()) == []
    assert sorted(security.OPEN.keys() - concerned) == []
    assert sorted(security.DEFAULTS.keys() - known.keys()) == []


@pytest.mark.parametrize(
    "claim", [*security.ATTACKS, *security.NOTICES, *security.FAULTS], ids=lambda claim: claim.name
)
def test_every_attack_notice_and_fault_names_tests_that_there_are(claim: security.Claim) -> None:
    for named in claim.tests:
        file, _, test = named.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {test}\b", text, re.MULTILINE), named
