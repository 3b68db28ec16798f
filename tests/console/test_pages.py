"""The pages: what stands on them, and what they may never do."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product

import pytest
from msgspec.structs import asdict, replace

from genkan.console import pages
from genkan.exchange import Request, Response, page_headers
from tests.console.desk import START


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(response.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]


def all_pages() -> list[Response]:
    return [pages.playground_page(START, ""), pages.connect_page(START), pages.inbox_page()]


def all_files() -> dict[str, str]:
    """The static files that are ours: not the SDK, where it has been bundled."""
    folder = files("genkan.console") / "static"
    return {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name != "msal.js"}


# Headers. -------------------------------------------------------------------------------------------


def test_a_page_has_these_headers_and_no_others() -> None:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )

    for response in all_pages():
        assert response.content_type == "text/html; charset=utf-8"
        assert response.headers == (
            ("cache-control", "no-store"),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        )


def test_beyond_localhost_a_page_also_insists_on_https() -> None:
    here, beyond = (page_headers(pages.PAGE_POLICY, strict_transport=is_far) for is_far in (False, True))

    assert beyond == (*here, ("strict-transport-security", "max-age=31536000; includeSubDomains"))


def test_nothing_is_inline() -> None:
    for page in map(Page, all_pages()):
        assert all("src" in attributes for tag, attributes in page.tags if tag == "script")
        assert not [tag for tag, _ in page.tags if tag == "style"]
        assert not page.values("style")
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_nothing_is_asked_of_another_host() -> None:
    for page in map(Page, all_pages()):
        fetched = [
            attributes.get("src") or attributes.get("href") or ""
            for tag, attributes in page.tags
            if tag in {"script", "link", "img", "iframe", "source", "object", "embed"}
        ]
        assert all(url == "" or url.startswith("/static/") for url in fetched)
        assert all(re.match(r"/|#|http://localhost:8400/", url) for url in page.values("href"))
    for name, text in all_files().items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|\burl\(", text), name


# Files. ---------------------------------------------------------------------------------------------


def test_every_file_that_a_page_names_is_there() -> None:
    named = {url for page in map(Page, all_pages()) for url in (*page.values("src"), *page.values("href"))}
    named |= {
        f"/static/{name}" for text in all_files().values() for name in re.findall(r'"\./(.+?\.js)"', text)
    }
    named.discard("/static/msal.js")

    for url in sorted(url for url in named if url.startswith("/static/")):
        assert pages.static_file(url.removeprefix("/static/")) is not None, url


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("tokens.css", "text/css; charset=utf-8"),
        ("inbox.js", "text/javascript; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ],
)
def test_a_file_has_its_type_and_may_be_kept_for_a_moment(name: str, content_type: str) -> None:
    response = pages.static_file(name)

    assert response is not None
    assert response.content_type == content_type
    assert response.body.decode() == all_files()[name]
    assert ("vary", "accept-encoding") in response.headers
    assert ("cache-control", "public, max-age=60") in response.headers
    assert ("x-content-type-options", "nosniff") in response.headers


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../pages.py", "..%2fpages.py", "/etc/passwd", "tokens.css/", "TOKENS.CSS", "no.css"],
)
def test_no_other_file_is_served(name: str) -> None:
    assert pages.static_file(name) is None


# The pages Playground and Connect. -------------------------------------------------------------------


def test_a_file_is_sent_compressed_to_whoever_takes_it_so() -> None:
    response = pages.static_file("playground.js", gzipped=True)

    assert response is not None
    assert ("content-encoding", "gzip") in response.headers
    assert gzip.decompress(response.body).decode() == all_files()["playground.js"]


def test_the_playground_names_the_sdk_that_it_was_built_with() -> None:
    with_sdk, without = (Page(pages.playground_page(START, sdk)) for sdk in ("5.30.0", ""))

    assert (with_sdk.values("data-sdk"), without.values("data-sdk")) == (["5.30.0"], [""])
    assert "make run adds it" in " ".join(without.text.split())


def test_the_page_connect_tells_where_everything_is() -> None:
    page = Page(pages.connect_page(START))

    told = asdict(START)
    del told["inbox_url"], told["ca_file"], told["code_seconds"]
    assert [value for value in told.values() if value not in page.text] == []
    assert START.inbox_url in page.values("href")
    for path in ("/dev/inbox/wait", "/dev/inbox/stream", "/dev/clock", "/dev/reset"):
        assert path in page.text
    for url in ("/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys"):
        assert START.authority + url in page.values("href")


def test_the_page_connect_shows_the_first_sign_in_as_it_is() -> None:
    assert pages.first_sign_in(START) in Page(pages.connect_page(START)).text


def test_the_page_connect_names_the_certificate_to_trust_only_when_there_is_one() -> None:
    secured = replace(START, ca_file="/srv/it's here/ca.pem")

    assert "Certificate to trust" not in Page(pages.connect_page(START)).text
    assert "/srv/it's here/ca.pem" in Page(pages.connect_page(secured)).text
    assert "CURL_CA_BUNDLE" not in pages.first_sign_in(START)
    assert """export CURL_CA_BUNDLE='/srv/it'"'"'s here/ca.pem'\n""" in pages.first_sign_in(secured)


def test_what_a_page_is_told_is_never_markup() -> None:
    told = replace(START, tenant="<script>alert(1)</script>", authority="http://localhost:1'\"><b>")

    for page in (pages.playground_page(told, ""), pages.connect_page(told)):
        assert b"<script>alert" not in page.body
        assert b"<b>" not in page.body


@pytest.mark.anyio
async def test_the_playground_is_at_the_root() -> None:
    table = {(method, path): serve for method, path, serve in pages.routes(START)}

    assert sorted(table) == [("GET", "/"), ("GET", "/dev/connect")]
    assert await table["GET", "/"](Request(method="GET", path="/")) == (
        pages.playground_page(START, pages.sdk_version())
    )
    assert await table["GET", "/dev/connect"](Request(method="GET", path="/dev/connect")) == (
        pages.connect_page(START)
    )


# For everybody. -------------------------------------------------------------------------------------


def test_every_page_has_a_language_a_title_one_heading_and_a_way_past_the_header() -> None:
    for page in map(Page, all_pages()):
        names = [tag for tag, _ in page.tags]
        assert ("html", {"lang": "en"}) in page.tags
        assert names.count("title") == names.count("h1") == names.count("main") == 1
        assert ("a", {"class": "skip", "href": "#main"}) in page.tags
        assert "width=device-width, initial-scale=1" in page.values("content")


def test_every_name_in_a_page_is_used_once_and_every_reference_has_its_target() -> None:
    for page in map(Page, all_pages()):
        names = page.values("id")
        assert len(names) == len(set(names))
        for attribute in ("aria-labelledby", "aria-controls", "for", "data-copies"):
            assert {name for value in page.values(attribute) for name in value.split()} <= set(names)


def channels(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    bright, dark = sorted(
        (
            sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), channels(x), strict=True))
            for x in (one, other)
        ),
        reverse=True,
    )
    return (bright + 0.05) / (dark + 0.05)


def test_every_text_can_be_read_by_day_and_by_night() -> None:
    light, dark = all_files()["tokens.css"].split("@media (prefers-color-scheme: dark)")
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))
        grounds = [colours[name] for name in ("ground", "doma", "sheet", "sunk", "accent-wash")]
        inks = [colours[name] for name in ("ink", "soft", "accent")]
        assert min(contrast(ink, ground) for ink, ground in product(inks, grounds)) >= 4.5
        assert contrast(colours["accent"], colours["accent-ink"]) >= 4.5
