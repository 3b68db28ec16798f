"""
What an administrator has configured, as rows: one document for each thing, and who is in which group.

Knows no driver. What is kept in memory of it is right as long as the revision in `meta` stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import msgspec

from genkan.engine.messages import Directory, Document
from genkan.engine.transaction import Conflict
from genkan.model import (
    Approval,
    BootstrapToken,
    Client,
    Extension,
    Kind,
    Listener,
    MethodSettings,
    Resource,
    SignUpFlow,
    Stream,
    Tenant,
    Transmitter,
)
from genkan.policy.index import PolicySet, unreadable
from genkan.policy.model import (
    AuthenticationContext,
    NamedLocation,
    Policy,
    Strength,
)
from genkan.store import sql

Key: TypeAlias = tuple[str, str]
"""Kind and id of a document."""

_tenant = msgspec.json.Decoder(Tenant).decode
_resource = msgspec.json.Decoder(Resource).decode
_read_policy = msgspec.json.Decoder(Policy).decode
_method = msgspec.json.Decoder(MethodSettings).decode
_location = msgspec.json.Decoder(NamedLocation).decode
_strength = msgspec.json.Decoder(Strength).decode
_context = msgspec.json.Decoder(AuthenticationContext).decode
_sign_up_flow = msgspec.json.Decoder(SignUpFlow).decode
_extension = msgspec.json.Decoder(Extension).decode
_listener = msgspec.json.Decoder(Listener).decode
_stream = msgspec.json.Decoder(Stream).decode
_transmitter = msgspec.json.Decoder(Transmitter).decode
_bootstrap_token = msgspec.json.Decoder(BootstrapToken).decode
_approval = msgspec.json.Decoder(Approval).decode
_client = msgspec.json.Decoder(Client).decode


class Configuration(NamedTuple):
    """What a store keeps in memory."""

    revision: str
    directory: Directory
    has_groups: bool


def read(execute: sql.Execute, known: Configuration | None, tenant: str) -> Configuration:
    """Return what is configured: the one known if it is still right, else read anew."""
    (revision,) = execute(sql.META, (sql.REVISION,)).fetchone()
    if known is not None and known.revision == revision:
        return known
    (has_groups,) = execute(sql.HAS_MEMBERSHIPS, ()).fetchone()
    bodies: dict[str, dict[str, str]] = {}
    for kind, name, body in execute(sql.DOCUMENTS, ()).fetchall():
        bodies.setdefault(kind, {})[name] = body
    named = bodies.get("tenant", {}).get(tenant)
    directory = Directory(
        tenant=_tenant(named) if named else Tenant(id=tenant, name=""),
        clients={name: _client(body) for name, body in bodies.get("client", {}).items()},
        resources={name: _resource(body) for name, body in bodies.get("resource", {}).items()},
        policies=PolicySet(_policy(name, body) for name, body in bodies.get("policy", {}).items()),
        methods={Kind(name): _method(body) for name, body in bodies.get("method", {}).items()},
        locations={name: _location(body) for name, body in bodies.get("location", {}).items()},
        strengths={name: _strength(body) for name, body in bodies.get("strength", {}).items()},
        contexts={name: _context(body) for name, body in bodies.get("context", {}).items()},
        sign_up_flows={name: _sign_up_flow(body) for name, body in bodies.get("sign_up_flow", {}).items()},
        extensions={name: _extension(body) for name, body in bodies.get("extension", {}).items()},
        listeners={name: _listener(body) for name, body in bodies.get("listener", {}).items()},
        streams={name: _stream(body) for name, body in bodies.get("stream", {}).items()},
        transmitters={name: _transmitter(body) for name, body in bodies.get("transmitter", {}).items()},
        bootstrap_token=next(map(_bootstrap_token, bodies.get("bootstrap_token", {}).values()), None),
        approvals={name: _approval(body) for name, body in bodies.get("approval", {}).items()},
        revision=int(revision),
    )
    return Configuration(revision, directory, bool(has_groups))


def _policy(name: str, body: str) -> Policy:
    """A policy that cannot be read still binds: whoever cannot judge must refuse (CA-02)."""
    try:
        return _read_policy(body)
    except msgspec.DecodeError:
        return unreadable(name)


def replace(execute: sql.Execute, directory: Directory, tenant: str) -> None:
    """
    Put this directory in the place of the whole one.

    Raises: `Conflict` when the one stored is of another revision; a directory of revision 0 replaces any.
    """
    (revision,) = execute(sql.META, (sql.REVISION,)).fetchone()
    if directory.revision not in (0, int(revision)):
        raise Conflict(f"the directory was changed meanwhile: revision {revision}, not {directory.revision}")
    execute(sql.REMOVE_DOCUMENTS, ())
    put(execute, _documents(directory), tenant)


def put(execute: sql.Execute, documents: Iterable[Document], tenant: str) -> None:
    """Insert documents, or replace those of the same kind and id."""
    for document in documents:
        kind, name, body = sql.document_row(document)
        if kind == "tenant" and name != tenant:
            raise ValueError(f"this is the database of tenant {tenant}, not of {name}")
        execute(sql.PUT_DOCUMENT, (kind, name, body))
    touch(execute)


def remove(execute: sql.Execute, keys: Iterable[Key]) -> None:
    """Delete documents by kind and id."""
    for key in keys:
        execute(sql.REMOVE_DOCUMENT, key)
    touch(execute)


def change_members(execute: sql.Execute, text: str, group: str, members: Iterable[str]) -> None:
    """Add members to a group, or remove them, as the statement says."""
    for member in members:
        execute(text, (member, group))
    touch(execute)


def touch(execute: sql.Execute) -> None:
    """Let everybody know that what they keep in memory is of yesterday."""
    execute(sql.TOUCH.text, (sql.REVISION,))


def _documents(directory: Directory) -> Iterator[Document]:
    yield directory.tenant
    yield from directory.clients.values()
    yield from directory.resources.values()
    yield from directory.policies
    yield from directory.methods.items()
    yield from directory.locations.values()
    yield from directory.strengths.values()
    yield from directory.contexts.values()
    yield from directory.sign_up_flows.values()
    yield from directory.extensions.values()
    yield from directory.listeners.values()
    yield from directory.streams.values()
    yield from directory.transmitters.values()
    if directory.bootstrap_token is not None:
        yield directory.bootstrap_token
    yield from directory.approvals.values()
