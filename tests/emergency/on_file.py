"""Events of the protocol on accounts that are stored, as a step of the server decides and writes them."""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec.structs import replace

from genkan.engine.emergency import account, words
from genkan.engine.emergency.case import Means, Shown
from genkan.engine.emergency.evidence import Lost
from genkan.engine.emergency.protocol import advance
from genkan.engine.messages import Entropy
from genkan.engine.transaction import Change, Decide, Loaded

Says = Callable[[Loaded], words.Event]


def decides(say: Says) -> Decide[words.Reply]:
    """A step that lets the protocol judge what is said, and writes all that comes of it."""

    def decide(loaded: Loaded) -> tuple[Change, words.Reply]:
        facts = account.facts(loaded, Entropy(os.urandom(32)))
        step = advance(loaded.emergency, say(loaded), facts)
        return account.change(step, loaded), step.reply

    return decide


def shown(loaded: Loaded, key: str, means: Means = Means.PASSWORD) -> Shown:
    """A right proof by a method of the account."""
    assert loaded.subject is not None
    found = account.methods(loaded.subject, loaded.held or loaded.authenticators)
    method = next(m for m in found if m.means is means)
    return Shown(id=f"{key}/{method.id}", key=key, method=method.id, right=True, at=loaded.now)


def contains(key: str = "owner", means: Means = Means.PASSWORD, *, right: bool = True) -> Says:
    """Somebody says that the phone is lost, and shows something for it."""

    def say(loaded: Loaded) -> words.Event:
        proof = replace(shown(loaded, key, means), right=right)
        return words.Contain(key=key, shown=proof, lost=Lost(everything_on_phone=True))

    return say
