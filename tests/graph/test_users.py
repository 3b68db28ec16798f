"""Users by the SDK: made, found, changed, switched off, deleted; their methods; and groups."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.models.email_authentication_method import EmailAuthenticationMethod
from msgraph.generated.models.group import Group
from msgraph.generated.models.object_identity import ObjectIdentity
from msgraph.generated.models.password_authentication_method import PasswordAuthenticationMethod
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.models.phone_authentication_method import PhoneAuthenticationMethod
from msgraph.generated.models.reference_create import ReferenceCreate
from msgraph.generated.models.user import User
from msgraph.generated.users.users_request_builder import UsersRequestBuilder
from msgraph_core.tasks.page_iterator import PageIterator

from tests.graph.sdk import DOMAIN, STRONG, STRONGER, ODataError, Office, a_user, a_user_body, an_address
from tests.server import Reply, new_number

pytestmark = pytest.mark.anyio

Parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters


def asking(*, eventual: bool = False, **parameters: Any) -> RequestConfiguration:
    """A list's query options as the SDK takes them."""
    configuration = RequestConfiguration(query_parameters=Parameters(**parameters))
    if eventual:
        configuration.headers.add("ConsistencyLevel", "eventual")
    return configuration


async def refused(act: Any, status: int = 400) -> ODataError:
    """The error of an act."""
    with pytest.raises(ODataError) as caught:
        await act
    assert caught.value.response_status_code == status, caught.value.error
    return caught.value


def sign_in(office: Office, address: str, password: str, scope: str = "openid offline_access") -> Reply:
    """Sign in by password; the answer of the token call."""
    client = office.password_app
    begun = office.post(
        "/oauth2/v2.0/initiate",
        client_id=client,
        username=address,
        challenge_type="password redirect",
        capabilities="mfa_required registration_required",
    ).ok()
    asked = office.post("/oauth2/v2.0/challenge", client_id=client, continuation_token=begun.token).ok()
    return office.post(
        "/oauth2/v2.0/token",
        client_id=client,
        continuation_token=asked.token,
        grant_type="password",
        password=password,
        scope=scope,
    )


def refresh(office: Office, tokens: Reply) -> Reply:
    return office.post(
        "/oauth2/v2.0/token",
        client_id=office.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
        scope="openid offline_access",
    )


# Made. --------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-027", "GR-034")
async def test_a_local_account_signs_in_with_what_it_was_made_with(office: Office) -> None:
    address = an_address()
    made = await office.graph().users.post(a_user(address))
    assert made.user_principal_name == f"{made.id}@{DOMAIN}"
    assert made.password_profile is None
    found = (
        await office.graph().users.by_user_id(made.id).get(asking(select=["passwordProfile", "identities"]))
    )
    assert found.password_profile is None
    assert sign_in(office, address, STRONG).status == 200


@pytest.mark.proves("GR-028", "GR-032")
async def test_two_identities_and_the_principal_name_come_back_in_their_canonical_case(
    office: Office,
) -> None:
    name = f"ada-{uuid.uuid4().hex[:8]}"
    identities = [
        ObjectIdentity(sign_in_type="EMAILADDRESS", issuer=DOMAIN, issuer_assigned_id=an_address()),
        ObjectIdentity(sign_in_type="username", issuer=DOMAIN, issuer_assigned_id=name),
    ]
    made = await office.graph().users.post(a_user(identities=identities))
    assert [i.sign_in_type for i in made.identities] == ["emailAddress", "userName", "userPrincipalName"]


@pytest.mark.proves("GR-029", "GR-030", "GR-033")
@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({"passwordPolicies": None}, "passwordPolicies"),
        ({"passwordPolicies": "DisableStrongPassword"}, "passwordPolicies"),
        (
            {"passwordProfile": {"password": STRONG, "forceChangePasswordNextSignIn": True}},
            "forceChangePasswordNextSignIn",
        ),
        ({"passwordProfile": {"password": "abc"}}, "password"),
        ({"passwordProfile": {"password": "password1"}}, "password"),
        ({"userType": "Guest"}, "userType"),
        ({"businessPhones": ["1"]}, "businessPhones"),
        ({"shoeSize": 39}, "shoeSize"),
        ({"createdDateTime": "2031-03-04T05:06:07Z"}, "createdDateTime"),
        ({"displayName": 7}, "displayName"),
        ({"extension_0f1e2d3c4b5a69788796a5b4c3d2e1f0_tier": "gold"}, "extension_"),
    ],
)
def test_what_is_no_user_is_refused_with_its_target(
    office: Office, more: dict[str, Any], target: str
) -> None:
    answer = office.call("POST", "/users", a_user_body(an_address(), **more))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "Request_BadRequest")
    assert target in str(error)


@pytest.mark.proves("GR-031")
async def test_an_identity_is_unique_for_its_issuer(office: Office) -> None:
    graph, user = office.graph(), a_user()
    await graph.users.post(user)
    error = await refused(graph.users.post(user))
    assert [d.code for d in error.error.details or []] == ["ObjectConflict"]
    theirs = User(
        display_name="Ada",
        identities=[
            ObjectIdentity(
                sign_in_type="federated",
                issuer="idp.example",
                issuer_assigned_id=user.identities[0].issuer_assigned_id,
            )
        ],
    )
    assert (await graph.users.post(theirs)).id


# Shown. -------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-035", "GR-036", "GR-037")
def test_only_what_was_selected_is_shown_and_else_the_default_set(office: Office) -> None:
    user = office.a_user()["id"]
    default = {
        "id",
        "businessPhones",
        "displayName",
        "givenName",
        "jobTitle",
        "mail",
        "mobilePhone",
        "officeLocation",
        "preferredLanguage",
        "surname",
        "userPrincipalName",
    }
    for value in (
        office.call("GET", f"/users/{user}").json(),
        office.call("GET", "/users").json()["value"][0],
    ):
        assert value.keys() - {"@odata.context"} == default
    value = office.call("GET", f"/users/{user}?$select=id,identities").json()
    assert value.keys() == {"@odata.context", "id", "identities"}
    assert office.call("GET", f"/users/{user}?$select=id,shoeSize").status_code == 400


@pytest.mark.proves("GR-038", "GR-039")
async def test_a_user_is_found_by_id_and_by_principal_name(office: Office) -> None:
    graph, user = office.graph(), office.a_user()
    for word in (user["id"], user["id"].upper(), user["userPrincipalName"]):
        assert (await graph.users.by_user_id(word).get()).id == user["id"]
    for word in (str(uuid.uuid4()), f"{user['id']}@elsewhere.example", "nobody@dev.onmicrosoft.com", "x"):
        error = await refused(graph.users.by_user_id(word).get(), 404)
        assert error.error.code == "Request_ResourceNotFound"


# Listed. ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-040")
async def test_pages_lose_and_double_nobody_while_others_are_added(office: Office) -> None:
    mine = {office.a_user()["id"] for _ in range(7)}
    graph = office.graph()
    page = await graph.users.get(asking(top=2))
    seen: list[str] = []
    iterator = PageIterator(page, graph.request_adapter)

    def note(user: User) -> bool:
        seen.append(user.id)
        if len(seen) % 3 == 0:
            office.a_user()
        return len(seen) < 500

    await iterator.iterate(note)
    assert len(seen) == len(set(seen))
    assert mine <= set(seen)


@pytest.mark.proves("GR-041", "GR-042")
async def test_a_link_to_the_next_page_is_absolute_repeats_the_query_and_is_good_for_an_hour(
    office: Office,
) -> None:
    for _ in range(3):
        office.a_user(displayName="Paged")
    path = "/users?$top=1&$select=id&$filter=displayName eq 'Paged'"
    answer = office.call("GET", path).json()
    link = answer["@odata.nextLink"]
    assert link.startswith(f"{office.base}/{office.version}/users?")
    again = office.call("GET", link).json()
    assert again["value"][0].keys() == {"id"}
    assert again["value"] != answer["value"]
    page = await office.graph().users.get(asking(top=1))
    assert (await office.graph().users.with_url(page.odata_next_link).get()).value

    token = link.rpartition("$skiptoken=")[2]
    for forged in ("x", token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), token[:20]):
        assert office.call("GET", f"/users?$top=1&$skiptoken={forged}").status_code == 400
    other = f"/users?$top=1&$filter=displayName eq 'Other'&$skiptoken={token}"
    assert office.call("GET", other).status_code == 400
    office.advance(3601)
    office.__dict__.pop("_token", None)
    assert office.call("GET", link).status_code == 400


@pytest.mark.proves("GR-043", "GR-044")
async def test_counting_wants_the_header_that_it_wants_elsewhere(office: Office) -> None:
    graph = office.graph()
    mark = uuid.uuid4().hex
    for _ in range(3):
        office.a_user(displayName=mark)
    wanted: dict[str, Any] = {"filter": f"displayName eq '{mark}'", "count": True}
    assert (await graph.users.get(asking(eventual=True, **wanted))).odata_count == 3
    error = await refused(graph.users.get(asking(**wanted)))
    assert error.error.code == "Request_UnsupportedQuery"
    counting = RequestConfiguration()
    counting.headers.add("ConsistencyLevel", "eventual")
    assert await graph.users.count.get(counting) >= 3
    assert office.call("GET", "/users/$count").status_code == 400


def found(office: Office, where: str, *, advanced: bool = False) -> set[str]:
    path = f"/users?$select=id&$top=999&$filter={where}" + ("&$count=true" if advanced else "")
    headers = {"consistencylevel": "eventual"} if advanced else {}
    answer = office.call("GET", path, **headers)
    assert answer.status_code == 200, answer.text
    return {one["id"] for one in answer.json()["value"]}


@pytest.mark.proves("GR-045")
def test_an_identity_is_found_by_both_its_halves(office: Office) -> None:
    address = an_address()
    user = office.a_user(address=address)["id"]
    both = f"identities/any(c:c/issuerAssignedId eq '{address}' and c/issuer eq '{DOMAIN}')"
    assert found(office, both) == {user}
    elsewhere = f"identities/any(c:c/issuerAssignedId eq '{address}' and c/issuer eq 'idp.example')"
    assert found(office, elsewhere) == set()
    for half in (f"c/issuerAssignedId eq '{address}'", f"c/issuer eq '{DOMAIN}'"):
        answer = office.call("GET", f"/users?$filter=identities/any(c:{half})")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")


@pytest.mark.proves("GR-046", "GR-047", "GR-048")
def test_filters_find_what_they_say(office: Office) -> None:
    mark = uuid.uuid4().hex[:10]
    ada = office.a_user(displayName=f"{mark} Ada", surname=f"{mark}o'neil", givenName="Ada")["id"]
    bo = office.a_user(displayName=f"{mark} Bo", surname=f"{mark}smith", accountEnabled=False)["id"]
    everybody, mine = {ada, bo}, f"startswith(displayName,'{mark}')"
    cases = {
        mine: everybody,
        f"displayName eq '{mark.upper()} ADA'": {ada},
        f"displayName in ('{mark} Ada', '{mark} Bo')": everybody,
        f"{mine} and accountEnabled eq false": {bo},
        f"{mine} and (surname eq '{mark}smith' or givenName eq 'Ada')": everybody,
        f"{mine} and givenName eq null": {bo},
        f"surname eq '{mark}o''neil'": {ada},
        f"{mine} and createdDateTime ge 2020-01-01T00:00:00Z": everybody,
        f"{mine} and createdDateTime le 2020-01-01T00:00:00Z": set(),
        f"id eq '{ada}'": {ada},
        f"userPrincipalName eq '{ada}@{DOMAIN}'": {ada},
        f"{mine} and userType eq 'Member'": everybody,
        f"{mine} and userType eq 'Guest'": set(),
        f"{mine} and surname eq '{mark}' or surname eq ''' OR 1=1 --'": set(),
        f"displayName eq '{mark}%'": set(),
    }
    for where, wanted in cases.items():
        assert found(office, where) == wanted, where
    advanced = {
        f"{mine} and surname ne '{mark}smith'": {ada},
        f"{mine} and not(accountEnabled eq true)": {bo},
        f"endswith(displayName,'{mark} ada')": {ada},
        f"endswith(displayName,'{mark}_ada')": set(),
    }
    for where, wanted in advanced.items():
        assert found(office, where, advanced=True) == wanted, where
        answer = office.call("GET", f"/users?$filter={where}")
        assert answer.json()["error"]["code"] == "Request_UnsupportedQuery", where


@pytest.mark.proves("GR-048")
@pytest.mark.parametrize(
    "where",
    [
        "'",
        "displayName eq 'x",
        "displayName = 'x'",
        "displayName eq 'x' or",
        "drop table subject",
        "shoeSize eq 39",
        "displayName gt 'x'",
        "accountEnabled eq 'true'",
        "contains(displayName,'x')",
        "identities/all(c:c/issuer eq 'x')",
        "startswith(accountEnabled,'x')",
        "createdDateTime ge 'yesterday'",
        "createdDateTime ge 2020-13-45T00:00:00Z",
        "(" * 50 + "displayName eq 'x'" + ")" * 50,
        " or ".join(["displayName eq 'x'"] * 200),
        "body eq 'x'",
    ],
)
def test_what_is_no_filter_is_refused_and_never_passed_over(office: Office, where: str) -> None:
    answer = office.call("GET", f"/users?$filter={where.replace('+', '%2B')}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")


@pytest.mark.proves("GR-049", "GR-050")
async def test_searching_and_sorting(office: Office) -> None:
    mark = uuid.uuid4().hex[:10]
    for name in ("Bo", "ada", "Cy"):
        office.a_user(displayName=f"{mark} {name}")
    graph = office.graph()
    page = await graph.users.get(asking(eventual=True, search=f'"displayName:{mark}"'))
    assert len(page.value) == 3
    page = await graph.users.get(asking(eventual=True, search='"displayName:ada"'))
    assert f"{mark} ada" in {one.display_name for one in page.value}
    await refused(graph.users.get(asking(search=f'"displayName:{mark}"')))
    where = f"startswith(displayName,'{mark}')"
    page = await graph.users.get(
        asking(eventual=True, count=True, filter=where, orderby=["displayName desc"], top=2)
    )
    first = [one.display_name for one in page.value]
    page = await graph.users.with_url(page.odata_next_link).get(asking_again())
    assert first + [one.display_name for one in page.value] == [
        f"{mark} {name}" for name in ("Cy", "Bo", "ada")
    ]


def asking_again() -> RequestConfiguration:
    again = RequestConfiguration()
    again.headers.add("ConsistencyLevel", "eventual")
    return again


# Changed. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-051", "GR-052", "GR-054", "GR-055")
async def test_a_change_touches_what_it_names_and_clears_what_is_null(office: Office) -> None:
    graph = office.graph()
    user = office.a_user(jobTitle="Poet", city="Kyoto", department="Verse")["id"]
    at = graph.users.by_user_id(user)
    select = asking(
        select=["id", "displayName", "jobTitle", "city", "department", "identities", "createdDateTime"]
    )
    await at.patch(User(job_title="Novelist"))
    whole = await at.get(select)
    assert (whole.job_title, whole.city) == ("Novelist", "Kyoto")
    whole.city = "Nara"
    await at.patch(whole)
    assert (await at.get(select)).city == "Nara"
    whole.job_title = None
    await at.patch(whole)
    fresh = User()
    fresh.department = None
    await at.patch(fresh)
    await at.patch(User(additional_data={"city": None}))
    after = await at.get(select)
    assert (after.job_title, after.department, after.city, after.display_name) == (None, None, None, "Ada")
    for needed in ("display_name", "account_enabled"):
        emptied = User()
        setattr(emptied, needed, None)
        await refused(at.patch(emptied))


@pytest.mark.proves("GR-053")
@pytest.mark.parametrize(
    "body",
    [
        {"id": str(uuid.uuid4())},
        {"createdDateTime": "2031-03-04T05:06:07Z"},
        {"userPrincipalName": "other@dev.onmicrosoft.com"},
        {"shoeSize": 39},
        {"@odata.type": "#microsoft.graph.group", "displayName": "x"},
        {"revision": 7},
        {"epoch": 0},
    ],
)
def test_what_the_server_sets_cannot_be_changed(office: Office, body: dict[str, Any]) -> None:
    user = office.a_user()["id"]
    assert office.call("PATCH", f"/users/{user}", body).status_code == 400


@pytest.mark.proves("GR-056")
async def test_identities_are_replaced_whole_and_the_principal_name_stays(office: Office) -> None:
    graph, old, new = office.graph(), an_address(), an_address()
    user = office.a_user(address=old)
    await graph.users.by_user_id(user["id"]).patch(
        User(identities=[ObjectIdentity(sign_in_type="emailAddress", issuer=DOMAIN, issuer_assigned_id=new)])
    )
    after = await graph.users.by_user_id(user["id"]).get(asking(select=["identities"]))
    assert [(i.sign_in_type, i.issuer_assigned_id) for i in after.identities] == [
        ("emailAddress", new),
        ("userPrincipalName", user["userPrincipalName"]),
    ]
    assert sign_in(office, new, STRONG).status == 200


@pytest.mark.proves("GR-058")
async def test_an_account_switched_off_neither_signs_in_nor_refreshes(office: Office) -> None:
    address = an_address()
    user = office.a_user(address=address)["id"]
    tokens = sign_in(office, address, STRONG).ok()
    await office.graph().users.by_user_id(user).patch(User(account_enabled=False))
    assert sign_in(office, address, STRONG).error[2] == 50057
    assert refresh(office, tokens).status == 400
    await office.graph().users.by_user_id(user).patch(User(account_enabled=True))
    assert sign_in(office, address, STRONG).status == 200


@pytest.mark.proves("GR-059")
async def test_a_new_password_is_the_only_one_and_ends_the_sessions_of_the_old(office: Office) -> None:
    address = an_address()
    user = office.a_user(address=address)["id"]
    tokens = sign_in(office, address, STRONG).ok()
    profile = PasswordProfile(password=STRONGER, force_change_password_next_sign_in=False)
    await office.graph().users.by_user_id(user).patch(User(password_profile=profile))
    assert sign_in(office, address, STRONG).status == 400
    assert sign_in(office, address, STRONGER).status == 200
    assert refresh(office, tokens).error[2] == 50173
    assert any(m["purpose"] == "notice" for m in office.messages(address))


@pytest.mark.proves("GR-060")
async def test_who_was_deleted_is_gone_and_their_names_stay_taken(office: Office) -> None:
    graph, address = office.graph(), an_address()
    user = office.a_user(address=address)["id"]
    await graph.users.by_user_id(user).delete()
    await refused(graph.users.by_user_id(user).get(), 404)
    await refused(graph.users.post(a_user(address)))
    asked = office.post(
        "/oauth2/v2.0/initiate",
        client_id=office.password_app,
        username=address,
        challenge_type="password redirect",
    )
    assert asked.error[2] == 50034
    listed = office.call("GET", "/directory/deletedItems/microsoft.graph.user").json()["value"]
    assert user in {one["id"] for one in listed}
    assert office.call("POST", f"/directory/deletedItems/{user}/restore").status_code == 200
    assert sign_in(office, address, STRONG).status == 200


@pytest.mark.proves("GR-061")
async def test_revoked_sessions_are_over(office: Office) -> None:
    address = an_address()
    user = office.a_user(address=address)["id"]
    tokens = sign_in(office, address, STRONG).ok()
    done = await office.graph().users.by_user_id(user).revoke_sign_in_sessions.post()
    assert done.value is True
    assert refresh(office, tokens).error[2] == 50173


# Methods. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-094", "GR-096", "GR-097", "GR-098")
async def test_a_phone_added_here_is_offered_at_once_and_one_removed_is_not(office: Office) -> None:
    address, number = an_address(), new_number()
    user = office.a_user(address=address)["id"]
    at = office.graph().users.by_user_id(user).authentication
    assert sign_in(office, address, STRONG, office.scope).error[1] == "registration_required"
    await at.phone_methods.post(
        PhoneAuthenticationMethod(
            phone_number=f"{number[:3]} {number[3:]}", additional_data={"phoneType": "mobile"}
        )
    )
    listed = (await at.methods.get()).value
    assert {type(one) for one in listed} == {PasswordAuthenticationMethod, PhoneAuthenticationMethod}
    password = next(one for one in listed if isinstance(one, PasswordAuthenticationMethod))
    assert password.password is None
    phone = next(one for one in listed if isinstance(one, PhoneAuthenticationMethod))
    assert phone.phone_number == f"{number[:3]} {number[3:]}"
    assert sign_in(office, address, STRONG, office.scope).error[1] == "mfa_required"
    assert any(m["purpose"] == "notice" for m in office.messages(address))
    await at.phone_methods.by_phone_authentication_method_id(phone.id).delete()
    assert sign_in(office, address, STRONG, office.scope).error[1] == "registration_required"

    answer = office.call("POST", f"/users/{user}/authentication/methods/{password.id}/resetPassword", {})
    assert sign_in(office, address, answer.json()["newPassword"]).status == 200
    given = {"newPassword": STRONGER}
    answer = office.call("POST", f"/users/{user}/authentication/methods/{password.id}/resetPassword", given)
    assert answer.status_code == 202
    assert sign_in(office, address, STRONGER).status == 200


@pytest.mark.proves("GR-095")
async def test_what_is_no_phone_is_refused(office: Office) -> None:
    user = office.a_user()["id"]
    at, number = f"/users/{user}/authentication/phoneMethods", new_number()
    spaced = f"{number[:3]} {number[3:]}"
    for body in (
        {"phoneNumber": number, "phoneType": "mobile"},
        {"phoneNumber": spaced, "phoneType": "alternateMobile"},
        {"phoneNumber": "+44 1", "phoneType": "mobile"},
        {"phoneNumber": spaced, "phoneType": "fax"},
        {"phoneType": "mobile"},
    ):
        assert office.call("POST", at, body).status_code == 400, body
    assert office.call("POST", at, {"phoneNumber": spaced, "phoneType": "mobile"}).status_code == 201
    assert office.call("POST", at, {"phoneNumber": spaced, "phoneType": "mobile"}).status_code == 400


async def test_an_address_of_ones_own_can_be_registered_once(office: Office) -> None:
    user = office.a_user()["id"]
    at = office.graph().users.by_user_id(user).authentication.email_methods
    made = await at.post(EmailAuthenticationMethod(email_address=an_address()))
    await refused(at.post(EmailAuthenticationMethod(email_address=an_address())))
    other = an_address()
    await at.by_email_authentication_method_id(made.id).patch(EmailAuthenticationMethod(email_address=other))
    assert (await at.get()).value[0].email_address == other
    await at.by_email_authentication_method_id(made.id).delete()
    assert (await at.get()).value == []


# Groups. ------------------------------------------------------------------------------------------------------------


async def a_group(office: Office, name: str = "Poets") -> str:
    made = await office.graph().groups.post(
        Group(display_name=name, mail_enabled=False, mail_nickname="poets", security_enabled=True)
    )
    return str(made.id)


@pytest.mark.proves("GR-062")
async def test_groups_are_made_renamed_and_deleted(office: Office) -> None:
    group = await a_group(office)
    at = office.graph().groups.by_group_id(group)
    whole = await at.get()
    whole.display_name = "Novelists"
    await at.patch(whole)
    assert (await at.get()).display_name == "Novelists"
    await at.delete()
    await refused(at.get(), 404)
    assert office.call("POST", "/groups", {"displayName": "x"}).status_code == 400


@pytest.mark.proves("GR-063", "GR-064", "GR-065", "GR-066")
async def test_members_come_and_go_by_whatever_reference(office: Office) -> None:
    group, user, other = await a_group(office), office.a_user()["id"], office.a_user()["id"]
    at = office.graph().groups.by_group_id(group).members
    await at.ref.post(ReferenceCreate(odata_id=f"https://graph.microsoft.com/v1.0/directoryObjects/{user}"))
    await at.ref.post(ReferenceCreate(odata_id=f"{office.base}/v1.0/users/{other}"))
    error = await refused(at.ref.post(ReferenceCreate(odata_id=f"https://x.example/users/{user}")))
    assert error.error.message.startswith("One or more added object references already exist")
    listed = (await at.get()).value
    assert {type(one) for one in listed} == {User}
    assert {one.id for one in listed} == {user, other}
    await at.by_directory_object_id(user).ref.delete()
    await refused(at.by_directory_object_id(user).ref.delete(), 404)


@pytest.mark.proves("GR-067", "GR-068")
async def test_nesting_counts_at_the_next_decision_and_loops_are_refused(office: Office) -> None:
    outer, inner = await a_group(office, "Outer"), await a_group(office, "Inner")
    address = an_address()
    user = office.a_user(address=address)["id"]
    groups = office.graph().groups
    reference = "https://graph.microsoft.com/v1.0/directoryObjects/"
    await groups.by_group_id(outer).members.ref.post(ReferenceCreate(odata_id=reference + inner))
    await refused(groups.by_group_id(inner).members.ref.post(ReferenceCreate(odata_id=reference + outer)))
    policy = office.made(
        "/identity/conditionalAccess/policies",
        {
            "displayName": "Outer is blocked",
            "state": "enabled",
            "conditions": {
                "applications": {"includeApplications": ["All"]},
                "users": {"includeGroups": [outer]},
            },
            "grantControls": {"operator": "OR", "builtInControls": ["block"]},
        },
    )
    assert sign_in(office, address, STRONG).status == 200
    await groups.by_group_id(inner).members.ref.post(ReferenceCreate(odata_id=reference + user))
    assert sign_in(office, address, STRONG).error[2] == 53003
    deep = (await groups.by_group_id(outer).transitive_members.get()).value
    assert {one.id for one in deep} == {inner, user}
    await groups.by_group_id(inner).members.by_directory_object_id(user).ref.delete()
    assert sign_in(office, address, STRONG).status == 200
    office.call("DELETE", f"/identity/conditionalAccess/policies/{policy['id']}")
