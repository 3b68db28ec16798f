"""The drill of a stolen signing key: one command, and every node signs by another within a minute. Real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest

from tests import postgres
from tests.nodes.farm import TENANT, Farm, Node, a_farm, an_address, signed_up

pytestmark = pytest.mark.xdist_group("nodes")

WITHIN = timedelta(seconds=60)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with a_farm(tmp_path_factory.mktemp("rotation"), postgres.cluster(), 3) as farm:
        yield farm


def published(node: Node) -> set[str]:
    keys = node.http.get(f"/{TENANT}/discovery/v2.0/keys").raise_for_status().json()["keys"]
    return {str(key["kid"]) for key in keys}


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.proves("KEY-04")
def test_after_one_command_no_node_publishes_or_uses_a_stolen_key(farm: Farm) -> None:
    before = signed_up(farm, an_address(), *farm.nodes)
    stolen = published(farm.nodes[0])
    assert kid(before["access_token"]) in stolen

    began = time.monotonic()
    farm.command("keys", "rotate", "--compromised", "--yes")
    while any(published(node) & stolen for node in farm.nodes):
        assert time.monotonic() - began < WITHIN.total_seconds()
        time.sleep(0.1)

    # Every family goes on under the new keys: a refresh token is signed by none.
    token = before["refresh_token"]
    for node in farm.nodes:
        answer = node.post("/oauth2/v2.0/token", grant_type="refresh_token", refresh_token=token)
        assert answer.status_code == 200, answer.text
        token = answer.json()["refresh_token"]
        for name in ("access_token", "id_token"):
            if name in answer.json():
                assert kid(answer.json()[name]) in published(node) - stolen
    assert kid(signed_up(farm, an_address(), *farm.nodes)["access_token"]) not in stolen
    assert time.monotonic() - began < WITHIN.total_seconds()
