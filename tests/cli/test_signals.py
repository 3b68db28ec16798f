"""`genkan signals`: an operator adds, looks at, pauses and removes receivers of security events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from genkan.bootstrap import administering
from genkan.engine import signals
from genkan.engine.messages import Emit
from genkan.engine.transaction import Needs, Taken
from tests.cli.conftest import Command
from tests.store.worlds import guid, writes


@pytest.fixture
def app(genkan: Command) -> str:
    (made,) = genkan("app", "create", "Shop", "--json").lines()
    return str(made["appId"])


def test_a_receiver_is_added_shown_paused_resumed_and_removed(
    genkan: Command, app: str, tmp_path: Path
) -> None:
    header = tmp_path / "header"
    header.write_text("Bearer marked-header\n")
    words = ("--push", "https://shop.example.com/events", "--authorization-file", header)

    assert "Nobody receives" in genkan("signals", "list").ok().out
    added = genkan("signals", "add", "Shop", *words, "--event", "session-revoked").ok().out
    assert app in added
    (one,) = genkan("signals", "list", "--json").lines()
    assert (one["client"], one["delivery"], one["status"]) == (app, "push", "enabled")
    assert one["events"] == [signals.SESSION_REVOKED]
    shown = genkan("signals", "show", "Shop").ok().out
    assert "a header is sent" in shown
    assert "marked-header" not in shown + genkan("signals", "show", "Shop", "--json").ok().out
    assert "paused" in genkan("signals", "pause", "Shop", "--reason", "Being moved").ok().out
    assert "by an operator" in genkan("signals", "show", app).ok().out
    assert "enabled" in genkan("signals", "resume", "Shop").ok().out
    assert "disabled" in genkan("signals", "pause", "Shop", "--disable").ok().out
    assert "Would remove" in genkan("signals", "remove", "Shop", "--dry-run").ok().out
    assert "Removed the receiver Shop" in genkan("signals", "remove", "Shop", "--yes").ok().out
    assert genkan("signals", "list", "--json").lines() == []


def test_mistakes_are_one_sentence(genkan: Command, app: str) -> None:
    assert "no application Nobody" in genkan("signals", "add", "Nobody").no()
    assert "https" in genkan("signals", "add", "Shop", "--push", "http://shop.example.com").no()
    genkan("signals", "add", "Shop").ok()
    assert genkan("signals", "add", "Shop").no()
    assert "Nobody called Desk" in genkan("signals", "pause", "Desk").no()
    assert "no dead events" in genkan("signals", "retry").no()
    wrong = genkan("signals", "add", "Shop", "--event", "sessions-revoked")
    assert wrong.code == 2
    assert "session-revoked" in wrong.err


@pytest.mark.proves("WHK-08")
def test_what_nobody_took_is_seen_and_offered_again(genkan: Command, app: str, folder: Path) -> None:
    genkan("signals", "add", "Shop").ok()
    assert "no dead events" in genkan("signals", "dead").ok().out

    async def dies() -> None:
        async with administering(folder, None) as office:
            (stream,) = office.store.directory().streams.values()
            now = office.clock.now()
            said = signals.signal("session-revoked", "ada", now, id=guid(), txn="t")
            await office.store.run(Needs(), writes(Emit(said)))
            (one,) = await office.store.untaken(stream, 9)
            refused = Taken(id=one.signal.id, how="refused", why="its receiver said: invalid_key")
            await office.store.settle_signals(stream.id, [refused])

    asyncio.run(dies())

    (one,) = genkan("signals", "dead", "--json").lines()
    assert (one["event"], one["why"]) == (signals.SESSION_REVOKED, "its receiver said: invalid_key")
    table = genkan("signals", "dead").ok().out
    assert "session-revoked" in table
    assert "invalid_key" in table
    assert "Give up security event" in genkan("logs", "audits").ok().out
    assert "Offered again: 1" in genkan("signals", "retry", one["jti"]).ok().out
    (listed,) = genkan("signals", "list", "--json").lines()
    assert (listed["waiting"], listed["dead"]) == (1, 0)


def test_somebody_is_heard_shown_and_heard_no_more(genkan: Command, tmp_path: Path) -> None:
    from joserfc.jwk import ECKey, KeySet

    key = ECKey.generate_key("P-256")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    words = ("--issuer", "https://mail.example", "--audience", "genkan")

    assert "Nobody else's" in genkan("signals", "trusted").ok().out
    assert "Give the keys" in genkan("signals", "trust", "Mail", *words).no()
    assert "heard at /ssf/events" in genkan("signals", "trust", "Mail", *words, "--keys", keys).ok().out
    (one,) = genkan("signals", "trusted", "--json").lines()
    assert (one["name"], one["issuer"], one["endsSessions"]) == ("Mail", "https://mail.example", True)
    assert "https://mail.example" in genkan("signals", "trusted").ok().out
    assert "Would hear Mail no more" in genkan("signals", "distrust", "Mail", "--dry-run").ok().out
    assert "no more" in genkan("signals", "distrust", "Mail", "--yes").ok().out
    assert "Nobody called Mail" in genkan("signals", "distrust", "Mail", "--yes").no()
