"""
A small receiver of Genkan's webhooks: it says what a tier a customer has, and turns away addresses it does not like.

It believes a call only when the signature over id, time and body is right, the time is near, and the id is new; and
answers within the two seconds that it has. To see it at work: docs/how-to/ask-your-own-service.md

    python samples/webhook_receiver/receiver.py --certificate server.pem --key server.key

The secret is in the variable WEBHOOK_SECRET, or two of them with a blank between while one is rotated.
Needs nothing but Python. Source: Standard Webhooks 1.0; Microsoft's custom authentication extensions.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import json
import os
import ssl
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NEAR_SECONDS = 300
"""How far the time of a call may be from ours."""
LONGEST_BODY = 64 * 1024


class Verifier:
    """Says whether a call is Genkan's, and whether it is the first time that it comes."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._seen: dict[str, float] = {}

    def is_right(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """The signature is right and the time is near."""
        id, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not moment.isdecimal() or abs(now - int(moment)) > NEAR_SECONDS:
            return False
        content = f"{id}.{moment}.".encode() + body
        given = headers.get("webhook-signature", "").split(" ")
        expected = (
            "v1," + base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
            for secret in self._secrets
        )
        return any(hmac.compare_digest(one, other) for one in expected for other in given)

    def is_new(self, id: str, now: float) -> bool:
        """No call had this id yet. Genkan repeats a call under the same one where it heard no answer."""
        self._seen = {known: at for known, at in self._seen.items() if now - at <= 2 * NEAR_SECONDS}
        return self._seen.setdefault(id, now) == now


def answer(event: Mapping[str, Any], *, is_new: bool) -> dict[str, Any]:
    """What is said to an event: a response type, and one action."""
    data = event["data"]
    match event["type"]:
        case "microsoft.graph.authenticationEvent.tokenIssuanceStart":
            paid = data["authenticationContext"]["user"]["mail"].endswith("@example.com")
            claims = {"tier": "gold" if paid else "none", "shops": ["north", "south"]}
            return _one("onTokenIssuanceStart", "tokenIssuanceStart.provideClaimsForToken", claims=claims)
        case "microsoft.graph.authenticationEvent.attributeCollectionSubmit":
            address = data["userSignUpInfo"]["identities"][0]["issuerAssignedId"]
            if address.endswith("@example.net"):
                refused = {"title": "Sorry", "message": "We serve no customers of example.net."}
                return _one(
                    "onAttributeCollectionSubmit", "attributeCollectionSubmit.showBlockPage", **refused
                )
            return _one(
                "onAttributeCollectionSubmit", "attributeCollectionSubmit.continueWithDefaultBehavior"
            )
        case "microsoft.graph.authenticationEvent.emailOtpSend":
            context = data["otpContext"]
            if is_new:  # Here your own service would send it. Print no codes anywhere else.
                print(f"To {context['identifier']}: your code is {context['oneTimeCode']}", flush=True)
            return _one("OnOtpSend", "OtpSend.continueWithDefaultBehavior")
    raise KeyError(event["type"])


def _one(response: str, action: str, **members: Any) -> dict[str, Any]:
    kind = f"microsoft.graph.{response}ResponseData"
    return {
        "data": {"@odata.type": kind, "actions": [{"@odata.type": f"microsoft.graph.{action}", **members}]}
    }


def handler(verifier: Verifier) -> type[BaseHTTPRequestHandler]:
    """The HTTP of it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(min(length, LONGEST_BODY))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not verifier.is_right(headers, body, time.time()):
                return self._say(401, {"error": "not signed for us"})
            try:
                is_new = verifier.is_new(headers["webhook-id"], time.time())
                return self._say(200, answer(json.loads(body), is_new=is_new))
            except (KeyError, ValueError):
                return self._say(400, {"error": "no such event"})

        def _say(self, status: int, value: Mapping[str, Any]) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Log nothing: a log of requests is no place for people's addresses."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description="A receiver of Genkan's webhooks.")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    given = parser.parse_args()
    verifier = Verifier(*os.environ["WEBHOOK_SECRET"].split())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.certificate, given.key)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler(verifier))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"Listening on https://localhost:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
