"""Custom attributes and user flows by the SDK, and that native sign-up honours them at the next request."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from msgraph.generated.models.authentication_attribute_collection_input_configuration import (
    AuthenticationAttributeCollectionInputConfiguration as InputConfiguration,
)
from msgraph.generated.models.authentication_attribute_collection_input_type import (
    AuthenticationAttributeCollectionInputType as InputType,
)
from msgraph.generated.models.authentication_attribute_collection_option_configuration import (
    AuthenticationAttributeCollectionOptionConfiguration as OptionConfiguration,
)
from msgraph.generated.models.authentication_attribute_collection_page import (
    AuthenticationAttributeCollectionPage,
)
from msgraph.generated.models.authentication_attribute_collection_page_view_configuration import (
    AuthenticationAttributeCollectionPageViewConfiguration,
)
from msgraph.generated.models.authentication_condition_application import AuthenticationConditionApplication
from msgraph.generated.models.authentication_conditions import AuthenticationConditions
from msgraph.generated.models.authentication_conditions_applications import (
    AuthenticationConditionsApplications,
)
from msgraph.generated.models.extension_property import ExtensionProperty
from msgraph.generated.models.external_users_self_service_sign_up_events_flow import (
    ExternalUsersSelfServiceSignUpEventsFlow,
)
from msgraph.generated.models.identity_provider_base import IdentityProviderBase
from msgraph.generated.models.identity_user_flow_attribute import IdentityUserFlowAttribute
from msgraph.generated.models.identity_user_flow_attribute_data_type import IdentityUserFlowAttributeDataType
from msgraph.generated.models.identity_user_flow_attribute_type import IdentityUserFlowAttributeType
from msgraph.generated.models.on_attribute_collection_external_users_self_service_sign_up import (
    OnAttributeCollectionExternalUsersSelfServiceSignUp,
)
from msgraph.generated.models.on_authentication_method_load_start_external_users_self_service_sign_up import (
    OnAuthenticationMethodLoadStartExternalUsersSelfServiceSignUp,
)
from msgraph.generated.models.on_interactive_auth_flow_start_external_users_self_service_sign_up import (
    OnInteractiveAuthFlowStartExternalUsersSelfServiceSignUp,
)
from msgraph.generated.models.user import User

from tests.graph.journeys import a_name, a_native_app, proven, start, supplied
from tests.graph.sdk import STRONG, ODataError, Office, a_user, an_address

pytestmark = pytest.mark.anyio

FLOWS = "/identity/authenticationEventsFlows"


def a_flow(
    *apps: str,
    provider: str = "EmailOtpSignup-OAUTH",
    allowed: bool = True,
    inputs: tuple[InputConfiguration, ...] = (),
) -> ExternalUsersSelfServiceSignUpEventsFlow:
    """A user flow as the SDK has it."""
    return ExternalUsersSelfServiceSignUpEventsFlow(
        display_name=a_name("Sign-up"),
        conditions=AuthenticationConditions(
            applications=AuthenticationConditionsApplications(
                include_applications=[AuthenticationConditionApplication(app_id=app) for app in apps]
            )
        ),
        on_interactive_auth_flow_start=OnInteractiveAuthFlowStartExternalUsersSelfServiceSignUp(
            is_sign_up_allowed=allowed
        ),
        on_authentication_method_load_start=OnAuthenticationMethodLoadStartExternalUsersSelfServiceSignUp(
            identity_providers=[IdentityProviderBase(id=provider)]
        ),
        on_attribute_collection=OnAttributeCollectionExternalUsersSelfServiceSignUp(
            attributes=[
                IdentityUserFlowAttribute(id="email"),
                *(IdentityUserFlowAttribute(id=one.attribute) for one in inputs),
            ],
            attribute_collection_page=AuthenticationAttributeCollectionPage(
                views=[
                    AuthenticationAttributeCollectionPageViewConfiguration(
                        inputs=[
                            InputConfiguration(
                                attribute="email", hidden=True, editable=False, input_type=InputType.Text
                            ),
                            *inputs,
                        ]
                    )
                ]
            ),
        ),
    )


def an_input(attribute: str, kind: InputType = InputType.Text, **more: Any) -> InputConfiguration:
    return InputConfiguration(attribute=attribute, label=attribute, input_type=kind, **more)


async def defined(office: Office, label: str, kind: IdentityUserFlowAttributeDataType) -> str:
    """A custom attribute by the SDK: its id."""
    made = await office.graph().identity.user_flow_attributes.post(
        IdentityUserFlowAttribute(display_name=label, description="Of a test", data_type=kind)
    )
    assert made is not None
    assert made.id is not None
    return made.id


async def user_of(office: Office, address: str, *select: str) -> dict[str, Any]:
    where = f"identities/any(c:c/issuerAssignedId eq '{address}' and c/issuer eq 'dev.onmicrosoft.com')"
    answer = office.call("GET", f"/users?$filter={where}&$select=id,displayName,city,{','.join(select)}")
    (found,) = answer.json()["value"]
    return dict(found)


# Custom attributes. -------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-057")
async def test_a_custom_attribute_goes_in_and_out_by_the_sdk_and_an_undefined_one_is_refused(
    office: Office,
) -> None:
    graph = office.graph()
    word = f"t{uuid.uuid4().hex[:6]}"
    tier = await defined(office, f"Loyalty tier {word}", IdentityUserFlowAttributeDataType.String)
    year = await defined(office, f"Year {word}", IdentityUserFlowAttributeDataType.Int64)

    made = await graph.users.post(a_user(additional_data={tier: "gold", year: 2031}))
    assert made is not None
    assert made.id is not None
    await graph.users.by_user_id(made.id).patch(User(additional_data={tier: "silver"}))
    read = office.call("GET", f"/users/{made.id}?$select={tier},{year}").json()
    wrong = [{year: "many"}, {tier.replace("Tier", "Taste"): "gold"}, {tier: "x" * 251}]
    refused = [office.call("PATCH", f"/users/{made.id}", body).status_code for body in wrong]
    cleared = office.call("PATCH", f"/users/{made.id}", {tier: None}).status_code
    again = office.call("GET", f"/users/{made.id}?$select={tier}").json()

    assert tier.endswith(f"_loyaltyTier{word.capitalize()}")
    assert made.additional_data[tier] == "gold"
    assert (read[tier], read[year]) == ("silver", 2031)
    assert refused == [400, 400, 400]
    assert (cleared, again[tier]) == (204, None)
    with pytest.raises(ODataError):
        await graph.users.post(a_user(additional_data={"extension_00000000000000000000000000000000_no": "x"}))


async def test_attributes_are_listed_described_and_deleted_but_not_the_built_in_ones(office: Office) -> None:
    attributes = office.graph().identity.user_flow_attributes
    made = await defined(office, a_name("Shoe size"), IdentityUserFlowAttributeDataType.Int64)

    listed = await attributes.get()
    one = attributes.by_identity_user_flow_attribute_id(made)
    await one.patch(IdentityUserFlowAttribute(description="In centimetres"))
    described = await one.get()
    await one.delete()

    assert listed is not None
    assert listed.value is not None
    known = {a.id: a.user_flow_attribute_type for a in listed.value}
    assert known["city"] is IdentityUserFlowAttributeType.BuiltIn
    assert known[made] is IdentityUserFlowAttributeType.Custom
    assert described is not None
    assert (described.description, described.data_type) == (
        "In centimetres",
        IdentityUserFlowAttributeDataType.Int64,
    )
    with pytest.raises(ODataError) as gone:
        await one.get()
    assert gone.value.response_status_code == 404
    with pytest.raises(ODataError):
        await attributes.by_identity_user_flow_attribute_id("city").delete()
    bodies: list[dict[str, Any]] = [
        {"displayName": "When", "dataType": "dateTime"},
        {"displayName": "no-good", "dataType": "string"},
        {"displayName": "", "dataType": "string"},
        {"displayName": "Twice", "dataType": "string", "userFlowAttributeType": "builtIn"},
    ]
    answers = [office.call("POST", "/identity/userFlowAttributes", body).status_code for body in bodies]
    assert answers == [400, 400, 400, 400]


async def test_an_extension_property_of_an_application_is_such_an_attribute_too(office: Office) -> None:
    graph = office.graph()
    app = office.made("/applications", {"displayName": a_name("Extensions")})
    properties = graph.applications.by_application_id(app["id"]).extension_properties

    made = await properties.post(ExtensionProperty(name="tier", data_type="String", target_objects=["User"]))
    assert made is not None
    assert made.id is not None
    name = f"extension_{app['appId'].replace('-', '')}_tier"
    person = office.a_user(**{name: "gold"})
    listed = await properties.get()
    again = office.call(
        "POST",
        f"/applications/{app['id']}/extensionProperties",
        {"name": "Tier", "dataType": "String", "targetObjects": ["User"]},
    )
    await properties.by_extension_property_id(made.id).delete()

    assert made.name == name
    assert person[name] == "gold"
    assert listed is not None
    assert [one.name for one in listed.value or []] == [name]
    assert again.status_code == 400
    assert office.call("PATCH", f"/users/{person['id']}", {name: "silver"}).status_code == 400


# User flows. --------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-106")
async def test_a_flow_takes_apps_in_and_lets_them_go_and_an_app_is_in_one_flow_only(office: Office) -> None:
    flows = office.graph().identity.authentication_events_flows
    app, other = a_native_app(office), a_native_app(office)

    made = await flows.post(a_flow(app, provider="EmailPassword-OAUTH"))
    assert isinstance(made, ExternalUsersSelfServiceSignUpEventsFlow)
    assert made.id is not None
    one = flows.by_authentication_events_flow_id(made.id)
    inside = one.conditions.applications.include_applications
    await inside.post(AuthenticationConditionApplication(app_id=other))
    listed = await inside.get()
    with pytest.raises(ODataError) as twice:
        await flows.post(a_flow(other))
    wanted_password = start(office, other, an_address())
    await inside.by_authentication_condition_application_app_id(other).delete()
    taken = await flows.post(a_flow(other))
    wants_code = proven(office, other, an_address())
    read = await one.graph_external_users_self_service_sign_up_events_flow.get()

    assert listed is not None
    assert {found.app_id for found in listed.value or []} == {app, other}
    assert twice.value.response_status_code == 400
    assert wanted_password.status == 200
    assert taken is not None
    assert wants_code.status == 200
    assert read is not None
    assert read.conditions is not None
    assert read.conditions.applications is not None
    assert [found.app_id for found in read.conditions.applications.include_applications or []] == [app]
    asked = proven(office, app, an_address())
    assert asked.error == ("credential_required", "", 55103)
    assert proven(office, app, an_address(), password=STRONG).status == 200
    await one.delete()
    assert proven(office, app, an_address()).status == 200


@pytest.mark.proves("GR-107")
async def test_where_sign_up_is_not_allowed_native_sign_up_fails_from_the_next_request_on(
    office: Office,
) -> None:
    flows = office.graph().identity.authentication_events_flows
    app = a_native_app(office)
    made = await flows.post(a_flow(app))
    assert made is not None
    assert made.id is not None
    begun = start(office, app, address := an_address()).ok()
    sent = office.post("/signup/v1.0/challenge", client_id=app, continuation_token=begun.token).ok()

    await flows.by_authentication_events_flow_id(made.id).patch(
        ExternalUsersSelfServiceSignUpEventsFlow(
            on_interactive_auth_flow_start=OnInteractiveAuthFlowStartExternalUsersSelfServiceSignUp(
                is_sign_up_allowed=False
            )
        )
    )
    refused = start(office, app, an_address())
    known = start(office, app, office.a_user(address=an_address())["identities"][0]["issuerAssignedId"])
    midway = office.post(
        "/signup/v1.0/continue",
        client_id=app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=office.code(address, "sign_up"),
    )

    assert refused.error == known.error == midway.error == ("invalid_request", "", 90023)
    initiated = office.post(
        "/oauth2/v2.0/initiate", client_id=app, username=address, challenge_type="oob password redirect"
    )
    assert initiated.error == ("user_not_found", "", 50034)


@pytest.mark.proves("GR-108")
async def test_what_a_flow_collects_is_asked_for_judged_and_kept_as_it_says(office: Office) -> None:
    tier = await defined(office, a_name("Tier"), IdentityUserFlowAttributeDataType.String)
    source = await defined(office, a_name("Source"), IdentityUserFlowAttributeDataType.String)
    terms = await defined(office, a_name("Terms"), IdentityUserFlowAttributeDataType.Boolean)
    app = a_native_app(office)
    made = await office.graph().identity.authentication_events_flows.post(
        a_flow(
            app,
            inputs=(
                an_input("displayName", required=True, validation_reg_ex="^[A-Z].*$"),
                an_input(
                    tier,
                    InputType.RadioSingleSelect,
                    required=True,
                    options=[
                        OptionConfiguration(label="Gold!", value="gold"),
                        OptionConfiguration(value="tin"),
                    ],
                ),
                an_input(terms, InputType.Boolean, required=True, write_to_directory=False),
                an_input(source, hidden=True, default_value="shop"),
                an_input("city", default_value="Basel"),
            ),
        )
    )
    asked = proven(office, app, address := an_address(), attributes={source: "forged"})
    names = [entry["name"] for entry in asked["required_attributes"]]
    wrong = supplied(office, app, asked.token, displayName="ada", **{tier: "lead", terms: "true"})
    done = supplied(
        office, app, asked.token, displayName="Ada", **{tier: "gold", terms: "true", source: "forged"}
    )

    assert isinstance(made, ExternalUsersSelfServiceSignUpEventsFlow)
    assert asked.error == ("attributes_required", "", 55106)
    assert names == ["displayName", tier, terms]
    assert {entry["name"] for entry in wrong["invalid_attributes"]} == {"displayName", tier}
    assert done.status == 200
    person = await user_of(office, address, tier, source, terms)
    assert (person["displayName"], person["city"]) == ("Ada", "Basel")
    assert (person[tier], person[source], person[terms]) == ("gold", "shop", None)
    collection = made.on_attribute_collection
    assert isinstance(collection, OnAttributeCollectionExternalUsersSelfServiceSignUp)
    assert [one.id for one in collection.attributes or []] == [
        "email",
        "displayName",
        tier,
        terms,
        source,
        "city",
    ]
    assert collection.attribute_collection_page is not None
    (view,) = collection.attribute_collection_page.views or []
    assert [(one.attribute, one.required, one.hidden) for one in (view.inputs or [])[:3]] == [
        ("email", False, True),
        ("displayName", True, False),
        (tier, True, False),
    ]
    in_use = office.call("DELETE", f"/identity/userFlowAttributes/{tier}")
    assert in_use.status_code == 400


async def test_a_fetched_flow_can_be_sent_back_changed_and_a_stale_one_is_refused(office: Office) -> None:
    flows = office.graph().identity.authentication_events_flows
    made = await flows.post(a_flow(a_native_app(office), inputs=(an_input("city", required=True),)))
    assert made is not None
    assert made.id is not None
    one = flows.by_authentication_events_flow_id(made.id)
    fetched = await one.get()
    assert fetched is not None
    etag = office.call("GET", f"{FLOWS}/{made.id}").headers["etag"]

    fetched.display_name = a_name("Renamed")
    await one.patch(fetched)
    read = office.call("GET", f"{FLOWS}/{made.id}").json()
    stale = office.call("PATCH", f"{FLOWS}/{made.id}", {"description": "late"}, if_match=etag)

    assert read["displayName"] == fetched.display_name
    inputs = read["onAttributeCollection"]["attributeCollectionPage"]["views"][0]["inputs"]
    assert [(i["attribute"], i["required"]) for i in inputs] == [("email", False), ("city", True)]
    assert read["onInteractiveAuthFlowStart"]["isSignUpAllowed"] is True
    assert stale.status_code == 412


@pytest.mark.parametrize(
    "wrong",
    [
        {"displayName": ""},
        {"priority": "first"},
        {"conditions": {"applications": {"includeApplications": [{"appId": str(uuid.uuid4())}]}}},
        {"conditions": {"applications": {"includeAllApplications": True}}},
        {"onAuthenticationMethodLoadStart": {"identityProviders": []}},
        {"onAuthenticationMethodLoadStart": {"identityProviders": [{"id": "Google-OAUTH"}]}},
        {"onUserCreateStart": {"userTypeToCreate": "guest"}},
        {"onAttributeCollection": {"attributes": [{"id": "shoeSize"}]}},
        {
            "onAttributeCollection": {
                "attributeCollectionPage": {
                    "views": [{"inputs": [{"attribute": "city", "validationRegEx": "("}]}]
                }
            }
        },
        {
            "onAttributeCollection": {
                "attributeCollectionPage": {
                    "views": [{"inputs": [{"attribute": "city", "inputType": "radioSingleSelect"}]}]
                }
            }
        },
        {"onAttributeCollection": {"attributes": [{"id": "city"}, {"id": "city"}]}},
        {"shoeSize": 43},
    ],
)
async def test_a_flow_that_cannot_be_is_refused_with_the_reason_and_nothing_changes(
    office: Office, wrong: dict[str, Any]
) -> None:
    provider = {"identityProviders": [{"id": "EmailOtpSignup-OAUTH"}]}
    made = office.made(FLOWS, {"displayName": a_name("Flow"), "onAuthenticationMethodLoadStart": provider})

    refused = office.call("PATCH", f"{FLOWS}/{made['id']}", wrong)

    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["message"]
    read = office.call("GET", f"{FLOWS}/{made['id']}").json()
    assert {**read, "@odata.context": ""} == {**made, "@odata.context": ""}
    assert read["onInteractiveAuthFlowStart"]["isSignUpAllowed"] is False


async def test_an_app_that_is_deleted_leaves_its_flow_and_a_reader_may_not_write(office: Office) -> None:
    app = office.made(
        "/applications",
        {
            "displayName": a_name("Gone"),
            "isFallbackPublicClient": True,
            "nativeAuthenticationApisEnabled": "all",
        },
    )
    made = await office.graph().identity.authentication_events_flows.post(a_flow(app["appId"]))
    assert made is not None
    assert office.call("DELETE", f"/applications/{app['id']}").status_code == 204
    reader = office.token(*office.client_with("EventListener.Read.All"))

    read = office.call("GET", f"{FLOWS}/{made.id}", token=reader)
    refused = office.call("PATCH", f"{FLOWS}/{made.id}", {"description": "no"}, token=reader)

    assert read.json()["conditions"]["applications"]["includeApplications"] == []
    assert refused.status_code == 403
