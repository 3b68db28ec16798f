"""
Golden conversations: read one, play it against a server, and write down anew what the server says.

A file is HTTP as people write it down. Values in forms stand as they are before percent-encoding, one to a line. What
differs from run to run is a placeholder, which is bound where it first appears and must be the same from there on:
`{{token:1}}` is the first continuation token, `{{code:1}}` the first code that arrived, `{{wrong:1}}` any other code.
Two lines are no HTTP: `INBOX` waits for a message, `CLOCK` lets so many seconds pass.

Only the requests of a file are written by hand: recording fills in the answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from tests.server import first_factor_by_code, newest, register_phone, sign_up_by_code
from tests.wire import strict
from tests.wire.journeys import (
    PASSWORD,
    first_factor_by_password,
    redeemed,
    signed_up_by_password,
    wrong,
)
from tests.wire.servers import StrictServer

FOLDER = Path(__file__).parent / "transcripts"

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
KINDS: Mapping[str, str] = {
    "token": r"[A-Za-z0-9._~-]+",
    "method": GUID,
    "request": GUID,
    "trace": GUID,
    "time": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
    "access": r"[\w-]+\.[\w-]+\.[\w-]+",
    "id": r"[\w-]+\.[\w-]+\.[\w-]+",
    "refresh": r"[A-Za-z0-9._~-]+",
    "account": r"[\w-]+",
}
"""What a placeholder of each kind stands for."""

MEMBERS: Mapping[str, str] = {
    "continuation_token": "token",
    "trace_id": "trace",
    "timestamp": "time",
    "access_token": "access",
    "id_token": "id",
    "refresh_token": "refresh",
    "client_info": "account",
}
"""Member of an answer → kind of its value."""

SHOWN = ("Content-Type", "Cache-Control", "client-request-id")
"""The headers of an answer that are written down."""

COUNTDOWNS: Mapping[str, int] = {"refresh_token_expires_in": 60}
"""Member of an answer → by how many seconds it may be less than is written: it counts down from an earlier answer."""

PLACEHOLDER = re.compile(r"\{\{([a-z_]+(?::\d+)?)\}\}")

# The parts of a file. -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """`form` is in the order in which it is written."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    form: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{n}: {v}" for n, v in self.headers), ""]
        return "\n".join([*lines, *(f"{'&' if i else ''}{n}={v}" for i, (n, v) in enumerate(self.form))])


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: Any

    def __str__(self) -> str:
        reason = httpx2.codes.get_reason_phrase(self.status)
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{n}: {v}" for n, v in self.headers), ""]
        body = json.dumps(self.body, indent=2, ensure_ascii=False)
        return "\n".join([*lines, re.sub(r"\[\n\s+(\d+)\n\s+\]", r"[\1]", body)])


@dataclass(frozen=True)
class Exchange:
    request: Request
    answer: Answer | None
    """None: it has still to be recorded."""

    def __str__(self) -> str:
        return "\n\n".join(str(part) for part in (self.request, self.answer) if part)


@dataclass(frozen=True)
class Arrival:
    """A message arrives."""

    channel: str
    to: str
    purpose: str
    code: str
    """The placeholder that its code is bound to."""

    def __str__(self) -> str:
        return f"INBOX {self.channel} {self.to} {self.purpose} {self.code}"


@dataclass(frozen=True)
class Pause:
    """Time passes."""

    seconds: int

    def __str__(self) -> str:
        return f"CLOCK {self.seconds}"


@dataclass(frozen=True)
class Step:
    title: str
    what: Exchange | Arrival | Pause

    def __str__(self) -> str:
        return f"### {self.title}\n{self.what}"


@dataclass(frozen=True)
class Transcript:
    about: str
    """The opening comment: a title, an empty line, and what there is to know."""
    given: str
    """Who is there before it begins; a key of `GIVEN`."""
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        opening = [f"# {line}".rstrip() for line in (*self.about.split("\n"), "", f"Given: {self.given}")]
        return "\n".join(opening) + "\n\n" + "\n\n".join(map(str, self.steps)) + "\n"


def parse(text: str) -> Transcript:
    """Read a file."""
    opening, *blocks = re.split(r"^### ", text, flags=re.MULTILINE)
    lines = [line.removeprefix("#").strip() for line in opening.strip().split("\n")]
    assert lines[-1].startswith("Given: "), "the opening comment ends with who is there"
    steps = []
    for block in blocks:
        title, _, rest = block.partition("\n")
        steps.append(Step(title.strip(), _what(rest.strip())))
    return Transcript("\n".join(lines[:-2]), lines[-1].removeprefix("Given: "), tuple(steps))


def _what(text: str) -> Exchange | Arrival | Pause:
    match text.split(" "):
        case ["INBOX", channel, to, purpose, code]:
            return Arrival(channel, to, purpose, code)
        case ["CLOCK", seconds]:
            return Pause(int(seconds))
    asked, found, answered = text.partition("\nHTTP/1.1 ")
    return Exchange(_request(asked.strip()), _answer(answered) if found else None)


def _request(text: str) -> Request:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, path, _ = first.split(" ")
    form = [line.lstrip("&").partition("=") for line in body.split("\n") if line]
    return Request(method, path, _headers(lines), tuple((name, value) for name, _, value in form))


def _answer(text: str) -> Answer:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    return Answer(int(first.split(" ")[0]), _headers(lines), json.loads(body))


def _headers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    parts = (line.partition(": ") for line in lines)
    return tuple((name, value) for name, _, value in parts)


# Who is there. --------------------------------------------------------------------------------------


def _address() -> str:
    """An address whose mask is always the same."""
    return f"ada.{uuid4().hex[:12]}.lovelace@example.com"


def _number() -> str:
    """A number whose mask is always the same."""
    return f"+44740{uuid4().int % 10**5:05d}34"


def nobody(server: StrictServer) -> dict[str, str]:
    return {"app": server.otp_app, "address": _address(), "number": _number()}


def nobody_at_the_password_app(server: StrictServer) -> dict[str, str]:
    return {**nobody(server), "app": server.password_app, "password": PASSWORD}


def by_code(server: StrictServer) -> dict[str, str]:
    values = nobody(server)
    sign_up_by_code(server, values["address"])
    return values


def by_code_with_phone(server: StrictServer) -> dict[str, str]:
    values = by_code(server)
    asked = first_factor_by_code(server, values["address"], server.scope)
    redeemed(server, values["app"], register_phone(server, asked.token, values["number"]).token).ok()
    server.advance(31)  # Between two texts to a number some time must pass.
    return values


def by_password(server: StrictServer) -> dict[str, str]:
    values = nobody_at_the_password_app(server)
    signed_up_by_password(server, values["address"], values["password"])
    return values


def by_password_with_phone(server: StrictServer) -> dict[str, str]:
    values = by_password(server)
    _register(server, values, "sms", values["number"])
    server.advance(31)
    return values


def by_password_with_mailbox(server: StrictServer) -> dict[str, str]:
    values = {**by_password(server), "mailbox": _address()}
    _register(server, values, "email", values["mailbox"])
    return values


def _register(server: StrictServer, values: Mapping[str, str], channel: str, target: str) -> None:
    app, asked = values["app"], first_factor_by_password(server, values["address"], server.scope)
    form = {
        "client_id": app,
        "challenge_type": "oob",
        "challenge_target": target,
        "challenge_channel": channel,
    }
    sent = server.post_form(strict.REGISTER_CHALLENGE, {**form, "continuation_token": asked.token}).ok()
    done = {"client_id": app, "grant_type": "oob", "oob": server.code(target, "enrol")}
    last = server.post_form(strict.REGISTER_CONTINUE, {**done, "continuation_token": sent.token}).ok()
    redeemed(server, app, last.token).ok()


GIVEN: dict[str, Callable[[StrictServer], dict[str, str]]] = {
    "nobody": nobody,
    "nobody, at an app with passwords": nobody_at_the_password_app,
    "an account that signs in by code": by_code,
    "an account that signs in by code, with a phone": by_code_with_phone,
    "an account that signs in by password": by_password,
    "an account that signs in by password, with a phone": by_password_with_phone,
    "an account that signs in by password, with a second mailbox": by_password_with_mailbox,
}
"""How each comes about, and the placeholders it binds."""

# Playing. -------------------------------------------------------------------------------------------


class Mismatch(AssertionError):
    """The server says something else than is written."""


@dataclass
class Player:
    """One run of a transcript."""

    server: StrictServer
    values: dict[str, str] = field(default_factory=dict)
    """What the placeholders are bound to."""
    _seen: set[str] = field(default_factory=set)

    def play(
        self, transcript: Transcript, answered: Callable[[Exchange, httpx2.Response], Exchange]
    ) -> Transcript:
        """Go through it. `answered` says what becomes of each exchange."""
        self.values = {"tenant": str(self.server.told["tenant"]), **GIVEN[transcript.given](self.server)}
        for name in ("address", "number", "mailbox"):
            if name in self.values:
                self._seen |= {m["id"] for m in self.server.messages(self.values[name])}
        steps = []
        for step in transcript.steps:
            what = step.what
            if isinstance(what, Exchange):
                what = answered(what, self._send(what.request))
            elif isinstance(what, Arrival):
                self._await(what)
            else:
                self.server.advance(what.seconds)
            steps.append(Step(step.title, what))
        return Transcript(transcript.about, transcript.given, tuple(steps))

    def _send(self, request: Request) -> httpx2.Response:
        path = self._filled(request.path)
        form = {name: self._filled(value) for name, value in request.form}
        headers = {name: self._filled(value) for name, value in request.headers}
        response = self.server.http.request(
            request.method, f"{self.server.base}{path}", data=form, headers=headers
        )
        strict.check("/" + path.split("/", 2)[2], form, response)
        return response

    def _await(self, arrival: Arrival) -> None:
        to = self._filled(arrival.to)
        code = newest(self.server, to, arrival.purpose, self._seen)
        self._seen |= {m["id"] for m in self.server.messages(to)}
        self.values[arrival.code.strip("{}")] = code

    def _filled(self, text: str) -> str:
        """The text with its placeholders replaced; a request may name itself."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("wrong:"):
                return wrong(self.values["code:" + name.removeprefix("wrong:")])
            if name.startswith("request:"):
                self.values.setdefault(name, str(uuid4()))
            return self.values[name]

        return PLACEHOLDER.sub(value, text)

    # Comparing.

    def compare(self, exchange: Exchange, response: httpx2.Response) -> Exchange:
        """
        See that the answer is the one written, member by member; new placeholders are bound.

        Raises: `Mismatch`.
        """
        expected = exchange.answer
        if expected is None:
            raise Mismatch("nothing is written yet: record it")
        if response.status_code != expected.status:
            raise Mismatch(f"status {response.status_code}, not {expected.status}: {response.text}")
        for name, value in expected.headers:
            self._match(value, response.headers.get(name, ""), name)
        self._compare(expected.body, response.json(), "body")
        return exchange

    def _compare(self, expected: Any, found: Any, where: str) -> None:
        if type(expected) is not type(found):
            raise Mismatch(f"{where}: {found!r}, not {expected!r}")
        if isinstance(expected, dict):
            if expected.keys() != found.keys():
                raise Mismatch(f"{where}: members {sorted(found)}, not {sorted(expected)}")
            for name in expected:
                self._compare(expected[name], found[name], f"{where}.{name}")
        elif isinstance(expected, list):
            if len(expected) != len(found):
                raise Mismatch(f"{where}: {len(found)} entries, not {len(expected)}")
            for position, pair in enumerate(zip(expected, found, strict=True)):
                self._compare(*pair, f"{where}[{position}]")
        elif isinstance(expected, str):
            self._match(expected, found, where)
        elif not self._is_number(expected, found, COUNTDOWNS.get(where.rpartition(".")[2], 0)):
            raise Mismatch(f"{where}: {found!r}, not {expected!r}")

    @staticmethod
    def _is_number(expected: Any, found: Any, less: int) -> bool:
        return bool(expected == found) or (less > 0 and expected - less <= found <= expected)

    def _match(self, expected: str, found: str, where: str) -> None:
        """Match a text with placeholders; those that are not bound yet are bound to what stands in their place."""
        pattern, names = "", dict[str, str]()
        for position, part in enumerate(PLACEHOLDER.split(expected)):
            if position % 2 == 0:
                pattern += re.escape(part)
            elif part in self.values:
                pattern += re.escape(self.values[part])
            elif part in names.values():
                pattern += f"(?P={next(group for group, name in names.items() if name == part)})"
            else:
                names[f"p{position}"] = part
                pattern += f"(?P<p{position}>{KINDS[part.partition(':')[0]]})"
        matched = re.fullmatch(pattern, found)
        if matched is None:
            raise Mismatch(f"{where}: {found!r}, not {expected!r} where {self.values}")
        self.values |= {name: matched[group] for group, name in names.items()}

    # Recording.

    def record(self, exchange: Exchange, response: httpx2.Response) -> Exchange:
        """The exchange with the answer that came, its changing values replaced by placeholders."""
        body = response.json()
        self._name(body)
        headers = tuple((name, self._templated(response.headers[name])) for name in SHOWN)
        return Exchange(exchange.request, Answer(response.status_code, headers, self._templated(body)))

    def _name(self, body: Any) -> None:
        """Bind a placeholder to every changing value that has none yet."""
        if isinstance(body, list):
            for entry in body:
                self._name(entry)
        elif isinstance(body, dict):
            for name, value in body.items():
                kind = MEMBERS.get(name)
                if name == "id" and re.fullmatch(GUID, str(value)):
                    kind = "method"
                # Two answers of the same second may be of two seconds the next time.
                if kind is not None and (kind == "time" or value not in self.values.values()):
                    number = sum(known.startswith(f"{kind}:") for known in self.values) + 1
                    self.values[f"{kind}:{number}"] = value
                self._name(value)

    def _templated(self, value: Any) -> Any:
        """The value with every text that a placeholder is bound to replaced by it; the longest first."""
        if isinstance(value, list):
            return [self._templated(entry) for entry in value]
        if isinstance(value, dict):
            return {name: self._templated(member) for name, member in value.items()}
        if isinstance(value, str):
            hidden = {"tenant", "app", "password"}
            bound = {v: n for n, v in self.values.items() if n not in hidden and not n.startswith("code:")}
            for text in sorted(bound, key=len, reverse=True):
                value = value.replace(text, "{{" + bound[text] + "}}")
        return value


def files(dialect: str) -> list[Path]:
    """The transcripts of a dialect."""
    return sorted((FOLDER / dialect).glob("*.http"))


def replay(path: Path, server: StrictServer) -> None:
    """Raises: `Mismatch`."""
    player = Player(server)
    player.play(parse(path.read_text(encoding="utf-8")), player.compare)


def record(path: Path, server: StrictServer) -> None:
    """Write the answers of a file anew."""
    player = Player(server)
    recorded = player.play(parse(path.read_text(encoding="utf-8")), player.record)
    path.write_text(str(recorded), encoding="utf-8")
