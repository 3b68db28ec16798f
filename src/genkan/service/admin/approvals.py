"""
What waits for a second administrator, and their word on it.

What takes two says the act itself (`Done.control`), and the door sees to it. Source: ADM-06; decision 0018.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from genkan.engine import approvals
from genkan.engine.messages import Directory, PutDocument
from genkan.model import Approval
from genkan.service.admin.door import Act, Actor, Done, Door, Refusal, Target, invalid, missing
from genkan.service.ports import View

ACTS: Mapping[Literal["approved", "refused"], Act] = {
    "approved": Act("Approve act", "DirectoryManagement", "Update", "Other"),
    "refused": Act("Refuse act", "DirectoryManagement", "Update", "Other"),
}


def waiting(directory: Directory, now: datetime) -> tuple[Approval, ...]:
    """Return what counts for anything, oldest first: what waits, and what was judged and not yet done."""
    live = (one for one in directory.approvals.values() if approvals.is_live(one, now))
    return tuple(sorted(live, key=lambda one: (one.asked_at, one.id)))


async def judge(
    door: Door, actor: Actor, id: str, verdict: Literal["approved", "refused"], reason: str = ""
) -> Approval | Refusal:
    """Approve or refuse what another administrator asked for. Whoever asked may refuse it, which takes it back."""

    def decide(view: View) -> Done[Approval] | Refusal:
        if len(reason) > approvals.LONGEST_REASON:
            return invalid(f"A reason has {approvals.LONGEST_REASON} characters at most.", "reason")
        asked = view.directory.approvals.get(id)
        judged = approvals.judge(asked, verdict, actor.person, reason, view.now)
        if isinstance(judged, str):
            return _no(id, judged)
        changes = (("act", judged.act, None), ("about", judged.name, None), ("asker", judged.asked_by, None))
        target = Target(
            id=id, name=judged.act, changes=(*changes, ("verdict", None, verdict), ("reason", None, reason))
        )
        return Done(judged, target, (PutDocument(judged),))

    return await door.act(actor, ACTS[verdict], decide, id)


def _no(id: str, flaw: approvals.Flaw) -> Refusal:
    if flaw == "own":
        return Refusal(why="forbidden", text="You asked for it: another administrator has to approve it.")
    if flaw == "judged":
        return Refusal(why="stale", text="Somebody has judged it already.")
    return replace(
        missing("approval", id), text=f"Nothing waits for approval as {id[:80]}; it may be too old."
    )
