"""Somebody at a borrowed computer: a browser without script that fills in forms and keeps cookies, and no more."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx2

from tests.wire.servers import StrictServer

PAGE = "/dev/lost-device"


class Document(HTMLParser):
    """The forms of a page, what it says, and how its parts hang together."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.title = ""
        self.text = ""
        self._within: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.tags.append((tag, has))
        self._within.append(tag)
        if tag == "form":
            self.forms.append({})
        name, kind = has.get("name", ""), has.get("type", "")
        is_sent = kind not in ("radio", "checkbox") or "checked" in has
        if tag == "input" and self.forms and name and is_sent:
            self.forms[-1][name] = has.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._within[-1:] == ["title"]:
            self.title += data
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    def form(self, act: str) -> dict[str, str]:
        return next(form for form in self.forms if form.get("act") == act)


class Borrowed:
    """One browser."""

    def __init__(self, server: StrictServer, language: str = "en") -> None:
        self.server = server
        self.language = language
        self.cookies: dict[str, str] = {}
        self.answer: httpx2.Response | None = None
        self.page = Document("")

    def get(self, query: str = "", *, cross_site: bool = False, path: str = PAGE) -> Document:
        return self._send("GET", path + query, {}, None, with_cookies=not cross_site)

    def post(self, fields: dict[str, str], *, headers: dict[str, str] | None = None) -> Document:
        sent = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        return self._send("POST", PAGE, {**sent, **(headers or {})}, urlencode(fields).encode())

    def press(self, act: str, **fields: str) -> Document:
        """Fill in the form of a button on the page that is open, and press it."""
        return self.post({**self.page.form(act), **fields})

    @property
    def status(self) -> int:
        assert self.answer is not None
        return self.answer.status_code

    @property
    def html(self) -> str:
        assert self.answer is not None
        return self.answer.text

    @property
    def card(self) -> str:
        """What is to be written down, if the page shows it."""
        start = self.html.find('class="secret"')
        if start < 0:
            return ""
        return " ".join(Document(self.html[start - 3 : self.html.index("</p>", start)]).text.split())

    def began(self, address: str, means: str, **more: str) -> Document:
        """As far as the proof."""
        self.get()
        return self.press("start", username=address, means=means, **more)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        content: bytes | None,
        *,
        with_cookies: bool = True,
    ) -> Document:
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given: dict[str, Any] = {"accept-language": self.language, **headers}
        if kept and with_cookies:
            given["cookie"] = kept
        # One client for all: what it would keep itself is not what this browser keeps.
        self.server.http.cookies.clear()
        self.answer = self.server.http.request(
            method, self.server.base + path, headers=given, content=content
        )
        for line in self.answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        self.page = Document(self.answer.text)
        return self.page
