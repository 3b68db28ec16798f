"""
Redeem a refresh token: not of any flow, but policy is asked the same question on the evidence of the grant.

Source: native-auth-v1 4.4; TOK-05 to TOK-08, CA-07.
"""

from __future__ import annotations

from genkan.engine import extensions, held
from genkan.engine.messages import Blocks, Effect, Facts, Fails, PutGrant, Ready, Record, Refused, Renew, Step
from genkan.engine.plan import judge_grant
from genkan.engine.steps import applied, asks, owes_password, stop
from genkan.model import Client, Reason
from genkan.policy.model import Decision
from genkan.tokens import grants, scopes
from genkan.tokens.claims import assurance


def renew(event: Renew, client: Client, facts: Facts) -> Step:
    """
    Redeem a refresh token: first the token itself, then the account, then policy on the evidence of the grant (CA-07).

    A refusal by policy leaves the token as it was; only the reuse of a spent one changes anything, and ends the family.
    """
    subject, grant = facts.subject, facts.grant
    redeemed = grants.redeem(
        grant,
        event.token,
        client_id=client.id,
        epoch=subject.epoch if subject else -1,
        tenant=facts.directory.tenant,
        key=facts.rotation_key,
        now=facts.now,
    )
    if isinstance(redeemed, grants.Refused) or subject is None:
        return _not_renewed(
            client, facts, redeemed.reason if isinstance(redeemed, grants.Refused) else Reason.GRANT_UNKNOWN
        )
    if isinstance(redeemed, grants.Reuse):
        return _not_renewed(client, facts, redeemed.reason, PutGrant(redeemed.grant))
    if (reason := held.refresh_refused(redeemed.grant, facts)) is not None:
        return _not_renewed(client, facts, reason)
    if subject.status != "active":
        return _not_renewed(client, facts, Reason.GRANT_OF_DISABLED_SUBJECT)
    if owes_password(subject, redeemed.grant.evidence):
        return _not_renewed(client, facts, Reason.GRANT_NEEDS_NEW_PASSWORD)
    demand = event.demand or scopes.again(redeemed.grant.demand, client, facts.directory.apis)
    if isinstance(demand, Reason):
        return _not_renewed(client, facts, demand)
    demand = scopes.claiming(demand, event.claims)
    decision = judge_grant(redeemed.grant, demand, client, facts)
    if decision.outcome != "allow":
        reason = decision.reason or Reason.FACTOR_REQUIRED
        if reason is Reason.PASSWORD_MUST_CHANGE:
            reason = Reason.GRANT_NEEDS_NEW_PASSWORD
        return _not_renewed(client, facts, reason, decision=decision)
    question = extensions.about_tokens(subject, client, demand, facts)
    heard = extensions.answer(question, facts)
    if heard is None and question is not None:
        return asks(question)
    if isinstance(heard, Blocks | Fails):
        refused = stop(heard)
        return _not_renewed(client, facts, refused.reason, decision=decision, number=refused.number)
    ready = Ready(
        subject=subject,
        client=client,
        demand=demand,
        assurance=assurance(redeemed.grant.evidence),
        contexts=decision.acrs,
        groups=facts.groups,
        grant=redeemed.grant,
        refresh=redeemed.refresh,
        token_id=facts.entropy.guid("token"),
        claims=extensions.claims(question, heard),
    )
    effects: list[Effect] = [_renewal(client, facts, "ready", "", decision)]
    if isinstance(redeemed, grants.Redeemed):
        effects.append(PutGrant(redeemed.grant))
    return Step(flow=None, reply=ready, effects=tuple(effects), decision=decision)


def _not_renewed(
    client: Client,
    facts: Facts,
    reason: Reason,
    *effects: Effect,
    decision: Decision | None = None,
    number: int = 0,
) -> Step:
    record = () if facts.grant is None else (_renewal(client, facts, "refused", reason, decision),)
    reply = Refused(reason=reason, number=number)
    return Step(flow=None, reply=reply, effects=(*effects, *record), decision=decision)


def _renewal(client: Client, facts: Facts, outcome: str, reason: str, decision: Decision | None) -> Record:
    return Record(
        action=f"session:renew:{outcome}",
        reason=reason,
        subject=facts.grant.subject if facts.grant else None,
        client=client.id,
        correlation_id=facts.signals.correlation_id,
        detail={} if decision is None else {"policies": applied(decision)},
    )
