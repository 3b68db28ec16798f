"""The journal tells before it happens, whatever a restore must not undo, and says when it does not know."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from genkan.engine.aftermath import Since
from genkan.engine.emergency.case import Emergency
from genkan.engine.messages import (
    Effect,
    PutAuthenticator,
    PutDocument,
    PutEmergency,
    PutReserve,
    PutSigningKey,
    PutSubject,
    RemoveDocument,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Ceremony, Client, ClientSecret, Paper, PaperCode, Reserve, Secret
from genkan.store.journal import Journal, told
from genkan.store.sealing import CannotOpen
from genkan.store.tenant import Store
from genkan.tokens.keys import SigningKey
from tests.store.worlds import (
    PLACES,
    START,
    TENANT,
    Clock,
    Place,
    a_mailbox,
    a_password,
    a_subject,
    everything,
    opened,
    writes,
)

pytestmark = pytest.mark.anyio

LATER = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=PLACES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    place: Place = request.param(tmp_path)
    async with opened(place, clock) as store:
        yield store


def lines(file: Path) -> list[tuple[str, str]]:
    return [(one["what"], one["about"]) for one in map(json.loads, file.read_text().splitlines())]


async def wrote(store: Store, *effects: Effect, needs: Needs | None = None) -> None:
    await store.run(needs or Needs(), writes(*effects))


@pytest.mark.proves("BKP-02")
async def test_what_a_restore_must_not_undo_is_told_and_nothing_else(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "journal"
    await store.keep(Journal(file, TENANT))
    subject = a_subject()
    password, mailbox = a_password(subject), a_mailbox(subject)
    await wrote(store, PutSubject(subject), PutAuthenticator(password), PutAuthenticator(mailbox))
    flow, _, effects = everything()
    await store.run(Needs(), writes(*effects, flow=flow))
    assert lines(file) == [("begun", "")]

    clock.move(LATER)
    loaded = await store.read(Needs(subject=subject.id, whole=True))
    held = {a.id: a for a in loaded.held}
    assert loaded.subject is not None
    person = Needs(subject=subject.id, whole=True, reserve=True)
    used = replace(held[password.id], last_used_at=clock.now)
    await wrote(store, PutAuthenticator(used), needs=person)
    assert lines(file) == [("begun", "")]
    anew = replace(used, material=Secret("x"), changed_at=clock.now, revision=2)
    await wrote(store, PutAuthenticator(anew), needs=person)
    gone = replace(held[mailbox.id], removed_at=clock.now, state="tombstoned")
    await wrote(store, PutAuthenticator(gone), needs=person)
    stopped = replace(loaded.subject, status="disabled")
    await wrote(store, PutSubject(stopped), needs=person)
    await wrote(store, PutSubject(replace(stopped, status="active", revision=2)), needs=person)
    await wrote(store, PutSubject(replace(stopped, status="active", revision=3)), needs=person)
    codes = tuple(PaperCode(id=id, digest=b"d") for id in "ab")
    laid_by = Reserve(subject=subject.id, recovery=Paper(codes=codes, issued_at=clock.now))
    await wrote(store, PutReserve(laid_by), needs=person)
    asks = Ceremony(challenge=b"c", purpose="register", client="c", expires_at=clock.now)
    await wrote(store, PutReserve(replace(laid_by, ceremony=asks, revision=1)), needs=person)
    kept = PutEmergency(subject=subject.id, emergency=Emergency(state="frozen"), revision=0)
    await wrote(store, kept, needs=person)
    calm = PutEmergency(subject=subject.id, emergency=Emergency(version=1), revision=1)
    await wrote(store, calm, needs=person)
    client = Client(id="c", name="", secrets=(ClientSecret(id="s", digest=b""),))
    await wrote(store, PutDocument(client))
    await wrote(store, RemoveDocument("client", "c"))
    key = SigningKey.generate("ES256", created_at=START, activates_at=START)
    await wrote(store, PutSigningKey(key))
    await wrote(store, PutSigningKey(replace(key, retires_at=clock.now)))

    assert lines(file)[1:] == [
        ("password", subject.id),
        ("gone", mailbox.id),
        ("stopped", subject.id),
        ("back", subject.id),
        ("paper", subject.id),
        ("held", subject.id),
        ("released", subject.id),
        ("client", "c"),
        ("client", "c"),
        ("key", key.kid),
    ]
    text = file.read_text()
    assert subject.identifiers[0].key not in text
    since = told([file], TENANT, clock.now - LATER / 2)
    assert since.is_whole
    note = since.what("paper", subject.id)
    assert note is not None
    assert note.left == ("a", "b")
    ended = since.what("key", key.kid)
    assert ended is not None
    assert ended.until == clock.now
    assert told([file], TENANT, clock.now + LATER) == Since(is_whole=True)


@pytest.mark.proves("BKP-02")
async def test_it_is_told_before_it_is_committed(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "journal"
    await store.keep(Journal(file, TENANT))
    subject = a_subject()
    await wrote(store, PutSubject(subject))

    def decide(loaded: Loaded) -> tuple[Change, list[tuple[str, str]]]:
        assert loaded.subject is not None
        seen = lines(file)
        return Change(effects=(PutSubject(replace(loaded.subject, status="disabled")),)), seen

    seen = await store.run(Needs(subject=subject.id), decide)

    assert seen == [("begun", "")]
    assert lines(file)[1:] == [("stopped", subject.id)]


@pytest.mark.proves("BKP-02")
async def test_it_is_whole_only_where_every_node_had_begun_and_nothing_lacks(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    Journal(one, TENANT).begin(START)
    Journal(one, "other").begin(START - LATER)
    Journal(two, TENANT).begin(START + LATER)

    assert told([], TENANT, START) == Since()
    assert told([one], TENANT, START).is_whole
    assert not told([one], TENANT, START - LATER / 2).is_whole
    assert not told([one, two], TENANT, START).is_whole
    assert told([one, two], TENANT, START + LATER).is_whole
    with one.open("a") as file:
        file.write('{"at":"2030')  # The machine went down in the middle of it, so it was not committed.
    assert told([one], TENANT, START).is_whole
    with one.open("a") as file:
        file.write("\n")
    assert not told([one], TENANT, START).is_whole
    with pytest.raises(CannotOpen, match="cannot be read"):
        told([tmp_path / "none"], TENANT, START)


@pytest.mark.proves("BKP-02")
async def test_where_it_cannot_be_written_work_goes_on_and_it_says_so_afterwards(
    store: Store, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CannotOpen, match="cannot be written"):
        await store.keep(Journal(tmp_path / "no" / "journal", TENANT))
    folder = tmp_path / "there"
    folder.mkdir()
    file = folder / "journal"
    await store.keep(Journal(file, TENANT))
    file.rename(tmp_path / "kept")
    folder.rmdir()
    client = Client(id="c", name="")
    clock.move(LATER)

    await wrote(store, PutDocument(client))

    assert (await store.read(Needs())).directory.clients["c"] == client
    assert "journal.unwritable" in caplog.text
    folder.mkdir()
    (tmp_path / "kept").rename(file)
    await wrote(store, PutDocument(client))
    assert [what for what, _ in lines(file)] == ["begun", "missing", "client"]
    assert not told([file], TENANT, START).is_whole
