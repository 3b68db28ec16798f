"""What the documentation says must be there, and what is there must be said."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from genkan.bootstrap import Development
from genkan.model import Reason, Tenant
from genkan.settings import Settings
from genkan.wire.graph import ROUTES
from genkan.wire.http import METHODS
from scripts import openapi, reference

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(chain(ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md")))

LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def relative_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ +(.+?) *$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in relative_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_every_picture_is_there_and_small() -> None:
    shown = [
        (page.parent / source).resolve()
        for page in PAGES
        for sources in re.findall(r'!\[[^]]*\]\((\S+?)\)|<img src="(\S+?)"', page.read_text("utf-8"))
        for source in sources
        if source
    ]

    assert shown
    assert [picture for picture in shown if not 5_000 < picture.stat().st_size < 150_000] == []


def test_the_description_of_the_http_surface_is_that_of_the_code() -> None:
    assert openapi.PAGE.read_text(encoding="utf-8") == openapi.text(), "stale: run `make docs`"


def test_nothing_is_served_that_is_not_described(tmp_path: Path) -> None:
    described = openapi.document()["paths"]
    development = Development(Settings(data=tmp_path / "data"), "http://localhost:8400")

    assert development.app._page_paths <= set(described)
    assert {f"/{{tenant}}{path}" for path in METHODS} <= set(described)
    assert {f"/v1.0{route.path}" for route in ROUTES} <= set(described)


SECTIONED = "native-auth-v1|conditional-access|oauth-standards"
NAMED_SECTIONS = re.compile(rf"({SECTIONED}) (A?\d+(?:\.\d+)?(?:(?:, | to | and )A?\d+(?:\.\d+)?)*)")


def test_every_section_that_the_code_names_exists() -> None:
    sections = {
        page: set(
            re.findall(
                r"^#+ (A?\d+(?:\.\d+)?)",
                (ROOT / f"docs/reference/{page}.md").read_text("utf-8"),
                re.MULTILINE,
            )
        )
        for page in SECTIONED.split("|")
    }

    missing = [
        f"{file.relative_to(ROOT)}: {page} {section}"
        for file in (ROOT / "src").rglob("*.py")
        for page, named in NAMED_SECTIONS.findall(file.read_text(encoding="utf-8"))
        for section in re.findall(r"A?\d+(?:\.\d+)?", named)
        if section not in sections[page]
    ]

    assert missing == []


def test_every_reason_stands_in_the_catalogue_of_errors() -> None:
    catalogue = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")

    assert [reason for reason in Reason if f"| `{reason.value}` |" not in catalogue] == []


@pytest.mark.parametrize("struct", [Settings, Tenant])
def test_every_setting_stands_in_the_reference(struct: type[Settings | Tenant]) -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")

    assert [name for name in struct.__struct_fields__ if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("page", ["explanation/a-sign-in.md", "reference/native-auth-v1.md"])
def test_tables_that_follow_from_the_code_are_as_the_code_is(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")

    assert "<!-- generated: " in text
    assert reference.filled(text) == text
