"""The sample receiver, run as its page says, and asked by a real `genkan dev`."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samples.webhook_receiver.receiver import Verifier
from tests.server import Server, new_address, sign_up_by_code, start

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/ask-your-own-service.md"


def blocks() -> list[str]:
    """The commands of the page."""
    return re.findall(r"^```\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, Path, int]]:
    """A server that may call the port that the receiver is to listen on, and where the certificate is."""
    if shutil.which("openssl") is None:
        pytest.fail("openssl makes the certificate of this test; install it")
    port = free_port()
    made = subprocess.run(
        ["bash", "-c", blocks()[0]], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert made.returncode == 0, made.stderr
    running = start(
        tmp_path / "data",
        environment={
            "GENKAN_WEBHOOK_HOSTS": f"localhost:{port}",
            "GENKAN_WEBHOOK_AUTHORITIES": str(tmp_path / "receiver.pem"),
        },
    )
    yield running, tmp_path, port
    running.http.close()
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


def id_token(server: Server, address: str) -> dict[str, object]:
    """The claims of a sign-up's ID token; what is said instead where there is none."""
    done = sign_up_by_code(server, address)
    answer = server.post(
        "/oauth2/v2.0/token",
        client_id=server.otp_app,
        continuation_token=done.token,
        grant_type="continuation_token",
        scope="openid offline_access",
    )
    if answer.status != 200:
        return answer.body
    part = answer["id_token"].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_the_commands_of_the_page_let_the_receiver_add_claims_and_its_end_stops_sign_ins(
    server: tuple[Server, Path, int],
) -> None:
    running, folder, port = server
    admin = running.told["admin"]
    token = running.http.post(
        f"{running.base}/dev/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": admin["client_id"],
            "client_secret": admin["client_secret"],
            "scope": "https://graph.microsoft.com/.default",
        },
    ).json()["access_token"]
    commands = blocks()[2].replace("localhost:8443", f"localhost:{port}")
    script = f'{commands}\nprintf %s "$WEBHOOK_SECRET" > secret'

    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "TOKEN": token,
            "GENKAN": running.base,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    receiver = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "samples/webhook_receiver/receiver.py"),
            "--certificate",
            "receiver.pem",
            "--key",
            "receiver.key",
            "--port",
            str(port),
        ],
        cwd=folder,
        env={**os.environ, "WEBHOOK_SECRET": (folder / "secret").read_text()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert receiver.stdout is not None
        assert "Listening" in receiver.stdout.readline()
        claims = id_token(running, new_address())
    finally:
        receiver.terminate()
        receiver.wait(10)
        assert receiver.stdout is not None
        receiver.stdout.close()
    refused = id_token(running, new_address())

    assert (claims["tier"], claims["shops"]) == ("gold", ["north", "south"])
    assert refused["error_codes"] == [1003001]


@pytest.mark.proves("WHK-03")
def test_the_receiver_believes_no_altered_late_or_foreign_call_and_knows_a_repeated_one() -> None:
    # The example of Standard Webhooks 1.0 and of its libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    verifier = Verifier(secret)
    now = time.time()
    body, moment = b'{"test": 2432232314}', str(int(now))

    def signed(by: str = secret, at: str = moment, of: bytes = body) -> dict[str, str]:
        import hmac

        key = base64.b64decode(by.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + of, "sha256")).decode()
        return {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{digest}"}

    other = "whsec_" + base64.b64encode(b"another secret of 24 by.").decode()

    assert verifier.is_right(signed(), body, now)
    assert Verifier(other, secret).is_right(signed(), body, now)
    assert not verifier.is_right(signed(other), body, now)
    assert not verifier.is_right(signed(), body + b" ", now)
    assert not verifier.is_right(signed(at=str(int(now) - 301)), body, now)
    assert not verifier.is_right({**signed(), "webhook-id": "msg_2"}, body, now)
    assert not verifier.is_right({}, body, now)
    assert [verifier.is_new("msg_1", now + n) for n in (0, 1)] == [True, False]
