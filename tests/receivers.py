"""A receiver of webhooks: a real HTTPS server on a port of this machine, whose answers a test says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme


@dataclass
class Says:
    """An answer."""

    body: bytes = b""
    status: int = 200
    type: str = "application/json"
    after: float = 0.0
    """Seconds."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Called:
    """A call."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """What it says under each path, and what it has heard."""

    port: int = 0
    ca_file: Path = Path()
    answers: dict[str, Says | list[Says]] = field(default_factory=dict)
    """A list is used up; its last answer stays."""
    calls: list[Called] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def of(self, path: str) -> list[Called]:
        """The calls of a path."""
        return [call for call in self.calls if call.path == path]


def action(data: str, kind: str, **members: Any) -> Says:
    """An answer with one action."""
    return Says(answer(data, {"@odata.type": f"microsoft.graph.{kind}", **members}))


def answer(data: str, *actions: dict[str, Any]) -> bytes:
    """The body of an answer."""
    return json.dumps({"data": {"@odata.type": f"microsoft.graph.{data}", "actions": actions}}).encode()


def goes_on(hook: str) -> Says:
    """Nothing to add: `hook` is `OtpSend`, `attributeCollectionStart` or `attributeCollectionSubmit`."""
    return action(f"on{hook[:1].upper()}{hook[1:]}ResponseData", f"{hook}.continueWithDefaultBehavior")


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """A receiver for the length of a block."""
    receiver = Receiver(ca_file=folder / "receivers.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(receiver.ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.calls.append(Called(self.path, headers, self.rfile.read(length)))
            said = receiver.answers.get(self.path, Says(status=404))
            if isinstance(said, list):
                said = said.pop(0) if len(said) > 1 else said[0]
            time.sleep(said.after)
            self.send_response(said.status)
            self.send_header("content-type", said.type)
            self.send_header("content-length", str(len(said.body)))
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # Whoever called did not wait, or did not trust it.
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
