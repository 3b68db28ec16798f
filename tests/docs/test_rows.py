"""The rows of the requirements and the tests that say they prove them."""

import re
from pathlib import Path

import pytest

from scripts import rows

EVERY_ROW = {"V1": 205, "CAP": 140, "CAV": 25, "D": 37, "DT": 87, "AT": 44}
"""How many rows the families have whose numbers are a promise: none of them may get lost."""


def test_every_row_that_a_test_names_stands_on_a_page() -> None:
    assert rows.unknown() == []


def test_every_row_that_the_code_names_stands_on_a_page() -> None:
    known = rows.read_rows()
    families = {rows.family(row) for row in known}

    missing = [
        f"{file.relative_to(rows.ROOT)}: {family}-{number}"
        for file in (rows.ROOT / "src").rglob("*.py")
        for family, number in re.findall(r"\b([A-Z][A-Z0-9]{0,4})-(\d+)\b", file.read_text(encoding="utf-8"))
        if family in families and f"{family}-{number}" not in known
    ]

    assert missing == []


@pytest.mark.parametrize(("family", "count"), EVERY_ROW.items())
def test_no_row_of_a_family_is_missing(family: str, count: int) -> None:
    numbers = [
        int(row.removeprefix(family).lstrip("-")) for row in rows.read_rows() if rows.family(row) == family
    ]

    assert numbers == list(range(1, count + 1))


def test_every_discrepancy_is_settled_by_a_test_and_told_where_people_look_for_differences() -> None:
    told = (rows.ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    settled = rows.read_proofs()

    discrepancies = [row for row in rows.read_rows() if rows.family(row) == "D"]

    assert [row for row in discrepancies if row not in settled] == []
    assert [row for row in discrepancies if row not in told] == []


def test_a_row_that_stands_in_code_or_in_a_file_of_cases_is_found(tmp_path: Path, monkeypatch) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_one.py").write_text(
        "import pytest\n\n@pytest.mark.proves('V1-001', 'OTP-02')\ndef test_it() -> None: ...\n"
        "def test_d07_d12_both() -> None: ...\n"
    )
    (tests / "cases.toml").write_text(
        "proves = ['CAP-001']\n[[case]]\nname = 'a name'\nproves = ['CAP-002']\n"
    )
    monkeypatch.setattr(rows, "ROOT", tmp_path)

    assert rows.read_proofs() == {
        "CAP-001": [("tests/cases.toml", "")],
        "CAP-002": [("tests/cases.toml", "a name")],
        "D07": [("tests/test_one.py", "test_d07_d12_both")],
        "D12": [("tests/test_one.py", "test_d07_d12_both")],
        "OTP-02": [("tests/test_one.py", "test_it")],
        "V1-001": [("tests/test_one.py", "test_it")],
    }


def test_the_page_counts_and_links_and_the_column_now_is_filled_in(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "| Id | Requirement | Now |\n|---|---|---|\n| AB-1 | a \\| b | ? |\n| AB-2 | [c](d) | held |\n"
    )
    monkeypatch.setattr(rows, "REFERENCE", tmp_path)

    written = dict(rows.pages(rows.read_rows(), {"AB-1": [("tests/test_one.py", "test_it")]}))

    assert "| [AB](#ab) | 1 | 2 | page.md |" in written[tmp_path / "rows.md"]
    assert (
        "| [AB-1](page.md) | a \\| b | [test_it](../../tests/test_one.py) |" in written[tmp_path / "rows.md"]
    )
    assert "| [AB-2](page.md) | c | — |" in written[tmp_path / "rows.md"]
    assert re.findall(r"\| (\S+ ?\S*) \|$", written[page], re.MULTILINE) == ["Now", "held", "not yet"]
