"""
Make people of the records that other systems export.

A format is a function from the fields of a record to a `Draft`, which says who it is in that system's terms; `_person`
judges all drafts alike. Whatever is no use refuses the record, never the file. No address is guessed or repaired:
`identifiers` says what is one.
Source: what Auth0, Amazon Cognito, Firebase, Keycloak and Microsoft Graph document of their exports; CAN-01; LOG-01.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, field

from genkan import identifiers
from genkan.factors import foreign
from genkan.intake.records import Fields, NotReadable, Record, comma_separated, json_values
from genkan.model import Identifier, Scalar, Secret

Format = Literal["csv", "jsonl", "auth0", "cognito", "firebase", "keycloak", "entra"]

RESET = Secret("reset")
"""The material of a password that nobody knows: it is no hash, so only a reset lets its owner in."""


class FirebaseHashing(Struct, frozen=True, kw_only=True):
    """The password hash parameters of a Firebase project."""

    signer_key: bytes
    separator: bytes
    rounds: int
    memory: int

    def __repr__(self) -> str:
        return "FirebaseHashing(…)"


class Choices(Struct, frozen=True, kw_only=True):
    """What whoever imports decides about people who are not quite as one would like."""

    unproven: Literal["code", "keep", "refuse"] = "code"
    """An address that its owner never proved: they sign in by a code to it; their password counts; they stay out."""
    no_password: Literal["code", "reset"] = "code"
    """Somebody without a password hash signs in by codes to their address, or resets the password first."""
    bad_hash: Literal["refuse", "drop"] = "refuse"
    """A hash that cannot be kept: its owner stays out, or comes in as somebody without."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Properties of Genkan by fields of the records; `a.b` is the field `b` of the object `a`."""
    properties: frozenset[str] = frozenset()
    """The properties that a person may have beside `extension_…`."""
    firebase: FirebaseHashing | None = None


class Person(Struct, frozen=True, kw_only=True):
    """Somebody to be added."""

    line: int
    number: int
    email: Identifier | None
    username: Identifier | None
    phone: Identifier | None
    """A number that is proven: a second factor."""
    source: str
    """Who they were where they come from: what makes importing them twice the same as once."""
    id: str
    """The GUID they had there, if it was one: apps know people by it."""
    attributes: dict[str, Scalar]
    material: Secret | None
    enabled: bool
    must_change_password: bool
    created_at: datetime | None
    notes: tuple[str, ...] = ()
    """What of the record was left behind, and why."""


class Refused(Struct, frozen=True, kw_only=True):
    """A record that is nobody who could be added."""

    line: int
    number: int
    reason: str
    """In a few words, without anybody's address or hash."""


def people(source: Format, lines: Iterable[str], choices: Choices) -> Iterator[Person | Refused]:
    """
    Read a file's people, in their order.

    Shapes:   lines as a text file yields them, UTF-8 decoded with `surrogateescape`.
    Raises:   `NotReadable` for a file of another kind, at once or when it shows.
    """
    records, draft = _FORMATS[source]
    for record in records(lines):
        try:
            if isinstance(record.fields, str):
                raise _Unfit(record.fields)
            yield _person(record, draft(_renamed(record.fields, choices), choices), choices)
        except _Unfit as unfit:
            yield Refused(line=record.line, number=record.number, reason=str(unfit))


class _Unfit(Exception):
    """This record cannot be taken; the message says why."""


# What all formats have in common. ------------------------------------------------------------------------------------


class Draft(Struct, kw_only=True):
    """Who a record is about, before anything of it is judged."""

    email: str = ""
    username: str = ""
    phone: str = ""
    email_proven: bool = True
    phone_proven: bool = False
    source: str = ""
    id: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    hashed: Secret | str | None = None
    """A hash that can be kept, why it cannot, or None where there is none."""
    enabled: bool = True
    must_change_password: bool = False
    created_at: datetime | None = None


def _person(record: Record, draft: Draft, choices: Choices) -> Person:
    notes: list[str] = []
    email = username = phone = None
    if draft.email:
        email = identifiers.email(draft.email)
        if email is None:
            raise _Unfit("its e-mail address is none, or not one that mail can be sent to")
    if draft.username:
        username = identifiers.username(draft.username)
        if username is None and email is None:
            raise _Unfit("its username has other signs than letters, digits and punctuation, or too many")
        if username is None:
            notes.append("the username was left out: it has other signs than letters, digits and punctuation")
    if draft.phone and draft.phone_proven:
        phone = identifiers.phone(draft.phone)
        if phone is None:
            notes.append("the telephone number was left out: it is none to which a code may go")
    if email is None and username is None:
        raise _Unfit("it has neither an e-mail address nor a username")
    material = _material(draft, choices, notes)
    if material is not None and not draft.email_proven and email is not None:
        if choices.unproven == "refuse":
            raise _Unfit("its e-mail address was never proven")
        if choices.unproven == "code":
            material = None
            notes.append("the password was left out: the e-mail address was never proven")
    if material is None and (choices.no_password == "reset" or email is None):
        if email is None:
            raise _Unfit("it has no password hash, and no e-mail address to which a code could go")
        material = RESET
    return Person(
        line=record.line,
        number=record.number,
        email=email,
        username=username,
        phone=phone,
        source=draft.source or (email or username).key,  # type: ignore[union-attr]
        id=_guid(draft.id),
        attributes=_scalars(draft.attributes, notes),
        material=material,
        enabled=draft.enabled,
        must_change_password=draft.must_change_password and material not in (None, RESET),
        created_at=draft.created_at,
        notes=tuple(notes),
    )


def _material(draft: Draft, choices: Choices, notes: list[str]) -> Secret | None:
    if not isinstance(draft.hashed, str):
        return draft.hashed
    if choices.bad_hash == "refuse":
        raise _Unfit(draft.hashed)
    notes.append(f"the password was left out: {draft.hashed}")
    return None


def _scalars(given: Mapping[str, Any], notes: list[str]) -> dict[str, Scalar]:
    kept: dict[str, Scalar] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        if name == "displayName" and isinstance(value, str) and identifiers.email(value) is not None:
            continue  # Some systems repeat the address there, and names are logged where addresses are not (LOG-01).
        if isinstance(value, str | bool | int):
            kept[name] = value
        else:
            notes.append(f"the property {name} was left out: it is no text, number or yes and no")
    return kept


def _guid(text: str) -> str:
    """Return a GUID as ids are written; empty for anything else."""
    text = text.strip().lower()
    parts = text.split("-")
    is_one = [len(part) for part in parts] == [8, 4, 4, 4, 12] and set(text) <= set("0123456789abcdef-")
    return text if is_one else ""


def _renamed(fields: Fields, choices: Choices) -> Fields:
    """Add the properties that were asked for by name."""
    if not choices.renamed:
        return fields
    more = {}
    for source, name in choices.renamed.items():
        value: Any = fields.get(source)
        if value is None:
            value = fields
            for part in source.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        more[name] = value
    return {**fields, **more}


def _properties(fields: Fields, choices: Choices, **named: str) -> dict[str, Any]:
    """Return what a record says under the names of properties, and under these names of its own for them."""
    found: dict[str, Any] = {
        name: value
        for name, value in fields.items()
        if name in choices.properties or name.startswith("extension_")
    }
    for name, source in named.items():
        if name in choices.properties and fields.get(source) not in (None, ""):
            found.setdefault(name, fields[source])
    return found


def _text(fields: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that has a text."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


_YES, _NO = frozenset({"true", "yes", "1", "y", "t"}), frozenset({"false", "no", "0", "n", "f"})


def _flag(fields: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    """Read a yes or no; anything but these is refused, for guessing could let somebody in."""
    value = fields.get(name)
    if value is None or value == "":
        return otherwise
    text = str(value).strip().lower()
    if text not in _YES | _NO:
        raise _Unfit(f"its {name} is neither true nor false")
    return text in _YES


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(value: Any) -> datetime | None:
    """Read a time as exports write it: ISO 8601, seconds or milliseconds, or an object of MongoDB's."""
    if isinstance(value, dict):
        return _time(value.get("$date"))
    if isinstance(value, str) and not value.strip().isdigit():
        with suppress(ValueError):
            found = datetime.fromisoformat(value.strip())
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return None
    try:
        count = float(value)
        return _EPOCH + timedelta(seconds=count / 1000 if count > 1e11 else count)
    except (TypeError, ValueError, OverflowError):
        return None


def _hash(text: str) -> Secret | str | None:
    return foreign.read(text) if text else None


def _bytes(text: str, encoding: str) -> bytes:
    """Read bytes as an export writes them. Raises: ValueError."""
    match encoding:
        case "hex":
            return bytes.fromhex(text)
        case "base64":
            return foreign.unpadded(text)
        case _:
            return text.encode()


def _inner(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object inside, also one that stands there as text; empty where there is none."""
    value = fields.get(name)
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value if isinstance(value, dict) else {}


def _objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = fields.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# CSV and JSON Lines. -------------------------------------------------------------------------------------------------


def _plain(fields: Fields, choices: Choices) -> Draft:
    """Fields of Genkan's own names (docs/how-to/bring-your-users.md)."""
    if "password" in fields:
        raise _Unfit("it has a password in clear: hash it first, and delete the file")
    return Draft(
        email=_text(fields, "email"),
        username=_text(fields, "username"),
        phone=_text(fields, "phone"),
        email_proven=_flag(fields, "email_verified", True),
        phone_proven=_flag(fields, "phone_verified", False),
        source=_text(fields, "id"),
        id=_text(fields, "id"),
        attributes=_properties(
            fields, choices, displayName="display_name", givenName="given_name", surname="family_name"
        ),
        hashed=_hash(_text(fields, "password_hash")),
        enabled=_flag(fields, "enabled", True),
        must_change_password=_flag(fields, "must_change_password", False),
        created_at=_time(fields.get("created_at")),
    )


# Auth0. --------------------------------------------------------------------------------------------------------------


def _auth0(fields: Fields, choices: Choices) -> Draft:
    """A user of an export, of a bulk import, or of the list of password hashes that Auth0's support hands out."""
    name = _text(fields, "name")
    oid = _text(_inner(fields, "_id"), "$oid")
    custom = _inner(fields, "custom_password_hash")
    return Draft(
        email=_text(fields, "email"),
        username=_text(fields, "username"),
        phone=_text(fields, "phone_number"),
        email_proven=_flag(fields, "email_verified", False),
        phone_proven=_flag(fields, "phone_verified", False),
        source=_text(fields, "user_id") or (oid and f"auth0|{oid}"),
        attributes=_properties(
            fields if name == _text(fields, "email") else {**fields, "displayName": name},
            choices,
            givenName="given_name",
            surname="family_name",
        ),
        hashed=_auth0_hash(custom) if custom else _hash(_text(fields, "password_hash", "passwordHash")),
        enabled=not _flag(fields, "blocked", False),
        created_at=_time(fields.get("created_at")),
    )


def _auth0_hash(custom: dict[str, Any]) -> Secret | str:
    algorithm, hashed, salt = _text(custom, "algorithm"), _inner(custom, "hash"), _inner(custom, "salt")
    value, encoding = _text(hashed, "value"), _text(hashed, "encoding")
    match algorithm:
        case "bcrypt" | "argon2" | "pbkdf2" | "ldap":
            return foreign.read(value)
        case "scrypt":
            try:
                cost = int(custom.get("cost", 16384))
                return foreign.keep(
                    foreign.Scrypt(
                        log_n=cost.bit_length() - 1 if cost.bit_count() == 1 else 0,
                        r=int(custom.get("blockSize", 8)),
                        p=int(custom.get("parallelization", 1)),
                        salt=_bytes(_text(salt, "value"), _text(salt, "encoding")),
                        tag=_bytes(value, encoding or "hex"),
                    )
                )
            except (TypeError, ValueError):
                return "the password hash is damaged"
        case _:
            return f"password hashes of this kind cannot be kept ({algorithm[:16] or 'unnamed'})"


# Amazon Cognito. -----------------------------------------------------------------------------------------------------


def _cognito(fields: Fields, choices: Choices) -> Draft:
    """A row with the columns of a user import job, or a user as `list-users` writes it. Neither has password hashes."""
    said = {
        _text(one, "Name"): one.get("Value")
        for one in [*_objects(fields, "Attributes"), *_objects(fields, "UserAttributes")]
    }
    said = {**fields, **said}
    username = _text(said, "cognito:username", "Username")
    sub = _text(said, "sub")
    is_made_up = username == sub or bool(_guid(username)) or "@" in username or username.startswith("+")
    return Draft(
        email=_text(said, "email"),
        username=_text(said, "preferred_username") or ("" if is_made_up else username),
        phone=_text(said, "phone_number"),
        email_proven=_flag(said, "email_verified", False),
        phone_proven=_flag(said, "phone_number_verified", False),
        source=sub or username,
        id=sub,
        attributes=_properties(
            said, choices, displayName="name", givenName="given_name", surname="family_name"
        ),
        enabled=_flag(said, "Enabled", True),
        created_at=_time(said.get("UserCreateDate")),
    )


# Firebase. -----------------------------------------------------------------------------------------------------------

_FIREBASE_COLUMNS = (
    "localId email emailVerified passwordHash salt displayName photoUrl"
    " google.id google.email google.name google.photo facebook.id facebook.email facebook.name facebook.photo"
    " twitter.id twitter.email twitter.name twitter.photo github.id github.email github.name github.photo"
    " createdAt lastSignedInAt phoneNumber disabled customAttributes end"
).split()
"""`auth:export` writes no first line, and a comma behind the last field."""


def _firebase(fields: Fields, choices: Choices) -> Draft:
    """A user as `firebase auth:export` writes it."""
    hashed: Secret | str | None = None
    if (written := _text(fields, "passwordHash")) and choices.firebase is None:
        raise NotReadable(
            "The file has password hashes, and only the project's password hash parameters tell what they are. "
            "Save them from the Firebase console (Authentication, Users, Password hash parameters) and name the "
            "file with --firebase-hashing."
        )
    if written and (known := choices.firebase) is not None:
        try:
            hashed = foreign.firebase(
                log_n=known.memory,
                r=known.rounds,
                salt=foreign.unpadded(_text(fields, "salt")),
                separator=known.separator,
                signer_key=known.signer_key,
                tag=foreign.unpadded(written),
            )
        except ValueError:
            hashed = "the password hash is damaged"
    return Draft(
        email=_text(fields, "email"),
        phone=_text(fields, "phoneNumber"),
        email_proven=_flag(fields, "emailVerified", False),
        phone_proven=True,  # Firebase keeps a number only once its owner has signed in by a code to it.
        source=_text(fields, "localId"),
        attributes=_properties(fields, choices),
        hashed=hashed,
        enabled=not _flag(fields, "disabled", False),
        created_at=_time(fields.get("createdAt")),
    )


def firebase_hashing(text: str) -> FirebaseHashing:
    """
    Read password hash parameters as the Firebase console shows them, `hash_config { … }`, or the same as JSON.

    Raises: `NotReadable`.
    """
    values: dict[str, str] = {}
    for line in text.replace("{", "\n").replace("}", "\n").replace(",", "\n").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values[name.strip().strip('"')] = value.strip().strip('"')
    try:
        if values.get("algorithm", "SCRYPT") != "SCRYPT":
            raise ValueError("another algorithm")
        return FirebaseHashing(
            signer_key=foreign.unpadded(values["base64_signer_key"]),
            separator=foreign.unpadded(values["base64_salt_separator"]),
            rounds=int(values["rounds"]),
            memory=int(values["mem_cost"]),
        )
    except (KeyError, ValueError):
        raise NotReadable(
            "The password hash parameters cannot be read. Copy them from the Firebase console as they are: algorithm "
            "SCRYPT, base64_signer_key, base64_salt_separator, rounds and mem_cost."
        ) from None


# Keycloak. -----------------------------------------------------------------------------------------------------------

_KEYCLOAK_DIGESTS: dict[str, foreign.Digest] = {
    "pbkdf2": "sha1",
    "pbkdf2-sha256": "sha256",
    "pbkdf2-sha512": "sha512",
}


def _keycloak(fields: Fields, choices: Choices) -> Draft:
    """A user of a realm export."""
    if _text(fields, "serviceAccountClientId"):
        raise _Unfit("it is the service account of an application")
    email, username = _text(fields, "email"), _text(fields, "username")
    actions = fields.get("requiredActions") or []
    credential = next((c for c in _objects(fields, "credentials") if _text(c, "type") == "password"), None)
    return Draft(
        email=email or (username if "@" in username else ""),
        username="" if "@" in username else username,
        email_proven=_flag(fields, "emailVerified", False),
        source=_text(fields, "id"),
        id=_text(fields, "id"),
        attributes=_properties(
            {**_first_values(_inner(fields, "attributes")), **fields},
            choices,
            givenName="firstName",
            surname="lastName",
        )
        | _full_name(_text(fields, "firstName"), _text(fields, "lastName"), choices),
        hashed=_keycloak_hash(credential) if credential else None,
        enabled=_flag(fields, "enabled", True),
        must_change_password=isinstance(actions, list) and "UPDATE_PASSWORD" in actions,
        created_at=_time(fields.get("createdTimestamp")),
    )


def _first_values(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of Keycloak are lists; a property is one value."""
    return {
        name: values[0] if isinstance(values, list) and values else values
        for name, values in attributes.items()
        if not isinstance(values, list) or len(values) == 1
    }


def _full_name(first: str, last: str, choices: Choices) -> dict[str, str]:
    name = f"{first} {last}".strip()
    return {"displayName": name} if name and "displayName" in choices.properties else {}


def _keycloak_hash(credential: dict[str, Any]) -> Secret | str:
    secret, said = _inner(credential, "secretData"), _inner(credential, "credentialData")
    if not secret:  # before Keycloak 7
        secret = {"value": credential.get("hashedSaltedValue"), "salt": credential.get("salt")}
        said = {name: credential.get(name) for name in ("algorithm", "hashIterations")}
    algorithm, value = _text(said, "algorithm"), _text(secret, "value")
    more = _first_values(_inner(said, "additionalParameters"))
    try:
        if value.startswith("$"):  # of an extension, as for bcrypt: the usual string
            return foreign.read(value)
        salt, tag = foreign.unpadded(_text(secret, "salt")), foreign.unpadded(value)
        rounds = int(said.get("hashIterations") or 0)
        if algorithm == "argon2":
            if str(more.get("version", "1.3")) != "1.3":
                return "password hashes of this kind cannot be kept (Argon2 before 1.3)"
            return foreign.keep(
                foreign.Argon2(
                    variant=f"argon2{more.get('type', 'id')}",  # type: ignore[arg-type]
                    memory_kib=int(more.get("memory", 7168)),
                    passes=rounds,
                    lanes=int(more.get("parallelism", 1)),
                    salt=salt,
                    tag=tag,
                )
            )
        if (digest := _KEYCLOAK_DIGESTS.get(algorithm)) is not None:
            return foreign.keep(foreign.Pbkdf2(digest=digest, rounds=rounds, salt=salt, tag=tag))
    except (TypeError, ValueError):
        return "the password hash is damaged"
    return f"password hashes of this kind cannot be kept ({algorithm[:16] or 'unnamed'})"


# Microsoft Entra. ----------------------------------------------------------------------------------------------------


def _entra(fields: Fields, choices: Choices) -> Draft:
    """A user as Microsoft Graph writes it; ask for `identities` by `$select`. There are no password hashes."""
    names = {
        _text(one, "signInType").lower(): _text(one, "issuerAssignedId")
        for one in reversed(_objects(fields, "identities"))
    }
    return Draft(
        email=names.get("emailaddress", "") or _text(fields, "mail"),
        username=names.get("username", ""),
        source=_text(fields, "id"),
        id=_text(fields, "id"),
        attributes=_properties(fields, choices),
        enabled=_flag(fields, "accountEnabled", True),
        created_at=_time(fields.get("createdDateTime")),
    )


# The table. ----------------------------------------------------------------------------------------------------------


def _csv_or_json(columns: Iterable[str], *members: str) -> Callable[[Iterable[str]], Iterator[Record]]:
    def records(lines: Iterable[str]) -> Iterator[Record]:
        rest = iter(lines)
        first = next(rest, "")
        several = (line for part in ((first,), rest) for line in part)
        if first.lstrip("\ufeff").lstrip()[:1] in ("{", "["):
            return json_values(several, *members)
        return comma_separated(several, tuple(columns))

    return records


_FORMATS: dict[
    Format, tuple[Callable[[Iterable[str]], Iterator[Record]], Callable[[Fields, Choices], Draft]]
] = {
    "csv": (comma_separated, _plain),
    "jsonl": (json_values, _plain),
    "auth0": (lambda lines: json_values(lines, "users"), _auth0),
    "cognito": (_csv_or_json((), "Users"), _cognito),
    "firebase": (_csv_or_json(_FIREBASE_COLUMNS, "users"), _firebase),
    "keycloak": (lambda lines: json_values(lines, "users"), _keycloak),
    "entra": (lambda lines: json_values(lines, "value"), _entra),
}
