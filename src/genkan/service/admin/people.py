"""
People: add, change, remove, bring back; their passwords, methods, sessions and risk.

A person is the model's `Subject`; what proves them is written beside. Everything that could let somebody in, or keep
them out, ends the sessions there are, and their owner is told of every change to how they sign in.
Source: admin-graph-api 5.1, 5.6, 6.5; CAN-01, CAN-10, ENR-03, OTP-22, PWD-01 to PWD-05.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine import held as emergencies
from genkan.engine.emergency import account as emergency
from genkan.engine.messages import (
    Count,
    Detect,
    Detection,
    Effect,
    Entropy,
    Hashed,
    PutAuthenticator,
    PutSubject,
    RevokeGrants,
)
from genkan.engine.reset import PASSWORDS_REMEMBERED
from genkan.model import (
    Authenticator,
    ForeignIdentity,
    Formerly,
    Identifier,
    Kind,
    Reason,
    Scalar,
    Secret,
    Subject,
    Tenant,
)
from genkan.risk import account, rate
from genkan.service.admin.door import (
    SECRET,
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    control,
    current,
    differences,
    domain,
    entropy,
    invalid,
    missing,
    notices,
)
from genkan.service.ports import View

ADD = Act("Add user", "UserManagement", "Add", "User")
UPDATE = Act("Update user", "UserManagement", "Update", "User")
DELETE = Act("Delete user", "UserManagement", "Delete", "User")
RESTORE = Act("Restore user", "UserManagement", "Update", "User")
RESET_PASSWORD = Act("Reset user password", "UserManagement", "Update", "User")
REVOKE = Act("Revoke sign in sessions", "UserManagement", "Update", "User")
ADD_METHOD = Act("Admin registered security info", "UserManagement", "Add", "User")
CHANGE_METHOD = Act("Admin updated security info", "UserManagement", "Update", "User")
REMOVE_METHOD = Act("Admin deleted security info", "UserManagement", "Delete", "User")
RISK = Act("Update user risk", "UserManagement", "Update", "User")

ATTRIBUTES: Mapping[str, int] = {
    "displayName": 256,
    "givenName": 64,
    "surname": 64,
    "jobTitle": 128,
    "mail": 254,
    "mobilePhone": 64,
    "officeLocation": 128,
    "preferredLanguage": 64,
    "city": 128,
    "country": 128,
    "postalCode": 40,
    "state": 128,
    "streetAddress": 1024,
    "companyName": 64,
    "department": 64,
    "usageLocation": 2,
    "ageGroup": 32,
    "consentProvidedForMinor": 32,
    "mailNickname": 64,
}
"""Texts that every person may have, and how long they may be."""
MOST_EXTENSIONS = 100
LONGEST_EXTENSION = 250
LONGEST_ISSUER = 512
LONGEST_ASSIGNED = 64
"""Characters of an id that an issuer gives; an address may be longer (CAN-06)."""
MOST_IDENTITIES = 10

RULES: Mapping[Reason, str] = {
    Reason.PASSWORD_INVALID: "it holds characters that cannot be used",
    Reason.PASSWORD_TOO_LONG: "it is too long",
    Reason.PASSWORD_TOO_SHORT: "it is too short",
    Reason.PASSWORD_TOO_WEAK: "it is too easy to guess",
    Reason.PASSWORD_BANNED: "it is on the list of well-known passwords, or one of the person's own words",
    Reason.PASSWORD_RECENTLY_USED: "it was used before",
}

EMAIL, USERNAME, FEDERATED, PRINCIPAL = "emailAddress", "userName", "federated", "userPrincipalName"


class Identity(Struct, frozen=True):
    """A name by which somebody says who a person is (Graph's `objectIdentity`)."""

    kind: str
    """`emailAddress`, `userName`, `federated` or `userPrincipalName`, in any case."""
    issuer: str
    """The tenant's domain, for a name to sign in by here; empty means that too. Any other: the name is kept only."""
    value: str


class NewPerson(Struct, frozen=True, kw_only=True):
    """A person to add."""

    identities: tuple[Identity, ...] = ()
    principal_name: str = ""
    """Of an account without identities; nobody signs in by it."""
    attributes: dict[str, Scalar] = field(default_factory=dict)
    """Properties by their Graph names, `extension_…` among them."""
    password: Secret | None = None
    material: Secret | None = None
    """In the place of a password: what it was hashed to before it came here."""
    number: Identifier | None = None
    """A telephone number that is proven already, for codes as second factor."""
    enabled: bool = True
    must_change_password: bool = False
    id: str = ""
    """Made up unless given, as an import may."""
    created_at: datetime | None = None


class PersonChange(Struct, frozen=True, kw_only=True):
    """What is to be changed; a member that is UNSET stays as it is."""

    identities: tuple[Identity, ...] | UnsetType = UNSET
    attributes: dict[str, Scalar | None] = field(default_factory=dict)
    """None clears a property."""
    password: Secret | UnsetType = UNSET
    must_change_password: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


# The acts. ----------------------------------------------------------------------------------------------------------


async def add(door: Door, actor: Actor, new: NewPerson) -> Subject | Refusal:
    """
    Add a person.

    Refuses: names that are malformed or taken (`ObjectConflict`, those of deleted people too), a bad password, an
    account that nothing could ever sign in to.
    """
    material = new.material
    if new.password is not None:
        words = (*(i.value for i in new.identities), *map(str, new.attributes.values()))
        hashed = await _hashed(door, new.password, words)
        if isinstance(hashed, Refusal):
            return await door.refuse(actor, ADD, hashed)
        material = hashed
    draw = entropy()
    return await door.act(actor, ADD, lambda view: addition(view, new, material, draw))


def addition(view: View, new: NewPerson, material: Secret | None, draw: Entropy) -> Done[Subject] | Refusal:
    """What adding a person comes to, at this state of the tenant."""
    tenant = view.directory.tenant
    names = _named(new.identities, tenant)
    attributes = _checked(new.attributes)
    if isinstance(names, Refusal):
        return names
    if isinstance(attributes, Refusal):
        return attributes
    principal = new.principal_name.strip()
    if principal and not _is_principal(principal, tenant):
        return invalid(f"A principal name ends in @{domain(tenant)}.", "userPrincipalName")
    if not (names.own or names.foreign or principal):
        return invalid("A person needs a name to sign in by.", "identities")
    if sum(name.startswith("extension_") for name in attributes) > MOST_EXTENSIONS:
        return invalid(f"A person has {MOST_EXTENSIONS} custom attributes at most.")
    subject = Subject(
        id=new.id or draw.guid("subject"),
        identifiers=names.own,
        foreign=names.foreign,
        principal_name=principal,
        status="active" if new.enabled else "disabled",
        must_change_password=new.must_change_password,
        attributes={name: value for name, value in attributes.items() if value is not None},
        created_at=new.created_at or view.now,
    )
    if (taken := _taken(view, subject)) is not None:
        return taken
    changes = differences(None, _seen(subject))
    effects: list[Effect] = [PutSubject(subject)]
    first = _first_factor(subject, material, subject.email, draw.guid("authenticator"), view.now)
    if first is not None:
        effects.append(PutAuthenticator(first))
    if new.number is not None:
        second = Authenticator(
            id=draw.guid("method"),
            subject=subject.id,
            kind=Kind.SMS_OTP,
            target=new.number,
            source="administrator",
            created_at=view.now,
        )
        effects.append(PutAuthenticator(second))
        changes = (*changes, (METHOD_KINDS[Kind.SMS_OTP], None, identifiers.mask(new.number)))
    target = Target(id=subject.id, name=_name(subject), changes=changes)
    return Done(replace(subject, revision=1), target, tuple(effects))


async def change(
    door: Door, actor: Actor, id: str, change: PersonChange, expected: str | None = None
) -> Subject | Refusal:
    """
    Change a person. `expected` is the `version` of the subject that the caller has seen.

    A new password, and being switched off, end every session.
    """
    material: Secret | None = None
    if not isinstance(change.password, UnsetType):
        before = await door.store.look(lambda view: _known(view, id))
        if before is None:
            return await door.refuse(actor, UPDATE, missing("user", id), id)
        loaded = await door.store.look(lambda view: view.authenticators(id))
        hashed = await _hashed(door, change.password, _words(before), _earlier(loaded))
        if isinstance(hashed, Refusal):
            return await door.refuse(actor, UPDATE, hashed, id)
        material = hashed
    draw = entropy()

    def decide(view: View) -> Done[Subject] | Refusal:
        subject = current("user", id, _known(view, id), expected)
        if isinstance(subject, Refusal):
            return subject
        changes_control = material is not None or not isinstance(change.identities, UnsetType)
        if changes_control and (refused := _in_emergency(view, id)) is not None:
            return refused
        changed = _changed(subject, change, view)
        if isinstance(changed, Refusal):
            return changed
        held = view.authenticators(id)
        effects: list[Effect] = []
        if material is not None:
            effects.append(
                PutAuthenticator(_with_password(changed, held, material, draw.guid("password"), view.now))
            )
        effects += _first_factor_moves(subject, changed, held, draw, view.now)
        ends = material is not None or (changed.status != "active" and subject.status == "active")
        if ends:
            changed = replace(changed, epoch=changed.epoch + 1)
            effects.append(RevokeGrants(subject=id, at=view.now))
        if material is not None:
            effects += notices(view, subject, draw, "password_changed")
        elif changed.identifiers != subject.identifiers:
            effects += notices(view, subject, draw, "notice")
        changes = differences(_seen(subject), _seen(changed))
        if material is not None:
            changes = (*changes, ("passwordProfile", SECRET, SECRET))
        target = Target(id=id, name=_name(changed), changes=changes)
        return Done(replace(changed, revision=changed.revision + 1), target, (PutSubject(changed), *effects))

    return await door.act(actor, UPDATE, decide, id)


MANY = Target(name=f"{rate.DELETIONS.windows[0][0]} more people")
"""What a second administrator allows of whoever deletes many."""


async def remove(door: Door, actor: Actor, id: str, expected: str | None = None) -> Subject | Refusal:
    """
    Delete a person. For 30 days they can be brought back, and so long nobody else gets their names (CAN-10).

    Where two have to agree, one administrator deletes twenty in an hour; the word of a second allows as many more.
    """

    def decide(view: View) -> Done[Subject] | Refusal:
        subject = current("user", id, _known(view, id), expected)
        if isinstance(subject, Refusal):
            return subject
        if (refused := _in_emergency(view, id)) is not None:
            return refused
        gone = replace(subject, status="deleted", deleted_at=view.now, epoch=subject.epoch + 1)
        target = Target(
            id=id, name="", changes=(("deletedDateTime", None, view.now),)
        )  # Nothing of them (PII-04).
        effects = (PutSubject(gone), RevokeGrants(subject=id, at=view.now))
        if not view.directory.tenant.dual_control:
            return Done(gone, target, effects)
        bucket = rate.DELETED
        spent = rate.spend(view.history(bucket), rate.DELETIONS, view.now)
        counted = spent or rate.spend((), rate.DELETIONS, view.now) or ()
        kept = Count(bucket=bucket, history=counted, keep_until=rate.keep_until(counted, rate.DELETIONS))
        two = None if spent else control("mass_deletion", DELETE, MANY)
        return Done(gone, target, (*effects, kept), control=two)

    return await door.act(actor, DELETE, decide, id)


async def restore(door: Door, actor: Actor, id: str) -> Subject | Refusal:
    """Bring back a person who was deleted."""

    def decide(view: View) -> Done[Subject] | Refusal:
        subject = view.person(id)
        if subject is None or subject.status != "deleted":
            return missing("deleted user", id)
        back = replace(subject, status="active", deleted_at=None)
        return Done(back, Target(id=id, name=_name(back)), (PutSubject(back),))

    return await door.act(actor, RESTORE, decide, id)


async def revoke_sessions(door: Door, actor: Actor, id: str) -> Subject | Refusal:
    """End every session and every flow of a person; refresh tokens issued until now are dead."""

    def decide(view: View) -> Done[Subject] | Refusal:
        subject = current("user", id, _known(view, id))
        if isinstance(subject, Refusal):
            return subject
        changed = replace(subject, epoch=subject.epoch + 1, sessions_from=view.now)
        return Done(
            changed,
            Target(id=id, name=_name(subject), changes=differences(_seen(subject), _seen(changed))),
            (PutSubject(changed), RevokeGrants(subject=id, at=view.now)),
        )

    return await door.act(actor, REVOKE, decide, id)


async def reset_password(door: Door, actor: Actor, id: str, new: Secret) -> Subject | Refusal:
    """Give a person another password; it ends every session, and their owner is told."""
    return await change(door, actor, id, PersonChange(password=new))


# Methods. -----------------------------------------------------------------------------------------------------------

METHOD_KINDS: Mapping[Kind, str] = {Kind.EMAIL_OTP: "email", Kind.SMS_OTP: "phone", Kind.PASSKEY: "passkey"}


async def add_method(
    door: Door, actor: Actor, id: str, kind: Kind, target: Identifier
) -> Authenticator | Refusal:
    """
    Register a second factor for a person, one of each kind at most; it counts at once.

    Whether text messages go to the number's region is asked when one is sent.
    """
    draw = entropy()

    def decide(view: View) -> Done[Authenticator] | Refusal:
        subject = current("user", id, _known(view, id))
        if isinstance(subject, Refusal):
            return subject
        if (refused := _in_emergency(view, id)) is not None:
            return refused
        if _method(view.authenticators(id), kind) is not None:
            return invalid(f"There is {METHOD_KINDS[kind]} registered already: change or remove it.")
        method = Authenticator(
            id=draw.guid("method"),
            subject=id,
            kind=kind,
            target=target,
            source="administrator",
            created_at=view.now,
        )
        told = notices(view, subject, draw, "method_added", method=identifiers.mask(target))
        changes = ((METHOD_KINDS[kind], None, identifiers.mask(target)),)
        return Done(
            method, Target(id=id, name=_name(subject), changes=changes), (PutAuthenticator(method), *told)
        )

    return await door.act(actor, ADD_METHOD, decide, id)


async def change_method(
    door: Door, actor: Actor, id: str, kind: Kind, target: Identifier
) -> Authenticator | Refusal:
    """Send a person's codes to another address or number. Codes under way are dead."""
    draw = entropy()

    def decide(view: View) -> Done[Authenticator] | Refusal:
        subject = _known(view, id)
        if subject is not None and (refused := _in_emergency(view, id)) is not None:
            return refused
        method = _method(view.authenticators(id), kind) if subject else None
        if subject is None or method is None:
            return missing("authentication method", METHOD_KINDS[kind])
        changed = replace(method, target=target, formerly=_with_former(method, view.now))
        old = identifiers.mask(method.target) if method.target else None
        told = notices(view, subject, draw, "method_changed", method=identifiers.mask(target))
        changes = ((METHOD_KINDS[kind], old, identifiers.mask(target)),)
        return Done(
            changed, Target(id=id, name=_name(subject), changes=changes), (PutAuthenticator(changed), *told)
        )

    return await door.act(actor, CHANGE_METHOD, decide, id)


async def remove_method(
    door: Door, actor: Actor, id: str, kind: Kind, which: str = ""
) -> Authenticator | Refusal:
    """
    Take a second factor from a person; where a policy wants one they register another at their next sign-in.

    `which`: of several passkeys the one with this id.
    """
    draw = entropy()

    def decide(view: View) -> Done[Authenticator] | Refusal:
        subject = _known(view, id)
        if subject is not None and (refused := _in_emergency(view, id)) is not None:
            return refused
        method = _method(view.authenticators(id), kind, which) if subject else None
        if subject is None or method is None:
            return missing("authentication method", which or METHOD_KINDS[kind])
        gone = replace(method, state="tombstoned", removed_at=view.now)
        old = identifiers.mask(method.target) if method.target else method.id
        told = notices(view, subject, draw, "method_removed", method=old if method.target else "")
        changes = ((METHOD_KINDS[kind], old, None),)
        return Done(
            gone, Target(id=id, name=_name(subject), changes=changes), (PutAuthenticator(gone), *told)
        )

    return await door.act(actor, REMOVE_METHOD, decide, id)


def _method(held: tuple[Authenticator, ...], kind: Kind, which: str = "") -> Authenticator | None:
    if kind is Kind.PASSKEY:
        return next((a for a in held if a.kind is kind and a.id == which), None)
    return next((a for a in held if a.kind is kind and a.strong), None)


# Risk. --------------------------------------------------------------------------------------------------------------


async def set_risk(
    door: Door, actor: Actor, id: str, verdict: Literal["compromised", "safe", "dismissed"]
) -> Subject | Refusal:
    """Say what an administrator found of a person's risk; somebody confirmed as compromised has no session left."""

    def decide(view: View) -> Done[Subject] | Refusal:
        subject = current("user", id, _known(view, id))
        if isinstance(subject, Refusal):
            return subject
        risk, ends = VERDICTS[verdict](view.now), verdict == "compromised"
        changed = replace(subject, risk=risk, epoch=subject.epoch + int(ends))
        target = Target(id=id, name=_name(subject), changes=differences(_seen(subject), _seen(changed)))
        ended: tuple[Effect, ...] = ()
        if ends:
            ended = (RevokeGrants(subject=id, at=view.now), _confirmed(id, view))
        return Done(changed, target, (PutSubject(changed), *ended))

    return await door.act(actor, RISK, decide, id)


VERDICTS = {
    "compromised": account.confirmed_compromised,
    "safe": account.confirmed_safe,
    "dismissed": account.dismissed,
}


def _confirmed(id: str, view: View) -> Detect:
    """What an administrator confirmed is found like anything else."""
    found = Detection(
        id=entropy().guid("detection"),
        at=view.now,
        updated_at=view.now,
        subject=id,
        word="adminConfirmedUserCompromised",
        level="high",
        state="confirmedCompromised",
        detail="adminConfirmedUserCompromised",
        activity="user",
    )
    return Detect(found, view.now + view.directory.tenant.log_retention)


# What names and properties may be. ----------------------------------------------------------------------------------


class _Names(Struct, frozen=True):
    own: tuple[Identifier, ...]
    foreign: tuple[ForeignIdentity, ...]


def _named(given: tuple[Identity, ...], tenant: Tenant) -> _Names | Refusal:
    """Return the identities as names to sign in by, and names that are kept only."""
    if len(given) > MOST_IDENTITIES:
        return invalid(f"A person has {MOST_IDENTITIES} identities at most.", "identities")
    own: list[Identifier] = []
    foreign: list[ForeignIdentity] = []
    for identity in given:
        kind = identity.kind.lower()
        if kind == PRINCIPAL.lower():
            continue  # It is made from the id and cannot be given; a list that was read has it among the others.
        if len(identity.issuer) > LONGEST_ISSUER or not identity.value.strip():
            return invalid("An identity has an issuer of 512 characters at most, and an id.", "identities")
        is_ours = not identity.issuer or identity.issuer.lower() in _ours(tenant)
        if is_ours and _is_email_kind(kind):
            name = identifiers.email(identity.value)
            if name is None:
                return invalid("An identity of type emailAddress is an e-mail address.", "identities")
            own.append(name)
        elif is_ours and kind == USERNAME.lower():
            name = identifiers.username(identity.value)
            if name is None:
                return invalid(
                    "An identity of type userName has up to 64 letters, digits and signs, and no @.",
                    "identities",
                )
            own.append(name)
        elif kind in (FEDERATED, EMAIL.lower(), USERNAME.lower()) and not is_ours:
            if len(identity.value) > (254 if kind == EMAIL.lower() else LONGEST_ASSIGNED):
                return invalid(
                    f"An issuerAssignedId has {LONGEST_ASSIGNED} characters at most.", "identities"
                )
            spelt = {FEDERATED: FEDERATED, EMAIL.lower(): EMAIL, USERNAME.lower(): USERNAME}[kind]
            foreign.append(ForeignIdentity(kind=spelt, issuer=identity.issuer, value=identity.value))
        else:
            return invalid(
                f"An identity is of type {EMAIL}, {USERNAME} or {FEDERATED}; the last has an issuer of its own.",
                "identities",
            )
    if len({name.key for name in own}) < len(own) or len({name.key for name in foreign}) < len(foreign):
        return invalid("An identity is given twice.", "identities")
    return _Names(tuple(own), tuple(foreign))


def _is_email_kind(kind: str) -> bool:
    """`emailAddress`, and `emailAddress1` and so on."""
    rest = kind.removeprefix(EMAIL.lower())
    return rest == "" or (rest != kind and rest.isdigit())


def _ours(tenant: Tenant) -> frozenset[str]:
    return frozenset((tenant.name.lower(), tenant.id, *tenant.aliases))


def _is_principal(name: str, tenant: Tenant) -> bool:
    local, at, end = name.rpartition("@")
    return bool(at) and identifiers.username(local) is not None and end.lower() in _ours(tenant)


def _taken(view: View, subject: Subject) -> Refusal | None:
    """Refuse names that somebody else has."""
    principal = (f"\n{subject.principal_name.lower()}",) if subject.principal_name else ()
    for key in (*(i.key for i in subject.identifiers), *(f.key for f in subject.foreign), *principal):
        holder = view.holder(key)
        if holder is not None and holder.id != subject.id:
            return Refusal(
                why="taken",
                text="Another object with the same value for property identities already exists.",
                code="ObjectConflict",
                target="identities",
            )
    if subject.revision == 0 and view.person(subject.id) is not None:
        return Refusal(
            why="taken", text="There is a person with this id.", code="ObjectConflict", target="id"
        )
    return None


def _checked(given: Mapping[str, Scalar | None]) -> dict[str, Scalar | None] | Refusal:
    """Return properties as they are kept."""
    kept: dict[str, Scalar | None] = {}
    for name, value in given.items():
        longest = ATTRIBUTES.get(name, LONGEST_EXTENSION)
        if name not in ATTRIBUTES and not name.startswith("extension_"):
            return invalid(f"There is no property {name}.", name)
        if value is None:
            kept[name] = None
        elif name in ATTRIBUTES and not isinstance(value, str):
            return invalid(f"The property {name} is a text.", name)
        elif isinstance(value, str):
            if len(value) > longest or any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in value):
                return invalid(
                    f"The property {name} has {longest} characters at most, and no control characters.", name
                )
            if name == "mail" and value and identifiers.email(value) is None:
                return invalid("The property mail is an e-mail address.", name)
            kept[name] = value
        elif value.bit_length() > 63:
            return invalid(f"The property {name} is too large.", name)
        else:
            kept[name] = value
    return kept


def _changed(subject: Subject, change: PersonChange, view: View) -> Subject | Refusal:
    tenant = view.directory.tenant
    attributes = _checked(change.attributes)
    if isinstance(attributes, Refusal):
        return attributes
    merged = {**subject.attributes, **attributes}
    changed = replace(subject, attributes={n: v for n, v in merged.items() if v is not None})
    if sum(name.startswith("extension_") for name in changed.attributes) > MOST_EXTENSIONS:
        return invalid(f"A person has {MOST_EXTENSIONS} custom attributes at most.")
    if not isinstance(change.identities, UnsetType):
        names = _named(change.identities, tenant)
        if isinstance(names, Refusal):
            return names
        changed = replace(changed, identifiers=names.own, foreign=names.foreign)
        if (taken := _taken(view, changed)) is not None:
            return taken
    if not isinstance(change.enabled, UnsetType):
        changed = replace(changed, status="active" if change.enabled else "disabled")
    if not isinstance(change.must_change_password, UnsetType):
        changed = replace(changed, must_change_password=change.must_change_password)
    elif not isinstance(change.password, UnsetType):
        changed = replace(changed, must_change_password=False)
    return changed


# What proves a person. ----------------------------------------------------------------------------------------------


def _first_factor(
    subject: Subject, material: Secret | None, email: Identifier | None, id: str, now: datetime
) -> Authenticator | None:
    """What somebody signs in by: a password if there is one, else codes to their address."""
    if material is None and email is None:
        return None
    return Authenticator(
        id=id,
        subject=subject.id,
        kind=Kind.EMAIL_OTP if material is None else Kind.PASSWORD,
        target=email if material is None else None,
        material=material,
        strong=False,
        source="administrator",
        created_at=now,
    )


def _with_password(
    subject: Subject, held: tuple[Authenticator, ...], material: Secret, id: str, now: datetime
) -> Authenticator:
    old = next((a for a in held if a.kind is Kind.PASSWORD), None)
    if old is None:
        return Authenticator(
            id=id,
            subject=subject.id,
            kind=Kind.PASSWORD,
            material=material,
            strong=False,
            source="administrator",
            created_at=now,
        )
    previous = (old.material, *old.previous) if old.material else old.previous
    return replace(
        old, material=material, previous=previous[:PASSWORDS_REMEMBERED], changed_at=now, reset_at=None
    )


def _with_former(method: Authenticator, now: datetime) -> tuple[Formerly, ...]:
    """Where a method's codes have gone, when from now on they go elsewhere."""
    return (*method.formerly, *((Formerly(target=method.target, until=now),) if method.target else ()))


def _first_factor_moves(
    before: Subject, after: Subject, held: tuple[Authenticator, ...], draw: Entropy, now: datetime
) -> list[Effect]:
    """Where the sign-in address is another now, codes to sign in go to it and no more to the old one."""
    if before.email == after.email:
        return []
    codes = next((a for a in held if a.kind is Kind.EMAIL_OTP and not a.strong), None)
    if codes is not None:
        if after.email:
            moved = replace(codes, target=after.email, formerly=_with_former(codes, now))
        else:
            moved = replace(codes, state="tombstoned", removed_at=now)
        return [PutAuthenticator(moved)]
    if after.email is not None and not any(a.kind is Kind.PASSWORD for a in held):
        new = _first_factor(after, None, after.email, draw.guid("codes"), now)
        return [PutAuthenticator(new)] if new else []
    return []


async def _hashed(
    door: Door, password: Secret, words: tuple[str, ...], earlier: tuple[Secret, ...] = ()
) -> Secret | Refusal:
    if door.hashing.is_full:
        return Refusal(why="overloaded", text="Too busy; try again in a moment.")
    hashed: Hashed = await door.hashing.hash_new(password, words, door.store.directory().tenant, earlier)
    if hashed.material is None:
        rule = RULES.get(hashed.refused or Reason.PASSWORD_INVALID, "it cannot be used")
        code = hashed.refused.value if hashed.refused else ""
        return invalid(f"The specified password does not comply with the rules: {rule}.", "password", code)
    return hashed.material


def _earlier(held: tuple[Authenticator, ...]) -> tuple[Secret, ...]:
    return tuple(m for a in held if a.kind is Kind.PASSWORD for m in (a.material, *a.previous) if m)


def _words(subject: Subject) -> tuple[str, ...]:
    """The person's own names: none of them is a password (PWD-04)."""
    return (*(i.value for i in subject.identifiers), *map(str, subject.attributes.values()))


# How the log sees a person. -----------------------------------------------------------------------------------------


def _in_emergency(view: View, id: str) -> Refusal | None:
    """
    Refuse what decides who controls an account while it is in an emergency (emergency-protocol E24).

    Before the method is even looked at: one that is quarantined would else seem to be missing.
    """
    loaded, _ = emergency.settled(view.loaded(id), entropy())
    state = emergencies.takeover_refused(loaded)
    if state is None:
        return None
    return Refusal(
        why="forbidden",
        text=f"The account is in an emergency ({state}): who controls it cannot be changed until that is over.",
        code="account_in_emergency",
    )


def _known(view: View, id: str) -> Subject | None:
    subject = view.person(id)
    return None if subject is None or subject.status == "deleted" else subject


def _name(subject: Subject) -> str:
    return str(subject.attributes.get("displayName", ""))


def _seen(subject: Subject) -> dict[str, Any]:
    return {
        "accountEnabled": subject.status == "active",
        "identities": [identifiers.mask(i) for i in subject.identifiers]
        + [f"{f.issuer}: {SECRET}" for f in subject.foreign],
        "userPrincipalName": subject.principal_name or None,
        "forceChangePasswordNextSignIn": subject.must_change_password,
        "signInSessionsValidFromDateTime": subject.sessions_from,
        "riskLevel": subject.risk.level,
        "riskState": subject.risk.state,
        **subject.attributes,
    }
