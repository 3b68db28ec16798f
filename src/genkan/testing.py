"""
For the tests of apps: start `genkan dev`, wait for a code, move the clock, be somewhere else.

Speaks to the server by the development-mode contract alone (docs/reference/development-mode.md) and imports nothing
of it, nor anything beyond the standard library.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

Channel = Literal["email", "sms"]
State = Literal["enabled", "disabled", "enabledForReportingButNotEnforced"]


class DidNotStart(Exception):
    """`genkan dev` ended before it accepted requests. The message is what it said."""


class Refused(Exception):
    """An endpoint of development mode refused what was asked. The message is its sentence."""


class NoMessage(AssertionError):
    """Nothing arrived in time, or it held no code."""


@dataclass(frozen=True)
class Message:
    """An e-mail or a text as it arrived. A member without a value is None."""

    id: str
    channel: Channel
    to: str
    purpose: str
    code: str | None
    subject: str | None
    text: str
    html: str | None
    created_at: str


@contextmanager
def running(data: Path | None = None, *, tls: bool = False) -> Iterator[Genkan]:
    """
    A server of your own for the length of a block, on a free port.

    `data` is its folder; left out, one that is thrown away afterwards. Raises: `DidNotStart`.
    """
    if data is None:
        with (
            tempfile.TemporaryDirectory(prefix="genkan-") as folder,
            running(Path(folder), tls=tls) as genkan,
        ):
            yield genkan
        return
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "genkan", "dev", "--port", "0", "--json", "--data", str(data)]
    log = data / "genkan.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(  # noqa: S603 - this very program
            [*command, *(["--tls"] if tls else [])], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            process.wait()
            raise DidNotStart(log.read_text().strip() or "genkan dev said nothing")
        try:
            yield Genkan(json.loads(line))
        finally:
            process.terminate()


class Genkan:
    """A server in development mode: what it told when it was ready, and what a test may ask of it."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """`told` is the line that `genkan dev --json` prints."""
        self.told = told
        self.base_url: str = told["base_url"]
        self.authority: str = told["authority"]
        self.otp_app: str = told["apps"]["otp"]
        self.password_app: str = told["apps"]["password"]
        self.scope: str = told["api"]["scope"]
        """Of the demo API, which a policy guards."""
        ca_file = told.get("ca_file")
        self._trust = ssl.create_default_context(cafile=ca_file) if ca_file else None

    # The inbox.

    def mailbox(self, to: str) -> Mailbox:
        """What arrives from now on for an address or a number."""
        return Mailbox(self, to)

    def messages(
        self, to: str = "", *, channel: Channel | None = None, after: str = "", query: str = ""
    ) -> list[Message]:
        """What has arrived, newest first. `query` is looked for in address, code, subject and text."""
        asked = {"to": to, "channel": channel or "", "after": after, "query": query}
        return _messages(self._ask("GET", f"/dev/inbox/messages?{urlencode(asked)}"))

    def wait(
        self, to: str = "", *, channel: Channel | None = None, after: str = "", seconds: int = 10
    ) -> list[Message]:
        """The same as soon as there is one; nothing when there was none in time."""
        asked = {"to": to, "channel": channel or "", "after": after, "timeout": seconds}
        return _messages(self._ask("GET", f"/dev/inbox/wait?{urlencode(asked)}"))

    def clear(self) -> None:
        """Empty the inbox."""
        self._ask("DELETE", "/dev/inbox/messages")

    # The world around the server.

    def now(self) -> datetime:
        """The server's time."""
        return datetime.fromisoformat(self._ask("GET", "/dev/clock")["now"])

    def advance(self, seconds: float) -> datetime:
        """Move the server's clock forward, and every expiry with it; its time then."""
        return datetime.fromisoformat(self._ask("POST", "/dev/clock", advance_seconds=seconds)["now"])

    def place(self, *, country: str | None = None, address: str | None = None) -> None:
        """From now on requests seem to come from there; without arguments, from where they do."""
        self._ask("POST", "/dev/place", country=country, address=address)

    def fail_delivery(self, failing: bool = True) -> None:
        """The provider takes no message, or takes them again."""
        self._ask("POST", "/dev/delivery", failing=failing)

    def policies(self) -> list[dict[str, Any]]:
        """Every policy of the tenant, as Graph shows it."""
        return list(self._ask("GET", "/dev/policies")["policies"])

    def switch_policy(self, id: str, state: State) -> None:
        """Switch a policy on, off, or to report only."""
        self._ask("POST", "/dev/policies", id=id, state=state)

    def story(self, correlation_id: str) -> list[dict[str, Any]]:
        """What happened in a sign-in, and which policy asked for what."""
        return list(
            self._ask("GET", f"/dev/story?{urlencode({'correlation_id': correlation_id})}")["stories"]
        )

    def reset(self) -> None:
        """The tenant as it was seeded, and an empty inbox; the clock stays."""
        self._ask("POST", "/dev/reset")

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        request = Request(f"{self.base_url}{path}", data, method=method)  # noqa: S310 - the server's own address
        try:
            with urlopen(request, timeout=90, context=self._trust) as answer:  # noqa: S310
                text = answer.read()
        except HTTPError as refusal:
            with refusal:
                raise Refused(json.loads(refusal.read()).get("error_description", str(refusal))) from None
        return json.loads(text) if text else None


class Mailbox:
    """What arrives for one address or number, each message handed out once, in the order they came."""

    def __init__(self, genkan: Genkan, to: str) -> None:
        self._genkan = genkan
        self._to = to
        before = genkan.messages(to)
        self._last = before[0].id if before else ""

    def next(self, *, seconds: int = 10) -> Message:
        """
        The next message, waited for.

        Raises: `NoMessage`.
        """
        waiting = self._genkan.wait(self._to, after=self._last, seconds=seconds)
        if not waiting:
            raise NoMessage(f"Nothing arrived for {self._to} within {seconds} seconds.")
        self._last = waiting[-1].id
        return waiting[-1]

    def code(self, *, seconds: int = 10) -> str:
        """
        The code of the next message.

        Raises: `NoMessage`: it holds none, too.
        """
        message = self.next(seconds=seconds)
        if message.code is None:
            raise NoMessage(f"The message to {self._to} holds no code: {message.subject or message.text}")
        return message.code


def _messages(answer: Any) -> list[Message]:
    return [Message(**message) for message in answer["messages"]]
