"""
Several worker processes as one service: one parent binds the addresses, and keeps so many children serving them.

The parent knows nothing of tenants, keys or requests, so there is little in it that could fall. Every child is a fresh
interpreter, so one that is begun later runs the code and the settings of then. Between the two is one socket pair:
the child says by it that it serves, and then every few seconds that it still does; where the other end is gone, so is
the parent, and the child stops: nobody goes on alone.

SIGTERM and SIGINT end all of it, each child when it has answered what it was asked. SIGHUP replaces the children one
after the other, each only when its successor serves: requests are answered throughout.
"""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from genkan.telemetry import log

BEAT: Final = 2.0
"""Seconds between two words of a child that serves."""
SILENCE: Final = 30.0
"""Seconds after which a child that says nothing is taken for one that hangs, and ended."""
AWAKE: Final = 5.0
"""Seconds after which a parent that has looked at nothing was not awake: the machine stood still."""
START: Final = 60.0
"""Seconds that a child may take until it serves: it may have to bring the databases up to date."""
LEAVE: Final = 25.0
"""Seconds that a child may take to leave. It finishes what it was asked, by limits of its own that are shorter."""
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""Seconds between a child's death and its successor: doubled each time, up to this."""
LIVED: Final = 60.0
"""Seconds after which a child's death is not laid to what killed the one before it."""

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name)
)


class Inherited(msgspec.Struct, frozen=True):
    """What a child gets from its parent: descriptors of sockets. A child is told of it as JSON."""

    channel: int
    public: tuple[int, ...]
    metrics: tuple[int, ...] = ()

    @classmethod
    def read(cls, text: str) -> Inherited:
        """Raises: `msgspec.MsgspecError`."""
        return msgspec.json.decode(text, type=cls)


def inherited(descriptors: Sequence[int]) -> list[socket.socket]:
    """The sockets of these descriptors. Raises: `OSError` where they are none."""
    # The protocol is named, for only then does asyncio switch Nagle's delay off.
    sockets = [socket.socket(proto=socket.IPPROTO_TCP, fileno=descriptor) for descriptor in descriptors]
    for one in sockets:
        one.set_inheritable(False)
    return sockets


def attend(descriptor: int) -> None:
    """Tell the parent from now on, out of the running event loop, that this process serves; stop when it is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # It is for the parent, whoever else is sent it.
    loop = asyncio.get_running_loop()
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)

    def beat() -> None:
        with suppress(
            OSError
        ):  # A parent that is gone is seen below, and one that is late has enough to read.
            channel.send(b".")
        loop.call_later(BEAT, beat)

    def heard() -> None:
        # The parent says nothing: that there is something to read means that it is gone.
        loop.remove_reader(channel)
        log.error("workers.orphaned")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(channel, heard)
    beat()


@dataclass(eq=False)
class _Child:
    place: int
    process: subprocess.Popen[bytes]
    channel: socket.socket
    began: float
    heard: float
    serves: bool = False
    leaves: float = math.inf
    """When it has to be gone."""

    @property
    def said(self) -> dict[str, int]:
        """What the log says of it."""
        return {"pid": self.process.pid, "place": self.place + 1}


@dataclass
class _Place:
    """A place that is to be filled by a child."""

    due: float = 0.0
    """When it is to be filled; infinity while it is."""
    wait: float = FIRST_WAIT


class Supervisor:
    """Keeps children of one command serving the same sockets: one in each place."""

    def __init__(
        self,
        command: Sequence[str],
        public: Sequence[socket.socket],
        metrics: Sequence[Sequence[socket.socket]],
        rereads: Callable[[], bool],
    ) -> None:
        """
        `command` begins a child; it is told beside what it inherits, as JSON. `public` is served by every child,
        `metrics` by the one in that place: there are as many places as it has members. `rereads` looks at the settings
        again before the children are replaced; False: they are not to be.
        """
        self._command = command
        self._public = public
        self._metrics = metrics
        self._rereads = rereads
        self._children: list[_Child] = []
        self._places = [_Place() for _ in metrics]
        self._rolling: list[int] = []
        """Places whose child is to be replaced."""
        self._successor: _Child | None = None
        """The one that is to take the place of another, and does not serve yet."""
        self._has_served = False
        self._received: set[int] = set()
        """Signals that nobody has looked at."""
        self._looked = time.monotonic()
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Serve until asked to stop. Return the exit status: that of a child where the first ones cannot start."""
        status = 0
        with self._selector, self._signals() as awake:
            self._selector.register(awake, selectors.EVENT_READ)
            while not status and not self._is_told(signal.SIGTERM, signal.SIGINT):
                self._fill()
                self._listen(self._pause())
                status = self._bury()
                self._end_silent()
                if self._is_told(signal.SIGHUP) and self._rereads():
                    log.info("workers.rolling")
                    self._rolling = list(range(len(self._places)))
                self._roll()
            self._stop()
        return status

    def _is_told(self, *signals: int) -> bool:
        """One of these signals has come since this was asked last."""
        came = self._received.intersection(signals)
        self._received -= came
        return bool(came)

    # What keeps them. ------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Begin a child in each place where one is due; the first one alone, since it may say that nobody can."""
        for number, place in enumerate(self._places):
            if self._may_begin and place.due <= time.monotonic():
                self._begin(number)

    @property
    def _may_begin(self) -> bool:
        return self._has_served or not self._children

    def _begin(self, number: int) -> _Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        own = [one.fileno() for one in self._metrics[number]]
        told = Inherited(theirs.fileno(), tuple(one.fileno() for one in self._public), tuple(own))
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*self._command, msgspec.json.encode(told).decode()],
                stdin=subprocess.DEVNULL,
                pass_fds=(told.channel, *told.public, *told.metrics),
                process_group=0,  # Ctrl+C is for us alone.
            )
        now = time.monotonic()
        child = _Child(number, process, ours, now, now)
        self._children.append(child)
        self._places[number].due = math.inf
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    def _listen(self, pause: float) -> None:
        """Hear what children say, for so many seconds or until a signal comes."""
        for key, _ in self._selector.select(pause):
            child: _Child | None = key.data
            with suppress(OSError):
                if child is None:
                    key.fileobj.recv(4096)  # type: ignore[union-attr]
                elif not child.channel.recv(4096):
                    self._selector.unregister(child.channel)  # It is dead, or soon will be.
                else:
                    child.heard = time.monotonic()
                    if not child.serves:
                        child.serves = self._has_served = True
                        log.info("workers.serves", extra=child.said)

    def _pause(self) -> float:
        soonest = min(place.due for place in self._places) if self._may_begin else math.inf
        return max(0.0, min(1.0, soonest - time.monotonic()))

    def _bury(self) -> int:
        """Take note of who is dead; return the status of one that says that nobody can start."""
        for child in [child for child in self._children if child.process.poll() is not None]:
            self._forget(child)
            status = child.process.returncode
            said = {**child.said, "status": status}
            if child is self._successor:
                self._abandon("workers.successor_failed", said)
            elif child.leaves == math.inf:
                if not self._has_served and status > 0:  # It said why. The others would say the same.
                    return status
                log.error("workers.died", extra=said)
            if child.place not in {other.place for other in self._children}:
                self._postpone(child)
        return 0

    def _forget(self, child: _Child) -> None:
        self._children.remove(child)
        with suppress(KeyError):
            self._selector.unregister(child.channel)
        child.channel.close()

    def _postpone(self, child: _Child) -> None:
        """Fill the place of a dead child after a while, a longer one where they die young."""
        place, now = self._places[child.place], time.monotonic()
        if child.leaves < math.inf or now - child.began > LIVED:
            place.wait = FIRST_WAIT
        place.due = now + place.wait
        place.wait = min(2 * place.wait, LONGEST_WAIT)

    def _end_silent(self) -> None:
        """End whoever hangs: who serves and says nothing, does not come to serve, or does not leave."""
        now = time.monotonic()
        slept, self._looked = now - self._looked > AWAKE, now
        for child in self._children:
            if slept:  # Then so did they, perhaps: everybody has to speak first.
                child.heard = now
            limit = SILENCE if child.serves else START
            if now > child.leaves or (child.leaves == math.inf and now - child.heard > limit):
                log.error("workers.hangs", extra=child.said)
                child.process.kill()
                child.heard, child.leaves = now, child.leaves + LEAVE

    # What replaces them. ---------------------------------------------------------------------------------------------

    def _roll(self) -> None:
        """Do the next thing there is to do of replacing one child after the other."""
        successor = self._successor
        if successor is not None and successor.serves:
            self._successor = None
            for child in self._children:
                if child.place == successor.place and child is not successor:
                    self._dismiss(child)
            if not self._rolling:
                log.info("workers.rolled")
        if not self._rolling or self._successor is not None:
            return
        if any(child.leaves < math.inf or not child.serves for child in self._children):
            return
        self._successor = self._begin(self._rolling.pop(0))

    def _abandon(self, event: str, said: dict[str, int]) -> None:
        """Leave the others as they are: whatever is wrong with one successor would be wrong with the next."""
        log.error(event, extra=said)
        self._successor = None
        self._rolling.clear()

    def _dismiss(self, child: _Child) -> None:
        child.leaves = min(child.leaves, time.monotonic() + LEAVE)
        child.process.send_signal(signal.SIGTERM)

    # What ends them. -------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Ask everybody to leave, and see to it that they have; a second request makes them leave at once."""
        for listening in (*self._public, *(one for own in self._metrics for one in own)):
            listening.close()  # The children have it too: it is closed when the last of them closes it.
        for child in self._children:
            self._dismiss(child)
        while self._children:
            self._listen(1.0)
            self._bury()
            self._end_silent()
            if self._is_told(signal.SIGTERM, signal.SIGINT):
                for child in self._children:
                    child.process.kill()

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Note signals, and yield a socket that can be read when one came."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            before = {
                one: signal.signal(one, lambda number, _: self._received.add(number)) for one in SIGNALS
            }
            woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            try:
                yield ours
            finally:
                signal.set_wakeup_fd(woken)
                for one, handler in before.items():
                    signal.signal(one, handler)
