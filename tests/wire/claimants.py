"""Somebody at the emergency door: a claim key, and what they can show."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey

from genkan.engine.emergency.case import Emergency
from genkan.engine.transaction import Loaded, Needs
from tests.server import Reply, newest
from tests.wire.journeys import PASSWORD, ids
from tests.wire.servers import World

ROOT = "/dev/emergency/v1.0"
LOST = {"everything_on_my_phone": True}


class Claimant:
    """One person's attempt on one account, by an app of the demo tenant."""

    def __init__(self, world: World, address: str, client: str = "") -> None:
        self.world, self.address = world, address
        self.client = client or world.password_app
        self.key = ECKey.generate_key("P-256")
        self.case = ""

    def proof(self, path: str, **said: Any) -> str:
        """A proof that this request comes from whoever has the key."""
        claims = {
            "jti": str(uuid4()),
            "htm": "POST",
            "htu": self.world.base + path,
            "iat": datetime.now(UTC).timestamp(),
            **said,
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims), self.key, registry=registry)

    def post(
        self, call: str, dpop: str | None = None, headers: dict[str, str] | None = None, **body: Any
    ) -> Reply:
        return Reply.of(self.response(call, dpop, headers, **body))

    def response(
        self, call: str, dpop: str | None = None, headers: dict[str, str] | None = None, **body: Any
    ) -> httpx2.Response:
        path = f"{ROOT}/{call}"
        sent = {"content-type": "application/json", "dpop": dpop or self.proof(path), **(headers or {})}
        content = json.dumps({"client_id": self.client, **body}).encode()
        return self.world.http.post(self.world.base + path, headers=sent, content=content)

    def started(self) -> str:
        jwk = self.key.as_dict(private=False)
        return self.post("start", username=self.address, claim_jwk=jwk).ok().token

    def challenged(self, method: str) -> Reply:
        return self.post("challenge", continuation_token=self.started(), method=method)

    def code_asked(self, method: str = "email", to: str = "") -> tuple[str, str]:
        """A token, and the code that has arrived."""
        to = to or self.address
        seen = ids(self.world, to)
        asked = self.challenged(method).ok()
        return asked.token, newest(self.world, to, "emergency", seen)

    def contain(self, token: str, proof: dict[str, Any], lost: dict[str, Any] = LOST, **more: Any) -> Reply:
        answer = self.post("contain", continuation_token=token, proof=proof, lost=lost, **more)
        self.case = str(answer.body.get("case_id", self.case))
        return answer

    def contain_by_password(self, text: str = PASSWORD, lost: dict[str, Any] = LOST) -> Reply:
        return self.contain(self.started(), {"method": "password", "password": text}, lost)

    def contain_by_mail(self, lost: dict[str, Any] = LOST) -> Reply:
        token, code = self.code_asked()
        return self.contain(token, {"method": "email", "oob": code}, lost)

    def contain_by_paper(self, code: str, method: str = "recovery_code") -> Reply:
        return self.contain(self.started(), {"method": method, "code": code})

    def say(self, name: str, **body: Any) -> Reply:
        """Something in one's case."""
        return self.post(name, case_id=self.case, **body)

    def show(self, proof: dict[str, Any]) -> Reply:
        """An item for which nothing has to be asked of anybody."""
        begun = self.say("evidence/begin", type=proof["method"]).ok()
        return self.post("evidence/finish", evidence_id=begun["evidence_id"], proof=proof)

    def complete(self, proof: dict[str, Any]) -> Reply:
        """The strongest item, shown again."""
        begun = self.say("evidence/begin", type=proof["method"]).ok()
        return self.post("recovery/complete", evidence_id=begun["evidence_id"], proof=proof)

    def loaded(self) -> Loaded:
        needs = Needs(subject=self.world.subject(self.address).id, whole=True, reserve=True)
        return self.world.run(self.world.store.read(needs))

    @property
    def emergency(self) -> Emergency:
        return self.loaded().emergency
