"""A backup takes the place of a database while nodes serve it: for a moment they refuse, and nothing old comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.nodes.farm import Farm, Node, a_farm, an_address, challenged, signed_up

pytestmark = pytest.mark.xdist_group("nodes")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with a_farm(tmp_path_factory.mktemp("restore"), postgres.cluster(), 2) as farm:
        yield farm


def refreshed(node: Node, token: str) -> int:
    return node.post("/oauth2/v2.0/token", grant_type="refresh_token", refresh_token=token).status_code


@pytest.mark.proves("BKP-02")
def test_nodes_that_serve_meanwhile_bring_nothing_back_and_go_on(farm: Farm, tmp_path: Path) -> None:
    phrase, file = tmp_path / "phrase", tmp_path / "shop.backup"
    phrase.write_text("six random words are more than these\n")
    secret = ("--passphrase-file", str(phrase))
    address, late = an_address(), an_address()
    before = signed_up(farm, address, *farm.nodes)["refresh_token"]
    farm.command("backup", str(file), *secret)
    after = signed_up(farm, late, *farm.nodes)["refresh_token"]
    waiting = challenged(address, *farm.nodes)
    code = farm.mail.code(address, 2)
    assert refreshed(farm.nodes[0], before) == 200
    answers: list[int] = []
    is_over = threading.Event()

    def goes_on(node: Node) -> None:
        """People begin to sign in, all the time."""
        while not is_over.is_set():
            form = {"username": address, "challenge_type": "oob redirect"}
            answers.append(node.post("/oauth2/v2.0/initiate", **form).status_code)

    crowd = [threading.Thread(target=goes_on, args=(node,)) for node in farm.nodes]
    for one in crowd:
        one.start()
    try:
        farm.command("restore", str(file), *secret, "--replace", "--yes")
    finally:
        is_over.set()
        for one in crowd:
            one.join()

    assert {200} <= set(answers) <= {200, 429, 503}
    for node in farm.nodes:
        for token in (before, after):
            assert refreshed(node, token) == 400
        proof = {"continuation_token": waiting, "grant_type": "oob", "oob": code, "scope": "openid"}
        assert node.post("/oauth2/v2.0/token", **proof).status_code == 400
    # Whoever came since is nobody, and may come again; who was there signs in as ever.
    assert signed_up(farm, an_address(), *farm.nodes)["access_token"]
    handle = challenged(address, *farm.nodes)
    proof = {
        "continuation_token": handle,
        "grant_type": "oob",
        "oob": farm.mail.code(address, 3),
        "scope": "openid",
    }
    assert farm.nodes[0].post("/oauth2/v2.0/token", **proof).status_code == 200
    unknown = farm.nodes[1].post("/oauth2/v2.0/initiate", username=late, challenge_type="oob redirect")
    assert unknown.json()["error"] == "user_not_found"
    assert "Whole" in farm.command("logs", "verify")
