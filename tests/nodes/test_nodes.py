"""Nodes that share one PostgreSQL act as one server: no affinity, no second use, and one may die or stand still."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import jwt
import pytest

from genkan.bootstrap import FOLLOWED_EVERY
from genkan.service.demo import SECURITY_INFO_SCOPE as SECURITY_INFO
from genkan.store import postgres as store
from tests import postgres
from tests.nodes.farm import TENANT, Farm, Node, a_farm, an_address, challenged, signed_up
from tests.wire.authenticator import Key, b64

pytestmark = pytest.mark.xdist_group("nodes")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with a_farm(tmp_path_factory.mktemp("farm"), postgres.cluster(), 4) as farm:
        yield farm


def redeemed(node: Node, token: str, code: str) -> tuple[int, str]:
    """What an attempt to sign in by a code came to."""
    answer = node.post(
        "/oauth2/v2.0/token",
        continuation_token=token,
        grant_type="oob",
        oob=code,
        scope="openid offline_access",
    )
    return answer.status_code, answer.json().get("suberror") or answer.json().get("error", "")


def test_nodes_that_start_at_once_make_one_schema_and_sign_with_the_same_keys(farm: Farm) -> None:
    time.sleep(
        FOLLOWED_EVERY.total_seconds() * 1.5
    )  # Whoever was first has seen by then what the last one added.

    sets = [node.http.get("/shop/discovery/v2.0/keys").json()["keys"] for node in farm.nodes]

    assert sorted(key["alg"] for key in sets[0]) == ["ES256", "RS256"]
    assert all(keys == sets[0] for keys in sets)


def test_a_flow_begun_on_one_node_ends_on_others_and_so_do_its_refreshes(farm: Farm) -> None:
    tokens = signed_up(farm, an_address(), *farm.nodes)

    for node in cycle(farm.nodes[:3]):
        kid = jwt.get_unverified_header(tokens["id_token"])["kid"]
        [key] = [k for k in node.http.get("/shop/discovery/v2.0/keys").json()["keys"] if k["kid"] == kid]
        jwt.decode(
            tokens["id_token"], jwt.PyJWK(key).key, algorithms=["RS256"], options={"verify_aud": False}
        )
        answer = node.post(
            "/oauth2/v2.0/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"]
        )
        assert answer.status_code == 200, answer.text
        if node is farm.nodes[2]:
            break
        tokens = answer.json()


@pytest.mark.proves("ADM-01")
def test_a_bootstrap_token_shown_at_every_node_at_once_makes_one_administrator(farm: Farm) -> None:
    token = json.loads(farm.command("tenant", "bootstrap", "--json"))["token"]
    bearer = {"authorization": f"Bearer {token}"}

    def register(node: Node) -> int:
        return node.http.post("/shop/oauth2/v2.0/register", json={}, headers=bearer).status_code

    with ThreadPoolExecutor(len(farm.nodes)) as pool:
        answers = sorted(pool.map(register, farm.nodes))

    assert answers == [201, *[401] * (len(farm.nodes) - 1)]
    listed = [json.loads(line) for line in farm.command("app", "list", "--json").splitlines()]
    assert sum(bool(app["permissions"]) for app in listed) == 1


@pytest.mark.proves("OTP-09")
def test_wrong_guesses_through_four_nodes_are_judged_no_more_often_than_the_limit_allows(farm: Farm) -> None:
    address = an_address()
    signed_up(farm, address, *farm.nodes)
    token = challenged(address, *farm.nodes)
    code = farm.mail.code(address, 2)
    guesses = [f"{(int(code) + n) % 10**8:08d}" for n in range(1, 61)]

    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(lambda one: redeemed(one[0], token, one[1]), zip(cycle(farm.nodes), guesses))
        )

    assert [status for status, _ in answers] == [400] * 60
    assert [why for _, why in answers].count("invalid_oob_value") == 5
    assert redeemed(farm.nodes[0], token, code)[0] == 400, "the right code comes too late"


def test_a_code_that_is_right_is_redeemed_once_however_many_nodes_are_asked(farm: Farm) -> None:
    address = an_address()
    signed_up(farm, address, *farm.nodes)
    token = challenged(address, *farm.nodes)
    code = farm.mail.code(address, 2)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda node: redeemed(node, token, code), farm.nodes * 8))

    assert [status for status, _ in answers].count(200) == 1
    assert all(status in (200, 400) for status, _ in answers)


@pytest.mark.proves("CA-03")
def test_a_policy_made_elsewhere_holds_on_every_node_at_the_next_sign_in_and_refresh(farm: Farm) -> None:
    address = an_address()
    tokens = signed_up(farm, address, *farm.nodes)
    token = challenged(address, *farm.nodes)
    code = farm.mail.code(address, 2)
    policy = {
        "displayName": "Nobody",
        "state": "enabled",
        "conditions": {"applications": {"includeApplications": ["All"]}, "users": {"includeUsers": ["All"]},
                       "clientAppTypes": ["all"]},
        "grantControls": {"operator": "OR", "builtInControls": ["block"]},
    }  # fmt: skip
    (farm.folder / "policy.json").write_text(json.dumps(policy))

    farm.command("policy", "create", str(farm.folder / "policy.json"))
    try:
        refreshed = [
            node.post("/oauth2/v2.0/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
            for node in farm.nodes
        ]
        signed_in = redeemed(farm.nodes[3], token, code)
    finally:
        farm.command("policy", "delete", "Nobody", "--yes")

    assert [answer.status_code for answer in refreshed] == [400] * 4
    assert signed_in[0] == 400
    assert [53003 in answer.json()["error_codes"] for answer in refreshed] == [True] * 4


def test_a_rotation_of_keys_reaches_every_node_in_seconds(farm: Farm) -> None:
    before = farm.nodes[0].http.get("/shop/discovery/v2.0/keys").json()["keys"]
    farm.command("keys", "rotate", "--yes")

    deadline = time.monotonic() + 20
    for node in farm.nodes:
        while len(keys := node.http.get("/shop/discovery/v2.0/keys").json()["keys"]) == len(before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {key["kid"] for key in before} < {key["kid"] for key in keys}


def test_when_a_node_dies_in_the_middle_of_a_flow_another_ends_it(farm: Farm) -> None:
    doomed, other = farm.begin(), farm.nodes[0]
    doomed.wait_until_ready()
    address = an_address()
    signed_up(farm, address, other)
    token = challenged(address, doomed)
    code = farm.mail.code(address, 2)

    doomed.kill()
    doomed.http.close()
    farm.nodes.remove(doomed)  # Nobody else is to ask it.

    assert redeemed(other, token, code)[0] == 200


HOLDER = """
import sys, time
from genkan.store.postgres import Database
with Database(sys.argv[1]).writing(sys.argv[2]):
    print("holding", flush=True)
    time.sleep(60)
"""


def test_a_process_that_stands_still_while_it_writes_is_put_out_and_the_others_go_on(farm: Farm) -> None:
    address = an_address()
    signed_up(farm, address, *farm.nodes)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, farm.url, TENANT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"holding\n"
        holder.send_signal(signal.SIGSTOP)
        before = time.monotonic()
        challenged(address, *farm.nodes)
        waited = time.monotonic() - before
    finally:
        holder.kill()
        holder.communicate()

    assert waited < store.IDLE.total_seconds() + store.LOCK.total_seconds()


def test_when_the_database_restarts_nothing_is_lost_and_nobody_has_to_restart_a_node(tmp_path: Path) -> None:
    cluster = postgres.Cluster()
    with a_farm(tmp_path, cluster, 2) as farm:
        address = an_address()
        signed_up(farm, address, *farm.nodes)
        token = challenged(address, *farm.nodes)
        code = farm.mail.code(address, 2)

        cluster.kill()
        answers = [redeemed(node, token, code) for node in farm.nodes]
        listed = [node.http.get("/shop/discovery/v2.0/keys").status_code for node in farm.nodes]
        unready = [node.http.get("/readyz") for node in farm.nodes]
        alive = [node.http.get("/healthz").status_code for node in farm.nodes]
        cluster.start()

        assert answers == [(503, "temporarily_unavailable")] * 2
        assert listed == alive == [200, 200]
        assert [answer.status_code for answer in unready] == [503, 503]
        assert unready[0].json()["why"] == ["a database does not answer"]
        assert [node.http.get("/readyz").status_code for node in farm.nodes] == [200, 200]
        assert redeemed(farm.nodes[0], token, code)[0] == 200
        assert redeemed(farm.nodes[1], token, code)[0] == 400
    cluster.remove()


@pytest.mark.proves("WAN-01")
def test_what_a_passkey_has_signed_counts_once_however_many_nodes_are_shown_it(farm: Farm) -> None:
    farm.command("app", "update", "Shop", "--asks", SECURITY_INFO)
    time.sleep(FOLLOWED_EVERY.total_seconds() * 1.5)
    address, origin, key = an_address(), "https://login.example.com", Key("login.example.com")
    first, second, *_ = farm.nodes
    bearer = {
        "authorization": f"Bearer {signed_up(farm, address, *farm.nodes, scope=SECURITY_INFO)['access_token']}"
    }

    def own(node: Node, path: str, body: object) -> dict[str, Any]:
        answer = node.http.post(f"/shop/emergency/v1.0/me/passkeys/{path}", json=body, headers=bearer)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    made = key.made(own(first, "begin", {})["public_key"], origin)
    own(second, "finish", {"credential": made, "name": "Blue key"})
    types = "webauthn oob redirect"
    token = first.token(first.post("/oauth2/v2.0/initiate", username=address, challenge_type=types))
    asked = second.post("/oauth2/v2.0/challenge", continuation_token=token, challenge_type=types).json()
    signed = json.dumps(key.signed(asked["public_key"], origin))

    def shown(node: Node) -> int:
        form = {"continuation_token": asked["continuation_token"], "credential": signed}
        return node.post("/oauth2/v2.0/token", grant_type="webauthn", **form).status_code

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(shown, farm.nodes * 8))

    assert asked["public_key"]["allowCredentials"] == [{"type": "public-key", "id": b64(key.id)}]
    assert sorted(answers) == [200, *[400] * (len(answers) - 1)]
