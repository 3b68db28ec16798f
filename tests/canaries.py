"""
Canaries: every secret that goes over the wire to a server that the tests start is looked for in all it has written.

A server's client listens (`Marks.listen`): passwords, codes, tokens, client secrets, webhook secrets, recovery codes.
When the server stops, its log and every file of its folder are searched for each of them, raw and in each form that a
text may have been brought into; an answer that refuses is searched for what was sent as soon as it comes. So the
whole suite is the journey (LOG-02). The inbox of development mode is the declared exception for codes.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus

import httpx2

FIELDS: Final = frozenset(
    {"password", "new_password", "newPassword", "client_secret", "authorization_header"}
)
"""What a client sends that is its own secret."""
ISSUED: Final = frozenset(
    {
        "continuation_token",
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "secretText",
        "genkanSigningSecret",
    }
)
"""What the server hands out."""
WINDOW: Final = 16
"""Bytes of a token by which a part of it is known."""
LEAST: Final = 12
"""Characters of a password that is told from other words; shorter ones are there to be refused."""


def forms(secret: str) -> Iterator[bytes]:
    """A text as it would look after any of the ways in which texts are written."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw
    yield raw.hex().encode()
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    yield quote(raw, safe="").encode()
    yield quote_plus(raw).encode()
    yield repr(secret)[1:-1].encode("utf-8", "surrogatepass")
    yield secret.encode("utf-16-le", "surrogatepass")
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(raw).rstrip(b"=")[:-1]
        for shift in range(1, 3) if len(raw) > 16 else ():
            # Within something longer: without the ends, which depend on what stands beside it.
            yield encode(b"\x00" * shift + raw)[4:].rstrip(b"=")[:-1]


def holds(text: bytes, written: bytes) -> bool:
    """Say whether it stands there. Eight digits within a longer number are chance."""
    if not written.isdigit():
        return written in text
    return re.search(rb"(?<![0-9])" + written + rb"(?![0-9])", text) is not None


class Marks:
    """The secrets of one server that its tests have seen."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        """Chosen by people, or short: each is looked for by itself."""
        self.codes: set[str] = set()
        """Digits; they stand in the inbox."""
        self.tokens: set[str] = set()
        """Long and random: any sixteen characters of one are it."""

    def listen(self, client: httpx2.Client) -> None:
        """Hear what goes over the wire from now on."""
        client.event_hooks = {"request": [self._sent], "response": [self._answered]}

    def _sent(self, request: httpx2.Request) -> None:
        self._mark(_said(request))

    def _answered(self, response: httpx2.Response) -> None:
        if not response.headers.get("content-type", "").startswith("application/json"):
            return
        body = response.read()
        path = response.request.url.path
        if response.status_code < 400 or b'"error_codes"' in body:
            self._mark(_members(body), path)
        if response.status_code >= 400:
            own = Marks()
            own._mark(_said(response.request))
            found = own.found_in({"the answer": body})
            assert not found, (path, found)

    def _mark(self, said: Iterable[tuple[str, Any]], path: str = "") -> None:
        for name, value in said:
            if not isinstance(value, str) or not value:
                continue
            if name == "oob" or (name == "code" and path.startswith("/dev/inbox")):
                if re.fullmatch(r"[0-9]{6,12}", value):
                    self.codes.add(value)
            elif (name == "code" and "/emergency/" in path) or name == "codes":
                self.words |= {value, value.replace("-", "")}
            elif name in ISSUED and path:
                self.tokens.add(value)
            elif name in FIELDS and len(value) >= LEAST and len(set(value)) > 5 and "@" not in value:
                self.words.add(value)

    def found_in(self, sinks: Mapping[str, bytes], *, codes_in: Iterable[str] = ()) -> list[tuple[str, str]]:
        """Which secrets stand where; `codes_in` names sinks in which codes may."""
        windows = {part: token for token in self.tokens for part in _windows(token)}
        short = {written: word for word in self.words for written in forms(word) if len(written) > 7}
        found: set[tuple[str, str]] = set()
        for name, text in sinks.items():
            found |= {(name, word) for written, word in short.items() if written in text}
            if windows:
                hits = {text[i : i + WINDOW] for i in range(len(text) - WINDOW + 1)} & windows.keys()
                found |= {(name, windows[hit]) for hit in hits}
            if self.codes and name not in set(codes_in):
                runs = re.findall(rb"(?<![0-9A-Za-z-])[0-9]{6,12}(?![0-9A-Za-z-])", text)
                found |= {(name, code) for code in {run.decode() for run in runs} & self.codes}
        return sorted(found)

    def check(self, log: Path, data: Path) -> None:
        """Search the log of a server and every file of its folder. Raises: `AssertionError`."""
        apart = {"master.key", "tls"}  # Keys that are there to be kept.
        files = [p for p in data.rglob("*") if p.is_file() and not apart & {*p.relative_to(data).parts}]
        sinks = {str(p.relative_to(data)): p.read_bytes() for p in files}
        inbox = [name for name in sinks if name.startswith("inbox.db")]
        key = data / "master.key"
        if key.exists():
            self.words.add(key.read_text("latin-1").strip())
        if log.exists():
            sinks["the log"] = log.read_bytes()
        found = self.found_in(sinks, codes_in=inbox)
        assert not found, f"secrets were written: {found[:5]}"


def _windows(token: str) -> Iterator[bytes]:
    """Parts of a token, in the forms that differ; of a JWT those of its signature, for the rest is no secret."""
    secret = token.rpartition(".")[2] if token.startswith("eyJ") else token
    raw = secret.encode()
    written = [raw, raw.hex().encode(), secret.encode("utf-16-le")]
    written += [b64encode(b"\x00" * shift + raw)[4 * (shift > 0) :].rstrip(b"=")[:-1] for shift in range(3)]
    for text in written:
        for begin in range(0, len(text) - WINDOW + 1, WINDOW):
            part = text[begin : begin + WINDOW]
            if len(set(part)) > 7:
                yield part


def _said(request: httpx2.Request) -> Iterator[tuple[str, Any]]:
    """The fields of a form, or the members of JSON."""
    try:
        body = request.content
    except httpx2.RequestNotRead:
        return
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        yield from parse_qsl(body.decode("utf-8", "replace"))
    else:
        yield from _members(body)


def _members(body: bytes) -> Iterator[tuple[str, Any]]:
    """Every member of JSON, however deep; the items of a list under its name."""
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(body))]
    except (ValueError, RecursionError):
        return
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(name, one) for one in value]
        else:
            yield name, value
