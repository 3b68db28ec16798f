"""
Providers' APIs on real sockets: each speaks HTTP as its provider does, and can be told what to say or how to fail.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

from genkan.delivery.sigv4 import Credentials, signed
from genkan.model import Secret
from genkan.settings import HttpSms, Sns, Twilio, Vonage
from tests.delivery.sockets import listening

SECRET = "provider-secret-canary"
NOW = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)

Fate = Literal["", "silence", "close", "late"]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"


@dataclass
class Server:
    """A small HTTP server. `fate` says how it fails once it has read a whole request."""

    answer: Callable[[Request], Reply]
    fate: Fate = ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _read(reader)
            self.requests.append(request)
            reply = self.answer(request)
            if self.fate == "close":
                return
            if self.fate == "silence":
                await asyncio.sleep(60)
            if self.fate == "late":
                await asyncio.sleep(0.5)
            body = reply.body.encode()
            head = {"Content-Type": reply.kind, "Content-Length": str(len(body)), **reply.headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            writer.write(f"HTTP/1.1 {reply.status} Said\r\n{lines}\r\n".encode() + body)
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def serving(answer: Callable[[Request], Reply]) -> AsyncIterator[Server]:
    """A server for the length of a block."""
    server = Server(answer)
    async with listening(server.talk) as server.port:
        yield server


# Twilio. --------------------------------------------------------------------------------------------

ACCOUNT = "AC00000000000000000000000000000000"


def twilio_settings(server: Server, **changes: Any) -> Twilio:
    settings = {
        "account_sid": ACCOUNT,
        "secret": Secret(SECRET),
        "sender": "+447700900000",
        "url": server.url,
        "timeout": 20,
    }
    return Twilio(**{**settings, **changes})


def twilio_error(status: int, code: int, **headers: str) -> Reply:
    body = {
        "code": code,
        "message": f"The 'To' number +447812345678 is not what it should be ({code})",
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Reply(status, json.dumps(body), headers)


def twilio(request: Request) -> Reply:
    """What Twilio says when all is right, and what it says of wrong credentials."""
    user, _, secret = (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    )
    if (user, secret) not in ((ACCOUNT, SECRET), ("SK0", SECRET)):
        return twilio_error(401, 20003)
    if (request.method, request.path) != ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"):
        return twilio_error(404, 20404)
    if not request.form.get("To", "").startswith("+"):
        return twilio_error(400, 21211)
    sid = f"SM{len(request.body):032x}"
    return Reply(201, json.dumps({"sid": sid, "status": "queued", "error_code": None, "num_segments": "1"}))


# Vonage. --------------------------------------------------------------------------------------------


def vonage_settings(server: Server, **changes: Any) -> Vonage:
    settings = {
        "api_key": "abcd1234",
        "secret": Secret(SECRET),
        "sender": "Contoso",
        "url": server.url,
        "timeout": 20,
    }
    return Vonage(**{**settings, **changes})


def vonage_says(*states: str) -> Reply:
    """One part of a message for each state."""
    parts = [
        {
            "to": "447812345678",
            "message-id": f"0C00{n}",
            "status": "0",
            "message-price": "0.03",
            "network": "23410",
        }
        if state == "0"
        else {"status": state, "error-text": f"Number 447812345678 {state}"}
        for n, state in enumerate(states)
    ]
    return Reply(200, json.dumps({"message-count": str(len(parts)), "messages": parts}))


def vonage(request: Request) -> Reply:
    form = request.form
    if (request.method, request.path) != ("POST", "/sms/json"):
        return Reply(404, "not found", kind="text/plain")
    if (form.get("api_key"), form.get("api_secret")) != ("abcd1234", SECRET):
        return vonage_says("4")
    if not {"to", "from", "text"} <= form.keys():
        return vonage_says("2")
    return vonage_says("0")


# Amazon SNS. ----------------------------------------------------------------------------------------


def sns_settings(server: Server, **changes: Any) -> Sns:
    settings = {
        "region": "eu-central-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret": Secret(SECRET),
        "url": f"{server.url}/",
        "timeout": 20,
    }
    return Sns(**{**settings, **changes})


def sns_error(status: int, code: str, kind: str = "Sender") -> Reply:
    body = (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>'
        f"<Type>{kind}</Type><Code>{code}</Code><Message>Invalid: +447812345678</Message></Error>"
        "<RequestId>9dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId></ErrorResponse>"
    )
    return Reply(status, body, kind="text/xml")


def sns(request: Request) -> Reply:
    """What SNS says of a request that is signed as it must be, and of any other."""
    given = request.headers.get("authorization", "")
    token = request.headers.get("x-amz-security-token")
    who = Credentials(
        access_key_id="AKIDEXAMPLE", secret=Secret(SECRET), session_token=Secret(token) if token else None
    )
    wanted = signed(
        "POST",
        f"http://{request.headers['host']}{request.path}",
        {"Content-Type": request.headers["content-type"]},
        request.body,
        who,
        "eu-central-1",
        "sns",
        datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
    )["Authorization"]
    if given != wanted:
        return sns_error(403, "SignatureDoesNotMatch")
    if request.form.get("Action") != "Publish" or request.form.get("Version") != "2010-03-31":
        return sns_error(400, "InvalidAction")
    body = (
        '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
        "<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult>"
        "<ResponseMetadata><RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata>"
        "</PublishResponse>"
    )
    return Reply(200, body, kind="text/xml")


# Any other. -----------------------------------------------------------------------------------------


def http_settings(server: Server, **changes: Any) -> HttpSms:
    settings = {
        "url": f"{server.url}/v1/messages",
        "authorization": Secret(f"Bearer {SECRET}"),
        "reference": "data.id",
        "timeout": 20,
    }
    return HttpSms(**{**settings, **changes})


def any_http(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Bearer {SECRET}":
        return Reply(401, "{}")
    return Reply(202, json.dumps({"data": {"id": "msg-1"}}))
