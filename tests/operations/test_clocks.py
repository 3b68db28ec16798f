"""A node whose clock is wrong issues nothing, and says so. Real processes on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests import postgres
from tests.nodes.farm import Farm, a_farm, an_address, challenged, signed_up

pytestmark = pytest.mark.xdist_group("nodes")

WRONG = """
import pathlib, sys
from datetime import timedelta
from genkan import bootstrap, cli

file, now = pathlib.Path(sys.argv.pop(1)), bootstrap.Clock.now
bootstrap.Clock.now = lambda clock: now(clock) + timedelta(seconds=float(file.read_text()))
cli.main()
"""
"""`genkan serve`, by a clock that is ahead by so many seconds as stand in a file."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with a_farm(tmp_path_factory.mktemp("clocks"), postgres.cluster(), 1) as farm:
        yield farm


@pytest.mark.proves("TIM-01")
@pytest.mark.parametrize("ahead", [-45, 45])
def test_a_node_half_a_minute_from_its_database_is_not_ready_and_issues_nothing(
    farm: Farm, ahead: int
) -> None:
    right = farm.nodes[0]
    file = farm.folder / f"ahead{ahead}"
    file.write_text(str(ahead))
    wrong = farm.begin(("-c", WRONG, str(file)))
    wrong.wait_until_ready()
    address = an_address()
    tokens = signed_up(farm, address, right)
    handle = challenged(address, right)
    code = farm.mail.code(address, 2)
    redeem = {"continuation_token": handle, "grant_type": "oob", "oob": code, "scope": "openid"}
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    itself = {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"}

    refused = [wrong.post("/oauth2/v2.0/token", **form) for form in (redeem, refresh, itself)]

    assert [answer.status_code for answer in refused] == [503] * 3
    assert not any("token" in answer.json() or "access_token" in answer.json() for answer in refused)
    assert wrong.http.get("/readyz").status_code == 503
    assert wrong.http.get("/healthz").status_code == 200
    assert b"clock.adrift" in wrong.log.read_bytes()
    # Nothing was spent by what it refused, and with its clock put right it goes on.
    assert right.post("/oauth2/v2.0/token", **redeem).status_code == 200
    file.write_text("0")
    deadline = time.monotonic() + 60
    while (answer := wrong.post("/oauth2/v2.0/token", **refresh)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.status_code == 200
    wrong.stop()
    farm.nodes.remove(wrong)


def test_a_node_a_few_seconds_apart_gets_no_requests_but_answers_those_under_way(farm: Farm) -> None:
    file = farm.folder / "few"
    file.write_text("10")
    wrong = farm.begin(("-c", WRONG, str(file)))
    wrong.wait_until_ready()

    assert signed_up(farm, an_address(), wrong)["access_token"]
    assert wrong.http.get("/readyz").status_code == 503
