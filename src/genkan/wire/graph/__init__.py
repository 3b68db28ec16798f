"""
Graph's dialect: the administration API, which the unmodified `msgraph-sdk` drives.

`tokens` gives a confidential client its token, `api` finds the route and the tenant and checks what the token allows,
and a file for each noun reads requests and writes answers. What a change is, and whether it is lawful, says
`service.admin`; here are only its words. Source: admin-graph-api.
"""

from __future__ import annotations

from genkan.wire.graph import (
    applications,
    approvals,
    extensions,
    flows,
    groups,
    logs,
    methods,
    policies,
    users,
)
from genkan.wire.graph.api import Route

ROUTES: tuple[Route, ...] = (
    *users.ROUTES,
    *methods.ROUTES,
    *groups.ROUTES,
    *applications.ROUTES,
    *policies.ROUTES,
    *flows.ROUTES,
    *extensions.ROUTES,
    *approvals.ROUTES,
    *logs.ROUTES,
)
"""Every operation there is."""
