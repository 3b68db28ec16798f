"""
What waits for a second administrator. Graph has no such thing for applications: these paths are our own.

Source: ADM-06; decision 0018.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from genkan.exchange import Response
from genkan.model import Approval
from genkan.service.admin import approvals
from genkan.wire.graph import lists
from genkan.wire.graph.answers import Fault, time
from genkan.wire.graph.api import Call, Route
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import APPROVALS_READ, APPROVALS_WRITE
from genkan.wire.graph.reads import selected, text, written

OF = "genkan/approvals"
FILTERS: Properties = {"id": "text", "kind": "text", "status": "text"}


def shown(approval: Approval) -> dict[str, Any]:
    """Return an act that waits as it is shown."""
    return {
        "id": approval.id,
        "kind": approval.kind,
        "activityDisplayName": approval.act,
        "targetId": approval.target,
        "targetDisplayName": approval.name,
        "modifiedProperties": [
            {"displayName": one["name"], "oldValue": one["old"], "newValue": one["new"]}
            for one in msgspec.json.decode(approval.changes)
        ],
        "status": approval.verdict or "waiting",
        "askedBy": approval.asker,
        "askedDateTime": time(approval.asked_at),
        "expirationDateTime": time(approval.expires_at),
        "judgedBy": approval.judge or None,
        "judgedDateTime": time(approval.judged_at),
        "reason": approval.reason or None,
    }


async def _list(call: Call) -> Response:
    every = [shown(one) for one in approvals.waiting(call.directory, call.now)]
    return lists.in_memory(call, OF, every, FILTERS)


async def _get(call: Call) -> Response:
    id = call.params["id"].lower()
    found = next((one for one in approvals.waiting(call.directory, call.now) if one.id == id), None)
    if found is None:
        raise Fault(404, "ResourceNotFound", f"Nothing waits for approval as {id[:80]}.")
    return call.object(OF, selected(shown(found), call.options.select))


async def _judge(call: Call, verdict: Literal["approved", "refused"]) -> Response:
    said = written(call.body if call.request.body else {}, kind="genkanApproval", writable=("reason",))
    reason = text(said.get("reason") or "", "reason")
    id = call.params["id"].lower()
    judged = call.unless_refused(await approvals.judge(call.door, call.actor, id, verdict, reason))
    return call.object(OF, shown(judged))


async def _approve(call: Call) -> Response:
    return await _judge(call, "approved")


async def _refuse(call: Call) -> Response:
    return await _judge(call, "refused")


ROUTES = (
    Route("GET", f"/{OF}", APPROVALS_READ, _list, "List what waits for a second administrator", area="other"),
    Route("GET", f"/{OF}/{{id}}", APPROVALS_READ, _get, "Show what waits", area="other"),
    Route(
        "POST",
        f"/{OF}/{{id}}/approve",
        APPROVALS_WRITE,
        _approve,
        "Approve what another administrator asked for; they do it again then",
        approvals.ACTS["approved"],
        "other",
    ),
    Route(
        "POST",
        f"/{OF}/{{id}}/refuse",
        APPROVALS_WRITE,
        _refuse,
        "Refuse it; whoever asked takes it back so",
        approvals.ACTS["refused"],
        "other",
    ),
)
