"""
Write `docs/explanation/five-sign-ins.md`: five sign-ins gone through for real, as `genkan explain` tells them.

    python -m scripts.stories            write the page anew
    python -m scripts.stories --check    only look whether it is true

Times and ids differ from run to run, so they are put in the place of others; nothing else is touched.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from genkan import identifiers
from genkan.engine.story import as_text
from genkan.model import Kind, MethodSettings, Place
from genkan.policy.model import (
    CountryLocation,
    Locations,
)
from genkan.policy.trace import REPORT_ONLY
from genkan.service import inquiry
from tests.server import first_factor_by_code, new_address, new_number, newest
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    first_factor_by_password,
    ids,
    listed,
    proven,
    wrong,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World, in_process
from tests.wire.walks import Elsewhere

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/five-sign-ins.md"
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d\d:\d\d:\d\d")
DATE = re.compile(r"\d{4}-\d\d-\d\d(?= at)")
START = datetime(2031, 3, 4, 9, 0, 0)  # noqa: DTZ001 - only written, never compared

INTRODUCTION = """\
# Five sign-ins, explained

Every sign-in can be told as a story.
`genkan explain CORRELATION_ID` reads the sign-in log and the audit rows.
It says what was asked, what was proven, and which policy wanted what, and why.
The correlation id stands in every answer of the server; whoever calls support can read it from the screen.

The stories below are made by going through each sign-in for real and asking `genkan explain` about it (`make docs`).
"""

JAPAN = CountryLocation(id=str(uuid4()), display_name="Japan", countries_and_regions=("JP",))


def person(world: World, **given: object) -> str:
    address = new_address()
    world.person(address, age=timedelta(days=3), **given)  # type: ignore[arg-type]
    return address


def nothing_more(world: World, server: Elsewhere) -> None:
    address = person(world)
    first_factor_by_code(server, address, OPENID).ok()


def second_factor(world: World, server: Elsewhere) -> None:
    number = new_number()
    phone = identifiers.phone(number)
    assert phone is not None
    asked = first_factor_by_code(server, person(world, seconds=(phone,)), world.scope)
    method, seen = listed(server, world.otp_app, asked.token)[0]["id"], ids(server, number)
    sent = server.post(
        strict.CHALLENGE, client_id=world.otp_app, continuation_token=asked.token, id=method
    ).ok()
    code = newest(server, number, "mfa", seen)
    proven(server, world.otp_app, sent.token, "mfa_oob", wrong(code), world.scope)
    proven(server, world.otp_app, sent.token, "mfa_oob", code, world.scope).ok()


def report_only(world: World, server: Elsewhere) -> None:
    draft = for_everybody("mfa", name="MFA for everybody", state=REPORT_ONLY)
    with world.changed(draft):
        first_factor_by_password(server, person(world, password=PASSWORD), OPENID).ok()


def blocked(world: World, server: Elsewhere) -> None:
    policy = for_everybody("block", name="Not from Japan", locations=Locations(include_locations=(JAPAN.id,)))
    with world.changed(JAPAN, policy), world.located(Place(country="JP")):
        first_factor_by_password(server, person(world, password=PASSWORD), OPENID)


def stranded(world: World, server: Elsewhere) -> None:
    with world.changed((Kind.SMS_OTP, MethodSettings(enabled=False))):
        first_factor_by_code(server, person(world), world.scope)


STORIES: dict[str, tuple[str, Callable[[World, Elsewhere], None]]] = {
    "One factor was enough": (
        "The person signs in by e-mail code; the only policy is about another API.",
        nothing_more,
    ),
    "A second factor, at the second try": (
        "The demo API is guarded by a policy. The person has a phone, and mistypes the code once.",
        second_factor,
    ),
    "What a report-only policy would have asked": (
        "A policy is being tried out: it reports, and changes nothing.",
        report_only,
    ),
    "Blocked by place": (
        "The password is right, and only then is the person told that they may not sign in from there.",
        blocked,
    ),
    "Stranded without a method": (
        "Policy wants a second factor. The mailbox has just been the first one, and text messages are switched off.",
        stranded,
    ),
}


def page() -> str:
    """The whole page, each story from a sign-in that has just happened."""
    with tempfile.TemporaryDirectory() as folder, in_process(Path(folder) / "data") as world:
        server = Elsewhere(world, "198.51.100.7")
        parts = [INTRODUCTION]
        for title, (introduction, sign_in) in STORIES.items():
            since = world.now
            sign_in(world, server)
            parts.append(f"## {title}\n\n{introduction}\n\n```\n{told(world, since)}\n```\n")
        return "\n".join(parts)


def told(world: World, since: datetime) -> str:
    """The story of the one sign-in since then."""
    from genkan.engine.transaction import SignInQuery

    (entry,) = world.run(world.store.sign_ins(SignInQuery(since=since)))
    text = as_text(world.run(inquiry.stories(world.store, entry.correlation_id)))
    names: dict[str, str] = {}
    for number, guid in enumerate(dict.fromkeys(GUID.findall(text)), start=1):
        names[guid] = f"5f2a3c44-7d1b-4b0f-93f0-{number:012d}"
    text = GUID.sub(lambda found: names[found.group()], text)
    times = _times()
    return DATE.sub("2031-03-04", TIME.sub(lambda _: next(times), text))


def _times() -> Iterator[str]:
    """The title and the first step, then a few seconds between one step and the next."""
    yield f"{START:%H:%M:%S}"
    for number in range(100):
        yield f"{START + timedelta(seconds=7 * number):%H:%M:%S}"


def main() -> int:
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") != made:
        print(f"{PAGE.name} is not what the sign-ins say now: run make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
