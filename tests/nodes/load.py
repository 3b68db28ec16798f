"""
People who sign up, in and on without a pause, and a journal of what they were told: the measure of what may be lost.

Knows of the server only its address and its mail. What is in the journal was acknowledged; what failed is in doubt, and
its flow is left, as somebody would leave it who begins anew.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import httpx2

from tests.nodes.farm import APP, Mail, an_address

START, CHALLENGE, CONTINUE = "/signup/v1.0/start", "/signup/v1.0/challenge", "/signup/v1.0/continue"
INITIATE, ASK, TOKEN = "/oauth2/v2.0/initiate", "/oauth2/v2.0/challenge", "/oauth2/v2.0/token"
TYPES = "oob redirect"
PATIENCE = 10.0
"""Seconds that somebody waits for a letter."""


class Failed(Exception):
    """A step was not acknowledged: whether it was done is not known."""


@dataclass
class Failure:
    """What somebody got in place of an answer."""

    at: float
    path: str
    what: str


@dataclass
class Journal:
    """What clients were told, by all of them."""

    promised: list[str] = field(default_factory=list)
    """Addresses for which a code was said to be on its way; one for each code."""
    accounts: list[str] = field(default_factory=list)
    """Addresses of accounts that were said to be made."""
    spent: list[tuple[str, str, str]] = field(default_factory=list)
    """Where a code was redeemed, with its flow's token and itself."""
    sessions: dict[str, list[str]] = field(default_factory=dict)
    """The refresh tokens of each session in their order, by its first."""
    doubtful: set[str] = field(default_factory=set)
    """Sessions of which nobody knows whether the newest token was used."""
    failures: list[Failure] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Answers that nobody should get: neither right nor an outage."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """When each answer came, and how long it had taken."""
    late: int = 0
    """Letters that somebody did not wait for."""
    flows: int = 0
    """Flows that went well to their end."""


class Walker(threading.Thread):
    """One person after the other, over one connection that is kept as long as the server keeps it."""

    def __init__(
        self, urls: Sequence[str], mail: Mail, journal: Journal, ends: threading.Event, seed: int
    ) -> None:
        super().__init__(name=f"walker-{seed}", daemon=True)
        self._urls = urls
        self._mail = mail
        self._journal = journal
        self._ends = ends
        self._dice = random.Random(seed)
        self._client = httpx2.Client(timeout=20)

    def run(self) -> None:
        with self._client:
            while not self._ends.is_set():
                try:
                    self._walk()
                    self._journal.flows += 1
                except Failed:
                    self._ends.wait(0.1)

    def _post(self, path: str, **form: str) -> dict[str, object]:
        url = self._dice.choice(self._urls)
        began = time.monotonic()
        try:
            answer = self._client.post(f"{url}/shop{path}", data={"client_id": APP, **form})
        except httpx2.TransportError as error:
            self._fail(path, type(error).__name__)
        now = time.monotonic()
        if answer.status_code == 503:
            self._fail(path, "503")
        self._journal.answers.append((now, now - began))
        if answer.status_code != 200:
            self._journal.broken.append(f"{path}: {answer.status_code} {answer.text}")
            raise Failed
        return dict(answer.json())

    def _fail(self, path: str, what: str) -> NoReturn:
        self._journal.failures.append(Failure(time.monotonic(), path, what))
        raise Failed

    def _handle(self, path: str, **form: str) -> str:
        return str(self._post(path, **form)["continuation_token"])

    def _code(self, address: str, number: int) -> str:
        """Read the mail; one whose letter is late leaves."""
        try:
            return self._mail.code(address, number, PATIENCE)
        except AssertionError:
            self._journal.late += 1
            raise Failed from None

    def _walk(self) -> None:
        """Sign up, refresh, sign in again: each with a code that is read from the mail."""
        journal, address = self._journal, an_address()
        token = self._handle(START, username=address, challenge_type=TYPES)
        token = self._handle(CHALLENGE, continuation_token=token, challenge_type=TYPES)
        journal.promised.append(address)
        code = self._code(address, 1)
        done = self._handle(CONTINUE, continuation_token=token, grant_type="oob", oob=code)
        journal.accounts.append(address)
        journal.spent.append((CONTINUE, token, code))
        self._hold(
            self._post(
                TOKEN,
                continuation_token=done,
                grant_type="continuation_token",
                scope="openid offline_access",
            )
        )
        token = self._handle(INITIATE, username=address, challenge_type=TYPES)
        token = self._handle(ASK, continuation_token=token, challenge_type=TYPES)
        journal.promised.append(address)
        code = self._code(address, 2)
        answer = self._post(
            TOKEN, continuation_token=token, grant_type="oob", oob=code, scope="openid offline_access"
        )
        journal.spent.append((TOKEN, token, code))
        self._hold(answer)

    def _hold(self, answer: dict[str, object]) -> None:
        """Use the tokens of a new session a few times."""
        newest = str(answer["refresh_token"])
        session = self._journal.sessions.setdefault(newest, [newest])
        for _ in range(self._dice.randint(0, 2)):
            self._journal.doubtful.add(session[0])
            renewed = self._post(TOKEN, grant_type="refresh_token", refresh_token=session[-1])
            session.append(str(renewed["refresh_token"]))
            self._journal.doubtful.discard(session[0])


@contextmanager
def loaded(urls: Sequence[str], mail: Mail, walkers: int = 8, seed: int = 1) -> Iterator[Journal]:
    """So many people at once for the length of a block, and until each has ended what it was at."""
    journal, ends = Journal(), threading.Event()
    threads = [Walker(urls, mail, journal, ends, seed * 1000 + n) for n in range(walkers)]
    for thread in threads:
        thread.start()
    try:
        yield journal
    finally:
        ends.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "somebody waits without end"


def check(
    journal: Journal, url: str, mail: Mail, *, most: int = 200, patience: float = 20, in_doubt: int = 0
) -> None:
    """
    Hold a server to all that was acknowledged, by asking it; the newest `most` of each kind.

    `patience` is for how many seconds a letter may be under way yet. As many codes as are `in_doubt` may never come:
    what a process was handing over when it died is not sent again, since it might arrive twice.

    Raises: `AssertionError`.
    """
    with httpx2.Client(timeout=30) as client:

        def post(path: str, **form: str) -> httpx2.Response:
            return client.post(f"{url}/shop{path}", data={"client_id": APP, **form})

        assert not journal.broken, journal.broken[:5]
        for address in journal.accounts[-most:]:
            answer = post(INITIATE, username=address, challenge_type=TYPES)
            assert answer.status_code == 200, f"the account {address} is lost: {answer.text}"
        for path, token, code in journal.spent[-most:]:
            again = post(path, continuation_token=token, grant_type="oob", oob=code, scope="openid")
            assert again.status_code == 400, f"a code was redeemed twice: {again.text}"
        for session in list(journal.sessions.values())[-most:]:
            if session[0] not in journal.doubtful:
                answer = post(TOKEN, grant_type="refresh_token", refresh_token=session[-1])
                assert answer.status_code == 200, f"a session is lost: {answer.text}"
        deadline = time.monotonic() + patience
        while (missing := _promised(journal) - _arrived(mail)).total() > in_doubt:
            assert time.monotonic() < deadline, f"promised and not come: {missing}"
            time.sleep(0.2)


def _promised(journal: Journal) -> Counter[str]:
    return Counter(list(journal.promised))


def _arrived(mail: Mail) -> Counter[str]:
    """Different letters: one that came twice is one."""
    return Counter(to for to, _ in set(mail.letters))


def doubled(mail: Mail) -> list[str]:
    """To whom one and the same letter came more than once."""
    return [to for (to, _), count in Counter(list(mail.letters)).items() if count > 1]
