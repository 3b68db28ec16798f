"""A crawl through every page and e-mail of a running server: whatever a browser would fetch for them is our own."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import pytest

from tests.server import (
    Server,
    first_factor_by_code,
    new_address,
    new_number,
    register_phone,
    sign_up_by_code,
)

FETCHED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("iframe", "src"),
    ("source", "src"),
    ("audio", "src"),
    ("video", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("form", "action"),
    ("body", "background"),
    ("use", "href"),
    ("image", "href"),
}
"""What a browser fetches, or sends to, without being asked by a person."""

ANOTHER = re.compile(
    r"""(?:\burl\(|@import|\bfrom|\bimport\(?|\bfetch\(|EventSource\()\s*["'`]?((?:https?:)?//[^\s"'`)]+)"""
)
"""An address with a host of its own, where a style sheet or a script would fetch it."""


class Found(HTMLParser):
    """The addresses of a page: what it fetches by itself, and where a person may go."""

    def __init__(self, base: str, html: str) -> None:
        super().__init__()
        self._base = base
        self.fetched: set[str] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in FETCHED:
                self.fetched.add(urljoin(self._base, value or ""))
            elif tag == "a" and name == "href":
                self.links.add(urldefrag(urljoin(self._base, value or ""))[0])


def e_mails(server: Server) -> list[str]:
    """The addresses of every e-mail that a sign-up, a sign-in and a registration bring."""
    address = new_address()
    sign_up_by_code(server, address)
    asked = first_factor_by_code(server, address, server.scope)
    newest = server.messages(address)[0]["id"]
    register_phone(server, asked.token, new_number())
    notice = f"{server.base}/dev/inbox/wait?to={address}&after={newest}"
    assert server.http.get(notice).json()["messages"], "a notice says that a phone was registered"
    messages = server.http.get(f"{server.base}/dev/inbox/messages?channel=email").json()["messages"]
    return [f"{server.base}/dev/inbox/html?id={message['id']}" for message in messages]


@pytest.mark.proves("BRW-06")
def test_no_page_and_no_email_has_anything_of_a_third_party(server: Server) -> None:
    ahead = [f"{server.base}/", *e_mails(server)]
    pages: dict[str, str] = {}
    resources: set[str] = set()
    while ahead:
        url = ahead.pop()
        if url in pages:
            continue
        answer = server.http.get(url)
        assert answer.status_code == 200, url
        pages[url] = answer.text
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert not re.search(r"https?:|\*|(?:script|img|font|connect)-src[^;]*(?:data|blob|unsafe)", policy)
        found = Found(url, answer.text)
        resources |= found.fetched
        ahead += [link for link in found.links if link.startswith(f"{server.base}/")]

    assert {f"{server.base}{path}" for path in ("/", "/dev/inbox", "/dev/connect")} < pages.keys()
    assert len([url for url in pages if "/dev/inbox/html" in url]) >= 3
    seen: dict[str, str] = {}
    while resources - seen.keys():
        for url in resources - seen.keys():
            assert url.startswith((f"{server.base}/static/", f"{server.base}/dev/lost-device")), url
            answer = server.http.get(url)
            if answer.status_code == 404:
                assert url.endswith("/msal.js"), f"{url} is not there; only the SDK may be left out"
            seen[url] = answer.text if answer.status_code == 200 else ""
        resources |= {
            urljoin(url, name)
            for url, text in seen.items()
            for name in re.findall(r'(?:from|import\() ?"(\./[\w.]+)"|url\("?(\./[\w.]+)', text)
            for name in name
            if name
        }
    assert len(seen) >= 12
    for url, text in (pages | seen).items():
        if not url.endswith(
            "/msal.js"
        ):  # where the SDK's words of other hosts are; what it asks, a browser test sees
            assert ANOTHER.findall(text) == [], url
