"""
A real `genkan dev` process and the small client that tests speak to it with.

Everything goes over HTTP, as another team's tests would do it.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.canaries import Marks

BOTH = "mfa_required registration_required"
"""Both capabilities an app may declare."""


@dataclass
class Server:
    """One running process."""

    process: subprocess.Popen[str]
    told: dict[str, Any]
    """The line that it printed when it was ready."""
    http: httpx2.Client
    data: Path
    """Its folder."""
    marks: Marks = field(default_factory=Marks)
    """The secrets that went over the wire; none of them may be written anywhere (LOG-02)."""

    @property
    def log(self) -> str:
        """What it has written to standard error, in this and in earlier lives."""
        return (self.data.parent / f"{self.data.name}.log").read_text()

    @property
    def base(self) -> str:
        return str(self.told["base_url"])

    @property
    def otp_app(self) -> str:
        return str(self.told["apps"]["otp"])

    @property
    def password_app(self) -> str:
        return str(self.told["apps"]["password"])

    @property
    def scope(self) -> str:
        return str(self.told["api"]["scope"])

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        """POST a form to an endpoint of the demo tenant."""
        return Reply.of(self.http.post(f"{self.base}/dev{path}", data=form, headers=dict(headers or {})))

    def advance(self, seconds: float) -> None:
        """Move the server's clock."""
        answer = self.http.post(f"{self.base}/dev/clock", json={"advance_seconds": seconds})
        assert answer.status_code == 200, answer.text

    def reset(self) -> None:
        assert self.http.post(f"{self.base}/dev/reset").status_code == 200

    def messages(self, to: str) -> list[dict[str, Any]]:
        """What has arrived for an address or number, newest first."""
        answer = self.http.get(f"{self.base}/dev/inbox/messages", params={"to": to})
        return list(answer.json()["messages"])

    def code(self, to: str, purpose: str, after: str | None = None) -> str:
        """The newest code of a purpose, waited for."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [m for m in self.messages(to) if m["purpose"] == purpose and m["id"] != after]
            if found:
                return str(found[0]["code"])
            time.sleep(0.01)
        raise AssertionError(f"no {purpose} code arrived for {to}: {self.messages(to)}")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stop(self) -> None:
        """Ask it to stop, and see what it has left behind."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=15)
        self.marks.check(self.data.parent / f"{self.data.name}.log", self.data)


@dataclass
class Reply:
    """An answer, decoded."""

    status: int
    body: dict[str, Any]
    headers: httpx2.Headers
    token: str = field(default="")

    @classmethod
    def of(cls, response: httpx2.Response) -> Reply:
        body = response.json()
        return cls(response.status_code, body, response.headers, str(body.get("continuation_token", "")))

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    @property
    def error(self) -> tuple[str, str, int]:
        """(error, suberror, first code); ("", "", 0) for a success."""
        if "error" not in self.body:
            return ("", "", 0)
        return (self.body["error"], self.body.get("suberror", ""), self.body["error_codes"][0])

    def ok(self) -> Reply:
        assert self.status == 200, self.body
        return self


def start(
    data: Path,
    *arguments: str,
    port: int = 0,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start a process on this folder, by this interpreter, and wait for its line."""
    with (data.parent / f"{data.name}.log").open("a") as log:
        process = subprocess.Popen(
            [
                python,
                "-m",
                "genkan",
                "dev",
                "--port",
                str(port),
                "--json",
                "--data",
                str(data),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "", **(environment or {})},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"genkan dev did not start: {(data.parent / f'{data.name}.log').read_text()[-2000:]}"
    told = json.loads(line)
    verify = ssl.create_default_context(cafile=told["ca_file"]) if "ca_file" in told else True
    server = Server(process, told, httpx2.Client(timeout=30, verify=verify), data)
    server.marks.tokens.add(told["admin"]["client_secret"])
    server.marks.listen(server.http)
    return server


@contextmanager
def running(data: Path, *arguments: str, python: str = sys.executable) -> Iterator[Server]:
    """A process for the length of a block."""
    server = start(data, *arguments, python=python)
    try:
        yield server
    finally:
        server.http.close()
        try:
            if server.process.poll() is None:
                server.stop()
        finally:
            if server.process.stdout is not None:
                server.process.stdout.close()


def new_address() -> str:
    return f"ada.{uuid.uuid4().hex[:12]}@example.com"


def new_number() -> str:
    """A number that is possible (some that begin +4479 are not) and that nobody else in this run uses."""
    return f"+4478{uuid.uuid4().int % 10**8:08d}"


# Journeys. ------------------------------------------------------------------------------------------


def sign_up_by_code(server: Server, address: str) -> Reply:
    """A new account by e-mail code; the answer of the last `continue`."""
    start = server.post(
        "/signup/v1.0/start",
        client_id=server.otp_app,
        username=address,
        challenge_type="oob redirect",
        capabilities=BOTH,
    ).ok()
    sent = server.post(
        "/signup/v1.0/challenge", client_id=server.otp_app, continuation_token=start.token
    ).ok()
    code = server.code(address, "sign_up")
    return server.post(
        "/signup/v1.0/continue",
        client_id=server.otp_app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=code,
    ).ok()


def first_factor_by_code(server: Server, address: str, scope: str, capabilities: str = BOTH) -> Reply:
    """Sign in by e-mail code up to and including the first token call."""
    seen = {m["id"] for m in server.messages(address)}
    begun = server.post(
        "/oauth2/v2.0/initiate",
        client_id=server.otp_app,
        username=address,
        challenge_type="oob redirect",
        capabilities=capabilities,
    ).ok()
    sent = server.post(
        "/oauth2/v2.0/challenge", client_id=server.otp_app, continuation_token=begun.token
    ).ok()
    code = newest(server, address, "sign_in", seen)
    return server.post(
        "/oauth2/v2.0/token",
        client_id=server.otp_app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=code,
        scope=scope,
    )


def newest(server: Server, to: str, purpose: str, seen: set[str]) -> str:
    """The code of the first message that is not among those seen."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [m for m in server.messages(to) if m["purpose"] == purpose and m["id"] not in seen]
        if found:
            return str(found[0]["code"])
        time.sleep(0.01)
    raise AssertionError(f"no new {purpose} code arrived for {to}")


def register_phone(server: Server, token: str, number: str) -> Reply:
    """Register a phone in a flow that waits for it; the answer of `register/continue`."""
    client = server.otp_app
    listed = server.post("/register/v1.0/introspect", client_id=client, continuation_token=token).ok()
    sent = server.post(
        "/register/v1.0/challenge",
        client_id=client,
        continuation_token=listed.token,
        challenge_type="oob",
        challenge_target=number,
        challenge_channel="sms",
    ).ok()
    code = server.code(number, "enrol")
    return server.post(
        "/register/v1.0/continue", client_id=client, continuation_token=sent.token, grant_type="oob", oob=code
    ).ok()
