"""The endpoints that change the world around the server, and the one that tells a story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from genkan.console.world import Delivery, Place
from genkan.engine.story import Event, Story
from genkan.service import demo
from tests.console.desk import Desk
from tests.delivery.letters import an_inbox

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_inbox(tmp_path) as inbox:
        yield Desk(inbox)


async def test_policies_are_listed_as_graph_shows_them(desk: Desk) -> None:
    policies = (await desk.json("GET", "/dev/policies"))["policies"]

    assert [policy["id"] for policy in policies] == [
        demo.POLICY,
        demo.ABROAD,
        demo.STRANGE_NETWORK,
        demo.GIVING_AWAY,
    ]
    assert policies[0]["displayName"] == "The demo API needs a second factor"
    assert policies[0]["grantControls"]["builtInControls"] == ["mfa"]
    assert [policy["state"] for policy in policies] == [
        "enabled",
        "disabled",
        "enabledForReportingButNotEnforced",
        "disabled",
    ]


async def test_a_policy_is_switched_and_the_others_stay(desk: Desk) -> None:
    before = {policy.id: policy for policy in desk.kept}

    answer = await desk.json("POST", "/dev/policies", body=f'{{"id": "{demo.POLICY}", "state": "disabled"}}')

    assert answer["policies"][0]["state"] == "disabled"
    assert [policy.id for policy in desk.kept if policy != before[policy.id]] == [demo.POLICY]


@pytest.mark.parametrize(
    "asked",
    [
        "{}",
        f'{{"id": "{demo.POLICY}"}}',
        f'{{"id": "{demo.POLICY}", "state": "on"}}',
        f'{{"id": "{demo.POLICY}", "state": "disabled", "and": 1}}',
        f'{{"id": ["{demo.POLICY}"], "state": "disabled"}}',
        '{"id": "aaaaaaaa-0000-4000-8000-00000000ffff", "state": "disabled"}',
    ],
)
async def test_a_switch_that_makes_no_sense_changes_nothing(desk: Desk, asked: str) -> None:
    before = desk.kept

    status, sentence = await desk.refusal("POST", "/dev/policies", body=asked)

    assert (status, desk.kept) == (400, before)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ('{"country": "jp"}', Place(country="JP")),
        ('{"address": "2001:DB8::1"}', Place(address="2001:db8::1")),
        ('{"address": "203.0.113.7", "country": "BR"}', Place(address="203.0.113.7", country="BR")),
        ('{"address": null, "country": null}', Place()),
        ("{}", Place()),
    ],
)
async def test_requests_seem_to_come_from_where_they_are_told_to(desk: Desk, asked: str, then: Place) -> None:
    desk.place = Place(address="198.51.100.1", country="SE")

    answer = await desk.json("POST", "/dev/place", body=asked)

    assert desk.place == then
    assert answer == {"address": then.address, "country": then.country}
    assert await desk.json("GET", "/dev/place") == answer


@pytest.mark.parametrize(
    "asked",
    [
        '{"country": "Japan"}',
        '{"country": "日本"}',
        '{"country": 81}',
        '{"address": "somewhere"}',
        '{"address": "203.0.113.7/24"}',
        '{"address": 3405803783}',
        '{"city": "Kyoto"}',
    ],
)
async def test_a_place_that_makes_no_sense_changes_nothing(desk: Desk, asked: str) -> None:
    desk.place = Place(country="SE")

    status, sentence = await desk.refusal("POST", "/dev/place", body=asked)

    assert (status, desk.place) == (400, Place(country="SE"))
    assert sentence.endswith(".")


async def test_the_provider_fails_and_works_again(desk: Desk) -> None:
    assert await desk.json("POST", "/dev/delivery", body='{"failing": true}') == {
        "failing": True,
        "refused": 0,
    }
    desk.delivery = Delivery(failing=True, refused=3)
    assert await desk.json("GET", "/dev/delivery") == {"failing": True, "refused": 3}
    assert await desk.json("POST", "/dev/delivery", body='{"failing": false}') == {
        "failing": False,
        "refused": 0,
    }
    for asked in ("{}", '{"failing": 1}', '{"failing": true, "for": 60}'):
        assert (await desk.refusal("POST", "/dev/delivery", body=asked))[0] == 400


async def test_a_story_is_told_by_its_correlation_id(desk: Desk) -> None:
    event = Event(at=NOON, text="The code was right.", because=("The policy “MFA” applied and was met.",))
    desk.told = (Story(title="Sign-in", correlation_id="known", facts=(), events=(event,), ending="Done."),)

    (story,) = (await desk.json("GET", "/dev/story", "correlation_id=known"))["stories"]

    assert (story["title"], story["ending"], story["unconcerned"]) == ("Sign-in", "Done.", [])
    assert story["events"] == [
        {
            "at": "2026-03-04T12:00:00Z",
            "text": "The code was right.",
            "because": ["The policy “MFA” applied and was met."],
        }
    ]
    assert await desk.json("GET", "/dev/story", "correlation_id=unknown") == {"stories": []}
    assert (await desk.refusal("GET", "/dev/story"))[0] == 400
