"""Two administrators, at two keyboards and over HTTP: one asks by doing it, the other approves, the first does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from genkan.service import demo
from tests.cli.conftest import Command
from tests.server import Server, start

POLICY = "The demo API needs a second factor"


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch, genkan: Command) -> Command:
    """Ada at her keyboard, where two have to agree."""
    monkeypatch.setenv("LOGNAME", "ada")
    genkan("tenant", "update", "--set", "dual_control=true").ok()
    return genkan


@pytest.mark.proves("ADM-06")
def test_one_asks_another_approves_and_then_it_is_done(ada: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    off = ("policy", "update", POLICY, "--state", "off", "--yes")
    no = ada(*off).no()
    (waits,) = ada("approval", "list", "--json").lines()
    assert waits["id"] in no
    assert (waits["askedBy"], waits["status"], waits["targetDisplayName"]) == ("ada", "waiting", POLICY)
    assert waits["modifiedProperties"][0]["newValue"] == '"disabled"'
    assert ada("approval", "approve", waits["id"]).no() == (
        "You asked for it: another administrator has to approve it."
    )
    monkeypatch.setenv("LOGNAME", "bob")
    assert waits["id"] in ada("approval", "list").ok().out
    assert ada(*off).no() != no  # What Bob asks for is his own.
    said = ada("approval", "approve", waits["id"], "--reason", "as agreed").ok().out
    assert said.startswith(f"Approved: Update conditional access policy, {POLICY}. ada can do it until ")
    monkeypatch.setenv("LOGNAME", "ada")
    ada(*off).ok()
    (entry,) = [one for one in ada("logs", "audits", "--json").lines() if "approved_by" in str(one)]
    assert "operator:bob" in str(entry)


@pytest.mark.proves("ADM-06")
@pytest.mark.parametrize(
    "words",
    [
        ("tenant", "update", "--set", "audit_retention=30d"),
        ("tenant", "update", "--set", "dual_control=false"),
        ("tenant", "delete", "dev", "--yes"),
        ("policy", "delete", POLICY, "--yes"),
    ],
)
def test_alone_nobody_does_it(ada: Command, words: tuple[str, ...]) -> None:
    assert "A second administrator has to approve this" in ada(*words).no()
    assert ada("tenant", "show", "--json").lines()[0]["settings"]["dual_control"] is True
    assert POLICY in ada("policy", "list").ok().out


def test_a_mistake_is_told_in_a_sentence(ada: Command) -> None:
    assert ada("approval", "list").ok().out.strip() == "Nothing waits."
    assert "Nothing waits for approval as nothing" in ada("approval", "refuse", "nothing").no()
    assert "1024 characters" in ada("approval", "refuse", "nothing", "--reason", "x" * 1025).no()


class Desk:
    """An administration client of its own."""

    def __init__(self, server: Server, id: str, secret: str) -> None:
        self._server = server
        form: dict[str, Any] = {
            "grant_type": "client_credentials",
            "client_id": id,
            "client_secret": secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        told = server.post("/oauth2/v2.0/token", **form).ok()
        self._bearer = {"authorization": f"Bearer {told['access_token']}"}

    def __call__(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        url = f"{self._server.base}/v1.0{path}"
        return self._server.http.request(method, url, json=body, headers=self._bearer)


@pytest.mark.proves("ADM-06")
def test_two_clients_over_http(genkan: Command, folder: Path) -> None:
    made: dict[str, tuple[str, str]] = {}
    for name, role in (("Bob", "Approval.ReadWrite.All"), ("Looker", "Approval.Read.All")):
        id = genkan("app", "create", name, "--json").lines()[0]["appId"]
        made[name] = id, genkan("app", "add-secret", id, "--json").lines()[0]["secretText"]
        genkan("app", "grant", id, role).ok()
    genkan("tenant", "update", "--set", "dual_control=true").ok()
    server = start(folder)
    try:
        told = server.told["admin"]
        ada = Desk(server, told["client_id"], told["client_secret"])
        bob, looker = (Desk(server, *made[name]) for name in ("Bob", "Looker"))
        at = f"/identity/conditionalAccess/policies/{demo.POLICY}"
        assert ada("GET", at).json()["state"] == "enabled"
        asked = ada("PATCH", at, {"state": "disabled"})
        assert (asked.status_code, asked.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
        (detail,) = asked.json()["error"]["details"]
        assert detail["code"] == "ApprovalRequired"
        waits = f"/genkan/approvals/{detail['target']}"
        own = ada("POST", f"{waits}/approve", {"reason": "mine"})
        assert (own.status_code, own.json()["error"]["message"]) == (
            403,
            "You asked for it: another administrator has to approve it.",
        )
        listed = looker("GET", "/genkan/approvals?$filter=status eq 'waiting'").json()["value"]
        assert [one["id"] for one in listed] == [detail["target"]]
        assert looker("GET", waits).json()["targetId"] == demo.POLICY
        assert looker("POST", f"{waits}/approve").status_code == 403  # It may look, and no more.
        assert bob("PATCH", at, {"state": "disabled"}).status_code == 403  # It may approve, and no more.
        assert bob("POST", f"{waits}/approve", {"why": "x"}).status_code == 400
        assert ada("PATCH", at, {"state": "disabled"}).status_code == 403
        assert ada("GET", at).json()["state"] == "enabled"
        judged = bob("POST", f"{waits}/approve", {"reason": "as agreed"}).json()
        assert (judged["status"], judged["judgedBy"], judged["reason"]) == ("approved", "Bob", "as agreed")
        assert bob("POST", f"{waits}/refuse").status_code == 412
        assert ada("PATCH", at, {"state": "disabled"}).status_code == 204
        assert ada("GET", at).json()["state"] == "disabled"
        changed = ada("GET", "/auditLogs/directoryAudits?$top=1").json()["value"][0]
        assert changed["additionalDetails"] == [{"key": "approvedBy", "value": "Bob"}]
        assert bob("GET", waits).status_code == 404
    finally:
        server.http.close()
        server.stop()
        if server.process.stdout is not None:
            server.process.stdout.close()
