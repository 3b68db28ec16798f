"""
Which application permissions open which part of the administration API. Each constant is a choice of sets of roles.

Reading is included in writing (`api.holds`). Source: admin-graph-api 4.
"""

from __future__ import annotations

from genkan.service.admin.applications import APPROVE
from genkan.wire.graph.api import Permission


def _one_of(*roles: str) -> tuple[Permission, ...]:
    return tuple((role,) for role in roles)


USERS_READ = _one_of("User.Read.All", "Directory.Read.All")
USERS_WRITE = _one_of("User.ReadWrite.All", "Directory.ReadWrite.All")
REVOKE = _one_of("User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
METHODS_READ = _one_of("UserAuthenticationMethod.Read.All")
METHODS_WRITE = _one_of("UserAuthenticationMethod.ReadWrite.All")
GROUPS_READ = _one_of("Group.Read.All", "Directory.Read.All")
GROUPS_WRITE = _one_of("Group.ReadWrite.All", "Directory.ReadWrite.All")
MEMBERS_READ = _one_of("GroupMember.Read.All", "Group.Read.All", "Directory.Read.All")
MEMBERS_WRITE = _one_of("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All")
APPLICATIONS_READ = _one_of("Application.Read.All", "Directory.Read.All")
APPLICATIONS_WRITE = _one_of("Application.ReadWrite.All")
POLICIES_READ = _one_of("Policy.Read.All", "Policy.Read.ConditionalAccess")
POLICIES_WRITE = (("Policy.Read.All", "Policy.ReadWrite.ConditionalAccess"),)
CONTEXTS_READ = _one_of("AuthenticationContext.Read.All", "Policy.Read.All")
CONTEXTS_WRITE = _one_of("AuthenticationContext.ReadWrite.All", "Policy.ReadWrite.ConditionalAccess")
STRENGTHS_READ = _one_of("Policy.Read.All")
STRENGTHS_WRITE = _one_of("Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod")
METHODS_POLICY_READ = _one_of("Policy.Read.All")
METHODS_POLICY_WRITE = _one_of("Policy.ReadWrite.AuthenticationMethod")
DEFAULTS_READ = _one_of("Policy.Read.All")
DEFAULTS_WRITE = _one_of("Policy.ReadWrite.SecurityDefaults")
APPROVALS_READ = _one_of("Approval.Read.All")
APPROVALS_WRITE = _one_of(APPROVE)
EXTENSIONS_READ = _one_of("CustomAuthenticationExtension.Read.All")
EXTENSIONS_WRITE = _one_of("CustomAuthenticationExtension.ReadWrite.All")
FLOWS_READ = _one_of("EventListener.Read.All")
FLOWS_WRITE = _one_of("EventListener.ReadWrite.All")
LOGS_READ = _one_of("AuditLog.Read.All")
RISK_READ = _one_of("IdentityRiskyUser.Read.All")
RISK_WRITE = _one_of("IdentityRiskyUser.ReadWrite.All")
DETECTIONS_READ = _one_of("IdentityRiskEvent.Read.All")
