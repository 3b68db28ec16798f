"""What other systems export of people: who is read of it, and why others are not."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.factors import password
from genkan.intake.formats import (
    RESET,
    Choices,
    FirebaseHashing,
    Format,
    Person,
    Refused,
    firebase_hashing,
    people,
)
from genkan.intake.records import NotReadable
from genkan.service.admin.people import ATTRIBUTES

CHOICES = Choices(properties=frozenset(ATTRIBUTES))
GUID = "0b1c2d3e-4f50-4a61-8b72-9c83ad94be05"
UNIX = bcrypt.hashpw(b"bcrypt", bcrypt.gensalt(4)).decode()
NUMBER = "+447812345678"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(source: Format, text: Any, choices: Choices = CHOICES) -> list[Person | Refused]:
    if not isinstance(text, str):
        text = json.dumps(text)
    return list(people(source, text.splitlines(keepends=True), choices))


def one(source: Format, text: Any, choices: Choices = CHOICES) -> Person:
    (found,) = read(source, text, choices)
    assert isinstance(found, Person), found
    return found


def none(source: Format, text: Any, choices: Choices = CHOICES) -> str:
    (found,) = read(source, text, choices)
    assert isinstance(found, Refused), found
    return found.reason


def fits(person: Person, text: str) -> bool:
    assert not password.verify(person.material, text + "x")
    return password.verify(person.material, text)


# CSV and JSON Lines. -------------------------------------------------------------------------------------------------


def test_a_row_of_csv_is_a_person() -> None:
    person = one(
        "csv",
        "email,username,phone,phone_verified,display_name,city,extension_plan,shoe,password_hash,enabled,created_at,id\n"
        f" Ada@Example.com ,ada,{NUMBER},yes,Ada,London,gold,41,{UNIX},no,2024-05-06T07:08:09+02:00,{GUID.upper()}\n",
    )

    assert (person.line, person.number) == (2, 1)
    assert person.email is not None
    assert (person.email.key, person.email.value) == ("ada@example.com", "Ada@Example.com")
    assert person.username is not None
    assert person.username.key == "ada"
    assert person.phone is not None
    assert person.phone.key == NUMBER
    assert person.attributes == {"displayName": "Ada", "city": "London", "extension_plan": "gold"}
    assert person.enabled is False
    assert person.created_at == datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert person.id == GUID
    assert person.notes == ()
    assert fits(person, "bcrypt")


def test_a_line_of_json_is_a_person_and_properties_may_be_renamed() -> None:
    choices = replace(CHOICES, renamed={"profile.town": "city", "plan": "extension_plan"})

    person = one("jsonl", {"email": "a@example.com", "profile": {"town": "Zürich"}, "plan": 7}, choices)

    assert person.attributes == {"city": "Zürich", "extension_plan": 7}
    assert person.material is None, "they sign in by a code"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"name": "Ada"}, "it has neither an e-mail address nor a username"),
        ({"email": "ada@nowhere"}, "its e-mail address is none, or not one that mail can be sent to"),
        ({"email": "a@example.com, b@example.com"}, "its e-mail address is none, or not one that mail can be sent to"),
        ({"username": "zoë"}, "its username has other signs than letters, digits and punctuation, or too many"),
        ({"username": "zoe"}, "it has no password hash, and no e-mail address to which a code could go"),
        ({"email": "a@example.com", "enabled": "perhaps"}, "its enabled is neither true nor false"),
        ({"username": "ada", "password": "hunter2"}, "it has a password in clear: hash it first, and delete the file"),
        ({"email": "a@example.com", "password_hash": "{MD5}x"}, "password hashes of this kind cannot be kept ({MD5})"),
    ],
)  # fmt: skip
@pytest.mark.proves("CAN-01", "CAN-06")
def test_who_cannot_be_added_is_refused_with_a_reason(row: dict[str, str], reason: str) -> None:
    assert none("jsonl", row) == reason


def test_what_is_left_behind_is_noted() -> None:
    person = one(
        "jsonl",
        {
            "email": "a@example.com",
            "username": "zoë",
            "phone": "+44 20 79",
            "phone_verified": True,
            "city": ["Rome"],
            "displayName": "a@example.com",
        },
    )

    assert person.attributes == {}
    assert person.notes == (
        "the username was left out: it has other signs than letters, digits and punctuation",
        "the telephone number was left out: it is none to which a code may go",
        "the property city was left out: it is no text, number or yes and no",
    )


def test_a_number_that_nobody_proved_is_no_second_factor() -> None:
    assert one("jsonl", {"email": "a@example.com", "phone": NUMBER}).phone is None


UNPROVEN = {"email": "a@example.com", "email_verified": False, "password_hash": UNIX}


def test_whoever_never_proved_their_address_does_so_by_a_code_unless_told_otherwise() -> None:
    """Else somebody who had signed up with another's address would hold an account in their name here."""
    person = one("jsonl", UNPROVEN)

    assert person.material is None
    assert person.notes == ("the password was left out: the e-mail address was never proven",)
    assert fits(one("jsonl", UNPROVEN, replace(CHOICES, unproven="keep")), "bcrypt")
    refused = none("jsonl", UNPROVEN, replace(CHOICES, unproven="refuse"))
    assert refused == "its e-mail address was never proven"


def test_whoever_has_no_hash_signs_in_by_code_or_resets_a_password_that_nobody_knows() -> None:
    row = {"email": "a@example.com", "must_change_password": True}

    assert one("jsonl", row).material is None
    reset = one("jsonl", row, replace(CHOICES, no_password="reset"))
    assert reset.material == RESET
    assert not password.verify(RESET, "reset")
    assert reset.must_change_password is False, "only a reset lets them in as it is"


def test_a_hash_that_cannot_be_kept_may_be_left_behind() -> None:
    person = one(
        "jsonl", {"email": "a@example.com", "password_hash": "{MD5}x"}, replace(CHOICES, bad_hash="drop")
    )

    assert person.material is None
    assert person.notes == ("the password was left out: password hashes of this kind cannot be kept ({MD5})",)


# Auth0. --------------------------------------------------------------------------------------------------------------

AUTH0 = {
    "user_id": "auth0|60425dc43519d90068f82973",
    "email": "ada@example.com",
    "email_verified": True,
    "name": "ada@example.com",
    "given_name": "Ada",
    "family_name": "Lovelace",
    "phone_number": NUMBER,
    "phone_verified": True,
    "created_at": "2021-03-05T16:34:12.123Z",
    "user_metadata": {"plan": "gold"},
}


def test_auth0_a_user_of_an_export() -> None:
    choices = replace(CHOICES, renamed={"user_metadata.plan": "extension_plan"})

    person = one("auth0", {**AUTH0, "blocked": True, "password_hash": UNIX}, choices)

    assert person.source == "auth0|60425dc43519d90068f82973"
    assert person.attributes == {"givenName": "Ada", "surname": "Lovelace", "extension_plan": "gold"}
    assert person.phone is not None
    assert person.enabled is False
    assert person.created_at == datetime(2021, 3, 5, 16, 34, 12, 123000, tzinfo=UTC)
    assert fits(person, "bcrypt")


def test_auth0_a_line_of_the_list_of_hashes_is_the_same_person() -> None:
    line = {
        "_id": {"$oid": "60425dc43519d90068f82973"},
        "email_verified": True,
        "email": "ada@example.com",
        "passwordHash": UNIX,
        "password_set_date": {"$date": "2021-03-05T16:35:16.775Z"},
        "tenant": "north",
        "connection": "Username-Password-Authentication",
    }

    person = one("auth0", line)

    assert person.source == AUTH0["user_id"]
    assert fits(person, "bcrypt")


@pytest.mark.parametrize(
    ("right", "custom"),
    [
        ("bcrypt", {"algorithm": "bcrypt", "hash": {"value": UNIX}}),
        (
            "argon2",
            {
                "algorithm": "argon2",
                "hash": {"value": password.hash_new("argon2", bytes(16)).text, "encoding": "utf8"},
            },
        ),
        (
            "pbkdf2",
            {
                "algorithm": "pbkdf2",
                "hash": {
                    "value": "$pbkdf2-sha512$i=1000,l=64$c2FsdA$"
                    + b64(hashlib.pbkdf2_hmac("sha512", b"pbkdf2", b"salt", 1000)).rstrip("="),
                    "encoding": "utf8",
                },
            },
        ),
        (
            "scrypt",
            {
                "algorithm": "scrypt",
                "hash": {
                    "value": hashlib.scrypt(b"scrypt", salt=b"salt", n=1024, r=8, p=2, dklen=48).hex(),
                    "encoding": "hex",
                },
                "salt": {"value": "salt", "encoding": "utf8"},
                "keylen": 48,
                "cost": 1024,
                "blockSize": 8,
                "parallelization": 2,
            },
        ),
        (
            "ldap",
            {
                "algorithm": "ldap",
                "hash": {"value": "{SSHA}" + b64(hashlib.sha1(b"ldapsalt").digest() + b"salt")},
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_auth0_a_custom_hash_is_kept(right: str, custom: dict[str, Any]) -> None:
    assert fits(one("auth0", {**AUTH0, "custom_password_hash": custom}), right)


@pytest.mark.parametrize(
    ("custom", "reason"),
    [
        ({"algorithm": "md5", "hash": {"value": "x"}}, "password hashes of this kind cannot be kept (md5)"),
        ({"algorithm": "scrypt", "hash": {"value": "zz"}}, "the password hash is damaged"),
        ({"algorithm": "scrypt", "cost": "much", "hash": {"value": "00"}}, "the password hash is damaged"),
        ({"algorithm": "scrypt", "cost": 1000, "hash": {"value": "00" * 32}}, "the password hash is damaged"),
    ],
)
def test_auth0_any_other_custom_hash_is_refused(custom: dict[str, Any], reason: str) -> None:
    assert none("auth0", {**AUTH0, "custom_password_hash": custom}) == reason


# Amazon Cognito. -----------------------------------------------------------------------------------------------------


def test_cognito_a_row_of_a_user_import_job() -> None:
    person = one(
        "cognito",
        "name,given_name,email,email_verified,phone_number,phone_number_verified,cognito:mfa_enabled,cognito:username\n"
        f"Ada Lovelace,Ada,ada@example.com,true,{NUMBER},true,false,ada\n",
    )

    assert person.email is not None
    assert person.username is not None
    assert person.phone is not None
    assert person.source == "ada"
    assert person.attributes == {"displayName": "Ada Lovelace", "givenName": "Ada"}
    assert person.material is None


def test_cognito_a_user_as_the_api_lists_them() -> None:
    listed = {
        "Users": [
            {
                "Username": GUID,
                "Attributes": [
                    {"Name": "sub", "Value": GUID},
                    {"Name": "email_verified", "Value": "true"},
                    {"Name": "email", "Value": "ada@example.com"},
                    {"Name": "custom:plan", "Value": "gold"},
                ],
                "UserCreateDate": "2023-01-02T03:04:05.678000+00:00",
                "Enabled": False,
                "UserStatus": "CONFIRMED",
            }
        ]
    }

    person = one(
        "cognito", listed, replace(CHOICES, renamed={"custom:plan": "extension_plan"}, no_password="reset")
    )

    assert person.username is None
    assert (person.id, person.source) == (GUID, GUID)
    assert person.attributes == {}, "attributes are renamed by the names that they have inside"
    assert person.enabled is False
    assert person.material == RESET


# Firebase. -----------------------------------------------------------------------------------------------------------

SIGNER = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
HASH_CONFIG = f"""hash_config {{
  algorithm: SCRYPT,
  base64_signer_key: {SIGNER},
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}}
"""
FIREBASE_USER: dict[str, Any] = {
    "localId": "ZoXyVuTs",
    "email": "user1@example.com",
    "emailVerified": True,
    "passwordHash": "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
    "salt": "42xEC+ixf3L2lw==",
    "displayName": "User One",
    "createdAt": "1486324145000",
    "phoneNumber": NUMBER,
    "disabled": False,
}


@pytest.fixture
def firebase() -> Choices:
    return replace(CHOICES, firebase=firebase_hashing(HASH_CONFIG))


def test_firebase_the_documented_user_of_an_export_in_json(firebase: Choices) -> None:
    person = one("firebase", '{"users": [\n' + json.dumps(FIREBASE_USER, indent=2) + "]}", firebase)

    assert (person.line, person.source) == (2, "ZoXyVuTs")
    assert person.attributes == {"displayName": "User One"}
    assert person.phone is not None
    assert person.created_at == datetime(2017, 2, 5, 19, 49, 5, tzinfo=UTC)
    assert fits(person, "user1password")


def test_firebase_the_same_in_csv(firebase: Choices) -> None:
    fields = [""] * 28
    fields[0:6] = [
        "ZoXyVuTs",
        "user1@example.com",
        "true",
        FIREBASE_USER["passwordHash"],
        "42xEC+ixf3L2lw==",
        "User",
    ]
    fields[23], fields[25], fields[26] = "1486324145000", NUMBER, "true"

    person = one("firebase", ",".join(fields) + ",\n", firebase)

    assert person.line == 1
    assert person.enabled is False
    assert fits(person, "user1password")


def test_firebase_hashes_without_the_projects_parameters_stop_the_import() -> None:
    with pytest.raises(NotReadable, match="--firebase-hashing"):
        read("firebase", {"users": [FIREBASE_USER]})


def test_firebase_the_parameters_are_read_as_the_console_shows_them() -> None:
    expected = FirebaseHashing(signer_key=base64.b64decode(SIGNER), separator=b"\x07", rounds=8, memory=14)

    assert firebase_hashing(HASH_CONFIG) == expected
    as_json = {"base64_signer_key": SIGNER, "base64_salt_separator": "Bw==", "rounds": 8, "mem_cost": 14}
    assert firebase_hashing(json.dumps(as_json)) == expected
    assert SIGNER not in repr(expected)
    assert "jxspr" not in repr(expected)


@pytest.mark.parametrize(
    "text", ["", "hash_config {}", HASH_CONFIG.replace("SCRYPT", "BCRYPT"), "rounds: eight"]
)
def test_firebase_other_parameters_are_refused(text: str) -> None:
    with pytest.raises(NotReadable, match="cannot be read"):
        firebase_hashing(text)


# Keycloak. -----------------------------------------------------------------------------------------------------------


def keycloak(credential: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    user = {
        "id": GUID,
        "username": "ada",
        "email": "ada@example.com",
        "emailVerified": True,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "createdTimestamp": 1693669854698,
        "enabled": True,
        "attributes": {"city": ["London"], "many": ["a", "b"]},
        "credentials": [{"type": "otp", "secretData": "{}"}, *([credential] if credential else [])],
        "requiredActions": [],
    } | more
    return {"realm": "north", "users": [user]}


def credential(tag: bytes, algorithm: str, rounds: int, **parameters: list[str]) -> dict[str, Any]:
    return {
        "type": "password",
        "secretData": json.dumps({"value": b64(tag), "salt": b64(b"somesalt"), "additionalParameters": {}}),
        "credentialData": json.dumps(
            {"hashIterations": rounds, "algorithm": algorithm, "additionalParameters": parameters}
        ),
    }


def test_keycloak_a_user_of_a_realm_export() -> None:
    person = one("keycloak", keycloak(requiredActions=["UPDATE_PASSWORD"], enabled=False))

    assert (person.id, person.source) == (GUID, GUID)
    assert person.username is not None
    assert person.attributes == {
        "displayName": "Ada Lovelace",
        "givenName": "Ada",
        "surname": "Lovelace",
        "city": "London",
    }
    assert person.enabled is False
    assert person.created_at == datetime(2023, 9, 2, 15, 50, 54, 698000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("algorithm", "made"),
    [
        ("pbkdf2", credential(hashlib.pbkdf2_hmac("sha1", b"pbkdf2", b"somesalt", 2000), "pbkdf2", 2000)),
        (
            "pbkdf2-sha256",
            credential(
                hashlib.pbkdf2_hmac("sha256", b"pbkdf2-sha256", b"somesalt", 275, 64), "pbkdf2-sha256", 275
            ),
        ),
        (
            "pbkdf2-sha512",
            credential(
                hashlib.pbkdf2_hmac("sha512", b"pbkdf2-sha512", b"somesalt", 210), "pbkdf2-sha512", 210
            ),
        ),
        (
            "password",  # the reference implementation's vector: argon2id, 256 KiB, two passes
            credential(
                base64.b64decode("nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4="),
                "argon2",
                2,
                hashLength=["32"],
                memory=["256"],
                type=["id"],
                version=["1.3"],
                parallelism=["1"],
            ),
        ),
    ],
)
def test_keycloak_a_password_is_kept(algorithm: str, made: dict[str, Any]) -> None:
    assert fits(one("keycloak", keycloak(made)), algorithm)


def test_keycloak_a_password_of_an_old_version_is_kept() -> None:
    old = {
        "type": "password",
        "hashedSaltedValue": b64(hashlib.pbkdf2_hmac("sha256", b"old", b"somesalt", 100)),
        "salt": b64(b"somesalt"),
        "hashIterations": 100,
        "algorithm": "pbkdf2-sha256",
    }

    assert fits(one("keycloak", keycloak(old)), "old")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (credential(bytes(32), "argon2", 2, version=["1.0"]), "(Argon2 before 1.3)"),
        (credential(bytes(32), "pbkdf2-sha3", 2), "cannot be kept (pbkdf2-sha3)"),
        (credential(bytes(32), "pbkdf2-sha256", 0), "damaged"),
        (credential(bytes(3), "pbkdf2-sha256", 100), "damaged"),
        ({"type": "password"}, "cannot be kept (unnamed)"),
    ],
)
def test_keycloak_any_other_password_is_refused(made: dict[str, Any], reason: str) -> None:
    assert reason in none("keycloak", keycloak(made))


def test_keycloak_an_address_as_username_is_the_address() -> None:
    person = one("keycloak", keycloak(username="ada@example.com", email=None))

    assert person.username is None
    assert person.email is not None


def test_keycloak_applications_are_no_people() -> None:
    assert (
        none("keycloak", keycloak(serviceAccountClientId="app"))
        == "it is the service account of an application"
    )


# Microsoft Entra. ----------------------------------------------------------------------------------------------------


def test_entra_users_as_graph_lists_them() -> None:
    listed = {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users",
        "value": [
            {
                "id": GUID,
                "displayName": "Ada",
                "city": None,
                "accountEnabled": False,
                "createdDateTime": "2024-02-03T04:05:06Z",
                "extension_0a1b_plan": "gold",
                "identities": [
                    {
                        "signInType": "emailAddress",
                        "issuer": "contoso.example",
                        "issuerAssignedId": "ada@example.com",
                    },
                    {"signInType": "userName", "issuer": "contoso.example", "issuerAssignedId": "ada-77"},
                    {
                        "signInType": "userPrincipalName",
                        "issuer": "contoso.example",
                        "issuerAssignedId": "x@y.example",
                    },
                ],
            }
        ],
    }

    person = one("entra", listed)

    assert person.email is not None
    assert person.email.value == "ada@example.com"
    assert person.username is not None
    assert person.username.value == "ada-77"
    assert person.id == GUID
    assert person.attributes == {"displayName": "Ada", "extension_0a1b_plan": "gold"}
    assert person.enabled is False


def test_entra_without_identities_the_mail_is_the_name() -> None:
    person = one("entra", {"id": GUID, "mail": "ada@example.com", "userPrincipalName": "ada@contoso.example"})

    assert person.email is not None


# All of them. --------------------------------------------------------------------------------------------------------

SOURCES: list[Format] = ["csv", "jsonl", "auth0", "cognito", "firebase", "keycloak", "entra"]

words = st.sampled_from(
    "id email username phone phone_number phone_number_verified email_verified emailVerified user_id name sub"
    " identities credentials secretData credentialData type password value salt algorithm hashIterations"
    " created_at createdAt passwordHash password_hash custom_password_hash hash cost Attributes Name Value attributes"
    " enabled _id $oid $date signInType issuerAssignedId requiredActions".split()
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["a@example.com", "true", "argon2", "password", UNIX, NUMBER, "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("source", SOURCES)
@given(record=st.dictionaries(words, anything, max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_record_is_a_person_or_refused(source: Format, record: dict[str, Any]) -> None:
    text = (
        json.dumps(record)
        if source != "csv"
        else ",".join(record) + "\n" + ",".join(map(str, record.values()))
    )
    try:
        found = read(source, text + "\n", replace(CHOICES, firebase=firebase_hashing(HASH_CONFIG)))
    except NotReadable:
        return
    assert all(isinstance(each, Person | Refused) for each in found)
