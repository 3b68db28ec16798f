"""
Custom authentication extensions and listeners by the SDK, and what their receivers hear and bring about.

The receiver is a real HTTPS server on this machine, which the operator's setting names.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import anyio
import jwt
import pytest
from msgraph.generated.models.authentication_condition_application import AuthenticationConditionApplication
from msgraph.generated.models.authentication_conditions import AuthenticationConditions
from msgraph.generated.models.authentication_conditions_applications import (
    AuthenticationConditionsApplications,
)
from msgraph.generated.models.authentication_event_listener import AuthenticationEventListener
from msgraph.generated.models.azure_ad_token_authentication import AzureAdTokenAuthentication
from msgraph.generated.models.custom_extension_client_configuration import CustomExtensionClientConfiguration
from msgraph.generated.models.fallback_to_microsoft_provider_on_error import (
    FallbackToMicrosoftProviderOnError,
)
from msgraph.generated.models.http_request_endpoint import HttpRequestEndpoint
from msgraph.generated.models.on_attribute_collection_start_custom_extension import (
    OnAttributeCollectionStartCustomExtension,
)
from msgraph.generated.models.on_attribute_collection_start_custom_extension_handler import (
    OnAttributeCollectionStartCustomExtensionHandler,
)
from msgraph.generated.models.on_attribute_collection_start_listener import OnAttributeCollectionStartListener
from msgraph.generated.models.on_attribute_collection_submit_custom_extension import (
    OnAttributeCollectionSubmitCustomExtension,
)
from msgraph.generated.models.on_attribute_collection_submit_custom_extension_handler import (
    OnAttributeCollectionSubmitCustomExtensionHandler,
)
from msgraph.generated.models.on_attribute_collection_submit_listener import (
    OnAttributeCollectionSubmitListener,
)
from msgraph.generated.models.on_email_otp_send_listener import OnEmailOtpSendListener
from msgraph.generated.models.on_otp_send_custom_extension import OnOtpSendCustomExtension
from msgraph.generated.models.on_otp_send_custom_extension_handler import OnOtpSendCustomExtensionHandler
from msgraph.generated.models.on_token_issuance_start_custom_extension import (
    OnTokenIssuanceStartCustomExtension,
)
from msgraph.generated.models.on_token_issuance_start_custom_extension_handler import (
    OnTokenIssuanceStartCustomExtensionHandler,
)
from msgraph.generated.models.on_token_issuance_start_listener import OnTokenIssuanceStartListener
from msgraph.generated.models.on_token_issuance_start_return_claim import OnTokenIssuanceStartReturnClaim

from tests.graph.journeys import a_name, a_native_app, proven, start, supplied
from tests.graph.sdk import STRONG, ODataError, Office, an_address, running_office
from tests.receivers import Receiver, Says, action, answer, goes_on
from tests.server import Reply, new_number

pytestmark = pytest.mark.anyio

EXTENSIONS, LISTENERS = "/identity/customAuthenticationExtensions", "/identity/authenticationEventListeners"
EVENTS_SERVICE = "99045fe1-7639-4a75-9d4a-577b6ca3810f"
FAILED = ("invalid_request", "", 1003001)
SDK: dict[str, tuple[Any, Any, Any]] = {
    "otp": (OnOtpSendCustomExtension, OnEmailOtpSendListener, OnOtpSendCustomExtensionHandler),
    "start": (
        OnAttributeCollectionStartCustomExtension,
        OnAttributeCollectionStartListener,
        OnAttributeCollectionStartCustomExtensionHandler,
    ),
    "submit": (
        OnAttributeCollectionSubmitCustomExtension,
        OnAttributeCollectionSubmitListener,
        OnAttributeCollectionSubmitCustomExtensionHandler,
    ),
    "tokens": (
        OnTokenIssuanceStartCustomExtension,
        OnTokenIssuanceStartListener,
        OnTokenIssuanceStartCustomExtensionHandler,
    ),
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Office]:
    """A `genkan dev --tls` process whose operator has named the receiver, and trusts its authority."""
    with running_office(
        tmp_path_factory.mktemp("office") / "data",
        GENKAN_WEBHOOK_HOSTS=f"localhost:{receiver.port}",
        GENKAN_WEBHOOK_AUTHORITIES=str(receiver.ca_file),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def api(office: Office) -> str:
    """The receiver's application, which may receive: its app id."""
    return an_api(office)


def an_api(office: Office, *, may_receive: bool = True) -> str:
    from genkan.wire.graph.applications import role_id

    app = office.made("/applications", {"displayName": a_name("Hooks")})
    if may_receive:
        office.made(
            f"/servicePrincipals(appId='{app['appId']}')/appRoleAssignments",
            {"appRoleId": role_id("CustomAuthenticationExtension.Receive.Payload")},
        )
    return str(app["appId"])


class Hook:
    """An extension of one event, and its listener for one app."""

    def __init__(self, receiver: Receiver, app: str, path: str, extension: Any, listener: Any) -> None:
        self.app, self.path, self.extension, self.listener = app, path, extension, listener
        self._receiver = receiver

    @property
    def secret(self) -> str:
        return str(self.extension.additional_data["genkanSigningSecret"])

    def says(self, *answers: Says) -> None:
        self._receiver.answers[self.path] = list(answers)

    @property
    def calls(self) -> list[Any]:
        return self._receiver.of(self.path)


async def hooked(
    office: Office,
    receiver: Receiver,
    api: str,
    what: str,
    *answers: Says,
    app: str = "",
    falls_back: bool = False,
    retries: int = 0,
    within: int = 2000,
    url: str = "",
    claims: tuple[str, ...] = (),
    **listener: Any,
) -> Hook:
    """An extension and a listener, made by the SDK."""
    app = app or a_native_app(office)
    path = f"/{what}/{a_name('x').replace(' ', '-')}"
    kind, listens, handles = SDK[what]
    more: dict[str, Any] = {}
    if claims:
        more["claims_for_token_configuration"] = [
            OnTokenIssuanceStartReturnClaim(claim_id_in_api_response=claim) for claim in claims
        ]
    graph = office.graph()
    made = await graph.identity.custom_authentication_extensions.post(
        kind(
            display_name=a_name("Extension"),
            authentication_configuration=AzureAdTokenAuthentication(resource_id=f"api://localhost/{api}"),
            endpoint_configuration=HttpRequestEndpoint(target_url=url or receiver.url(path)),
            client_configuration=CustomExtensionClientConfiguration(
                timeout_in_milliseconds=within, maximum_retries=retries
            ),
            behavior_on_error=FallbackToMicrosoftProviderOnError() if falls_back else None,
            **more,
        )
    )
    assert made is not None
    made_listener = await graph.identity.authentication_event_listeners.post(
        listens(
            conditions=for_apps(app),
            handler=handles(custom_extension=kind(id=made.id)),
            additional_data=listener,
        )
    )
    hook = Hook(receiver, app, path, made, made_listener)
    hook.says(*(answers or (Says(status=500),)))
    return hook


def for_apps(*apps: str) -> AuthenticationConditions:
    return AuthenticationConditions(
        applications=AuthenticationConditionsApplications(
            include_applications=[AuthenticationConditionApplication(app_id=app) for app in apps]
        )
    )


def redeemed(office: Office, app: str, token: str) -> Reply:
    """Ask for tokens after a sign-up."""
    return office.post(
        "/oauth2/v2.0/token",
        client_id=app,
        continuation_token=token,
        grant_type="continuation_token",
        scope="openid offline_access",
    )


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def fails_with(office: Office, email: str) -> list[int]:
    """The numbers in the sign-in log of whoever has this address."""
    entries = office.call("GET", "/auditLogs/signIns?$top=50").json()["value"]
    person = office.call(
        "GET",
        f"/users?$filter=identities/any(c:c/issuerAssignedId eq '{email}' and c/issuer eq 'dev.onmicrosoft.com')",
    ).json()["value"]
    ids = {one["id"] for one in person}
    return [entry["status"]["errorCode"] for entry in entries if entry["userId"] in ids]


def called(hook: Hook, number: int) -> None:
    """Wait until a receiver has been called so often."""
    deadline = time.monotonic() + 10
    while len(hook.calls) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# What can be written. -----------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-109")
@pytest.mark.parametrize(
    ("wrong", "number"),
    [
        ({"clientConfiguration": {"timeoutInMilliseconds": 199, "maximumRetries": 1}}, ""),
        ({"clientConfiguration": {"timeoutInMilliseconds": 2001, "maximumRetries": 1}}, ""),
        ({"clientConfiguration": {"timeoutInMilliseconds": 500, "maximumRetries": 2}}, ""),
        ({"endpointConfiguration": {"targetUrl": "http://localhost/otp"}}, "1003020"),
        ({"endpointConfiguration": {"targetUrl": "https://elsewhere.example.com/otp"}}, "1003015"),
        ({"endpointConfiguration": {"targetUrl": "https://user:word@localhost/otp"}}, ""),
        ({"endpointConfiguration": {"targetUrl": "https://localhost/otp\r\nx: y"}}, ""),
        ({"authenticationConfiguration": {"resourceId": "api://localhost"}}, "1003014"),
        (
            {
                "authenticationConfiguration": {
                    "resourceId": "api://localhost/00000000-0000-4000-8000-000000000000"
                }
            },
            "1003014",
        ),
        ({"behaviorOnError": {"@odata.type": "#microsoft.graph.carryOn"}}, ""),
        ({"claimsForTokenConfiguration": [{"claimIdInApiResponse": "tier"}]}, ""),
        ({"displayName": None}, ""),
        ({"@odata.type": "#microsoft.graph.onSomethingCustomExtension"}, ""),
    ],
)
async def test_an_extension_that_cannot_be_is_refused_when_it_is_made_and_when_it_is_changed(
    office: Office, api: str, wrong: dict[str, Any], number: str
) -> None:
    good = an_extension(api)
    made = office.made(EXTENSIONS, good)

    answers = [
        office.call("POST", EXTENSIONS, {**good, **wrong}),
        office.call("PATCH", f"{EXTENSIONS}/{made['id']}", wrong),
    ]

    for refused in answers:
        assert refused.status_code == 400, refused.text
    if number:
        assert {one.json()["error"]["details"][0]["code"] for one in answers} == {number}
    read = office.call("GET", f"{EXTENSIONS}/{made['id']}").json()
    assert read == {name: value for name, value in made.items() if name != "genkanSigningSecret"}


def an_extension(api: str, **more: Any) -> dict[str, Any]:
    """The JSON of one."""
    return {
        "@odata.type": "#microsoft.graph.onOtpSendCustomExtension",
        "displayName": a_name("Extension"),
        "authenticationConfiguration": {
            "@odata.type": "#microsoft.graph.azureAdTokenAuthentication",
            "resourceId": f"api://localhost/{api}",
        },
        "endpointConfiguration": {
            "@odata.type": "#microsoft.graph.httpRequestEndpoint",
            "targetUrl": "https://localhost/otp",
        },
        **more,
    }


@pytest.mark.proves("GR-115", "WHK-04")
@pytest.mark.parametrize(
    "claim", ["sub", "aud", "amr", "acr", "iss", "acrs", "SUB", "oid", "roles", "scp", "exp"]
)
async def test_no_extension_may_be_given_a_claim_with_a_meaning_of_its_own(
    office: Office, api: str, claim: str
) -> None:
    refused = office.call(
        "POST",
        EXTENSIONS,
        an_extension(
            api,
            **{
                "@odata.type": "#microsoft.graph.onTokenIssuanceStartCustomExtension",
                "claimsForTokenConfiguration": [{"claimIdInApiResponse": claim}],
            },
        ),
    )

    assert refused.status_code == 400


async def test_extensions_and_listeners_come_back_as_the_right_classes_and_can_be_sent_back(
    office: Office, receiver: Receiver, api: str
) -> None:
    hook = await hooked(office, receiver, api, "tokens", claims=("tier",))
    extensions = office.graph().identity.custom_authentication_extensions
    listeners = office.graph().identity.authentication_event_listeners
    one = extensions.by_custom_authentication_extension_id(hook.extension.id)
    fetched = await one.get()
    assert isinstance(fetched, OnTokenIssuanceStartCustomExtension)

    fetched.description = "Says who has paid"
    await one.patch(fetched)
    read = await one.get()
    listener = await listeners.by_authentication_event_listener_id(hook.listener.id).get()
    kept = office.call("DELETE", f"{EXTENSIONS}/{hook.extension.id}").status_code
    await listeners.by_authentication_event_listener_id(hook.listener.id).delete()
    await one.delete()

    assert read is not None
    assert read.description == "Says who has paid"
    assert "genkanSigningSecret" not in read.additional_data
    assert isinstance(listener, OnTokenIssuanceStartListener)
    assert isinstance(listener.handler, OnTokenIssuanceStartCustomExtensionHandler)
    assert kept == 400
    with pytest.raises(ODataError) as gone:
        await one.get()
    assert gone.value.response_status_code == 404
    unknown = office.call(
        "POST", LISTENERS, {"@odata.type": "#microsoft.graph.onFraudProtectionLoadStartListener"}
    )
    assert unknown.status_code == 501


async def test_a_listener_names_an_extension_of_its_own_event_and_applications_that_are_there(
    office: Office, receiver: Receiver, api: str
) -> None:
    hook = await hooked(office, receiver, api, "otp")
    handler = {
        "@odata.type": "#microsoft.graph.onTokenIssuanceStartCustomExtensionHandler",
        "customExtension": {"id": hook.extension.id},
    }
    nobody = {"applications": {"includeApplications": [{"appId": "00000000-0000-4000-8000-000000000000"}]}}

    answers = [
        office.call(
            "POST",
            LISTENERS,
            {"@odata.type": "#microsoft.graph.onTokenIssuanceStartListener", "handler": handler},
        ),
        office.call("PATCH", f"{LISTENERS}/{hook.listener.id}", {"conditions": nobody}),
        office.call("PATCH", f"{LISTENERS}/{hook.listener.id}", {"genkanChannel": "pigeon"}),
        office.call("PATCH", f"{LISTENERS}/{hook.listener.id}", {"priority": 2000}),
    ]

    assert [one.status_code for one in answers] == [400] * 4


# OnOtpSend. ---------------------------------------------------------------------------------------------------------

# Whoever calls `genkan dev` calls from this machine, which is no address to tell anybody.
RECORDED = (
    '{"type":"microsoft.graph.authenticationEvent.emailOtpSend","source":"/tenants/TENANT/applications/API",'
    '"data":{"@odata.type":"microsoft.graph.onOtpSendCalloutData","tenantId":"TENANT",'
    '"authenticationEventListenerId":"LISTENER","customAuthenticationExtensionId":"EXTENSION",'
    '"authenticationContext":{"correlationId":"CORRELATION","protocol":"OAUTH2.0",'
    '"client":{"ip":"","locale":"en","market":"en"},'
    '"clientServicePrincipal":{"id":"PRINCIPAL","appId":"APP","appDisplayName":"NAME","displayName":"NAME"},'
    '"resourceServicePrincipal":{"id":"DIRECTORY","appId":"00000002-0000-0000-c000-000000000000",'
    '"appDisplayName":"Directory","displayName":"Directory"},"requestType":"signUp"},'
    '"otpContext":{"identifier":"ADDRESS","oneTimeCode":"CODE"}}}'
)


@pytest.mark.proves("GR-110", "WHK-03")
async def test_a_code_goes_to_the_receiver_alone_in_the_recorded_words_with_a_token_and_a_signature(
    office: Office, receiver: Receiver, api: str
) -> None:
    hook = await hooked(office, receiver, api, "otp", goes_on("OtpSend"))
    address = an_address()
    begun = start(office, hook.app, address).ok()
    sent = office.post("/signup/v1.0/challenge", client_id=hook.app, continuation_token=begun.token).ok()
    called(hook, 1)
    (call,) = hook.calls

    code = call.json["data"]["otpContext"]["oneTimeCode"]
    principal = office.call("GET", f"/servicePrincipals(appId='{hook.app}')").json()
    context = call.json["data"]["authenticationContext"]
    expected = (
        RECORDED.replace("TENANT", office.told["tenant_id"])
        .replace("API", api)
        .replace("LISTENER", hook.listener.id)
        .replace("EXTENSION", hook.extension.id)
        .replace("CORRELATION", begun.headers["client-request-id"])
        .replace("PRINCIPAL", principal["id"])
        .replace("DIRECTORY", context["resourceServicePrincipal"]["id"])
        .replace("NAME", principal["displayName"])
        .replace("ADDRESS", address)
        .replace("CODE", code)
        .replace('"appId":"APP"', f'"appId":"{hook.app}"')
    )
    assert call.body.decode() == expected
    done = office.post(
        "/signup/v1.0/continue",
        client_id=hook.app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=code,
    )
    assert done.status == 200
    assert office.messages(address) == []
    scheme, token = call.headers["authorization"].split(" ")
    keys = jwt.PyJWKSet.from_dict(office.http.get(f"{office.base}/dev/discovery/v2.0/keys").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=api,
        issuer=f"{office.base}/{office.told['tenant_id']}/v2.0",
    )
    assert (scheme, claims["azp"], claims["appid"]) == ("Bearer", EVENTS_SERVICE, EVENTS_SERVICE)
    assert claims["exp"] - claims["iat"] <= 300
    assert office.call("GET", "/users", token=token).status_code in (401, 403)
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    raw = base64.b64decode(hook.secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
    assert call.headers["webhook-signature"] == f"v1,{signature}"
    assert abs(int(call.headers["webhook-timestamp"]) - time.time()) < 60
    assert code not in office.log
    assert hook.secret not in office.log


@pytest.mark.proves("WHK-03")
async def test_while_a_secret_is_rotated_both_sign(office: Office, receiver: Receiver, api: str) -> None:
    hook = await hooked(office, receiver, api, "otp", goes_on("OtpSend"))

    answered = office.call("POST", f"{EXTENSIONS}/{hook.extension.id}/genkanRotateSigningSecret")
    begun = start(office, hook.app, an_address()).ok()
    office.post("/signup/v1.0/challenge", client_id=hook.app, continuation_token=begun.token).ok()
    called(hook, 1)
    (call,) = hook.calls

    secrets = [answered.json()["genkanSigningSecret"], hook.secret]
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    expected = [
        "v1,"
        + base64.b64encode(
            hmac.new(base64.b64decode(s.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        ).decode()
        for s in secrets
    ]
    assert secrets[0] != secrets[1]
    assert call.headers["webhook-signature"].split(" ") == expected


@pytest.mark.proves("GR-111", "WHK-05")
@pytest.mark.parametrize("down", ["closed", "error", "unauthorized", "nothing", "two"])
async def test_where_the_receiver_is_down_our_own_mailer_sends_the_same_code_or_nobody_does(
    office: Office, receiver: Receiver, api: str, down: str
) -> None:
    says = {
        "closed": Says(),
        "error": Says(status=503),
        "unauthorized": Says(status=401, body=b"{}"),
        "nothing": Says(answer("OnOtpSendResponseData")),
        "two": Says(answer("OnOtpSendResponseData", *[{"@odata.type": "x"}] * 2)),
    }[down]
    url = "https://localhost:9/otp" if down == "closed" else ""
    falls = await hooked(office, receiver, api, "otp", says, falls_back=True, url=url)
    fails = await hooked(office, receiver, api, "otp", says, url=url)
    codes = []
    for hook in (falls, fails):
        address = an_address()
        begun = start(office, hook.app, address).ok()
        sent = office.post("/signup/v1.0/challenge", client_id=hook.app, continuation_token=begun.token).ok()
        codes.append((hook, address, sent))

    (_, address, sent), (_, unreached, _) = codes
    code = office.code(address, "sign_up")
    done = office.post(
        "/signup/v1.0/continue",
        client_id=falls.app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=code,
    )

    assert done.status == 200
    if down != "closed":
        called(fails, 1)
        assert {call.json["data"]["otpContext"]["oneTimeCode"] for call in falls.calls} == {code}
    assert len(office.messages(address)) == 1
    assert office.messages(unreached) == []


async def test_a_receiver_that_falls_silent_may_have_sent_the_code_so_nobody_sends_it_again(
    office: Office, receiver: Receiver, api: str
) -> None:
    slow = Says(goes_on("OtpSend").body, after=0.6)
    hook = await hooked(office, receiver, api, "otp", slow, falls_back=True, within=200, retries=1)
    begun = start(office, hook.app, address := an_address()).ok()

    office.post("/signup/v1.0/challenge", client_id=hook.app, continuation_token=begun.token).ok()
    called(hook, 2)
    await anyio.sleep(0.3)

    assert len({call.headers["webhook-id"] for call in hook.calls}) == 1
    assert office.messages(address) == []
    assert re.search(r"extension\.failed.*1003005", office.log) is not None


def a_person_with(office: Office, number: str) -> str:
    """The address of somebody with a password whose second factor is this number."""
    person = office.a_user(address=(address := an_address()))
    office.made(
        f"/users/{person['id']}/authentication/phoneMethods", {"phoneNumber": number, "phoneType": "mobile"}
    )
    return address


def second_factor(office: Office, address: str) -> Reply:
    """Sign in as far as the text message, which is answered here."""
    app = office.otp_app
    begun = office.post(
        "/oauth2/v2.0/initiate",
        client_id=app,
        username=address,
        challenge_type="oob password redirect",
        capabilities="mfa_required",
    ).ok()
    asked = office.post("/oauth2/v2.0/challenge", client_id=app, continuation_token=begun.token).ok()
    proven = office.post(
        "/oauth2/v2.0/token",
        client_id=app,
        continuation_token=asked.token,
        grant_type="password",
        password=STRONG,
        scope=office.scope,
    )
    assert proven.error[1] == "mfa_required"
    return office.post("/oauth2/v2.0/challenge", client_id=app, continuation_token=proven.token)


@pytest.mark.proves("GR-112", "GR-117")
async def test_a_text_message_to_a_closed_region_never_reaches_the_receiver_until_a_listener_opens_it(
    office: Office, receiver: Receiver, api: str
) -> None:
    hook = await hooked(
        office, receiver, api, "otp", goes_on("OtpSend"), app=office.otp_app, genkanChannel="sms"
    )
    regions = office.graph().identity.authentication_event_listeners
    kind = {"@odata.type": "#microsoft.graph.onPhoneMethodLoadStartExternalUsersAuthHandler"}
    address = a_person_with(office, "+222 22123456")
    british = a_person_with(office, f"+44 {new_number().removeprefix('+44')}")

    closed = second_factor(office, address)
    assert closed.error == ("access_denied", "provider_blocked_by_admin", 550024)
    assert hook.calls == []
    listener = await regions.post(
        AuthenticationEventListener(
            odata_type="#microsoft.graph.onPhoneMethodLoadStartListener",
            conditions=for_apps(office.otp_app),
            additional_data={
                "handler": {
                    **kind,
                    "smsOptions": {"includeAdditionalRegions": [222], "excludeRegions": [44]},
                }
            },
        )
    )
    assert listener is not None
    opened = second_factor(office, address)
    called(hook, 1)
    shut = second_factor(office, british)
    refused = [
        office.call(
            "PATCH", f"{LISTENERS}/{listener.id}", {"handler": {**kind, "smsOptions": options}}
        ).status_code
        for options in (
            {"includeAdditionalRegions": [222], "excludeRegions": [222]},
            {"includeAdditionalRegions": [999], "excludeRegions": []},
            {"includeAdditionalRegions": ["222"]},
            {"defaultRegions": [44]},
        )
    ]
    await regions.by_authentication_event_listener_id(str(listener.id)).delete()
    again = second_factor(office, a_person_with(office, "+222 22123457"))
    office.call("DELETE", f"{LISTENERS}/{hook.listener.id}")

    assert opened.status == 200
    said = hook.calls[0].json
    assert said["type"] == "genkan.authenticationEvent.smsOtpSend"
    assert said["data"]["otpContext"] | {"oneTimeCode": ""} == {
        "identifier": "+22222123456",
        "oneTimeCode": "",
        "channel": "sms",
    }
    assert said["data"]["authenticationContext"]["requestType"] == "mfa"
    assert shut.error[1] == again.error[1] == "provider_blocked_by_admin"
    assert refused == [400] * 4
    assert len(hook.calls) == 1


# OnAttributeCollectionStart and Submit. -----------------------------------------------------------------------------


async def collecting(office: Office, *inputs: dict[str, Any]) -> str:
    """A new app with a user flow that collects these: its app id."""
    app = a_native_app(office)
    office.made(
        "/identity/authenticationEventsFlows",
        {
            "displayName": a_name("Flow"),
            "conditions": {"applications": {"includeApplications": [{"appId": app}]}},
            "onInteractiveAuthFlowStart": {"isSignUpAllowed": True},
            "onAuthenticationMethodLoadStart": {"identityProviders": [{"id": "EmailOtpSignup-OAUTH"}]},
            "onAttributeCollection": {"attributeCollectionPage": {"views": [{"inputs": list(inputs)}]}},
        },
    )
    return app


def who(office: Office, address: str) -> dict[str, Any] | None:
    """The account of an address."""
    where = f"identities/any(c:c/issuerAssignedId eq '{address}' and c/issuer eq 'dev.onmicrosoft.com')"
    found = office.call("GET", f"/users?$filter={where}&$select=id,displayName,city,country").json()["value"]
    return dict(found[0]) if found else None


@pytest.mark.proves("GR-113")
async def test_before_attributes_are_collected_values_are_filled_in_or_the_sign_up_ends(
    office: Office, receiver: Receiver, api: str
) -> None:
    inputs = (
        {"attribute": "displayName", "required": True},
        {"attribute": "city", "required": True},
        {"attribute": "country", "hidden": True},
    )
    app = await collecting(office, *inputs)
    said = "onAttributeCollectionStartResponseData"
    values = {"city": "Basel", "country": "CH", "jobTitle": "not collected"}
    hook = await hooked(
        office,
        receiver,
        api,
        "start",
        action(said, "attributeCollectionStart.setPrefillValues", inputs=values),
        action(
            said,
            "attributeCollectionStart.showBlockPage",
            title="No",
            message="Not from\r\nhere.",
        ),
        app=app,
    )

    asked = proven(office, app, address := an_address(), attributes={"country": "forged"})
    done = supplied(office, app, asked.token, displayName="Ada")
    blocked = proven(office, app, turned_away := an_address())

    assert [entry["name"] for entry in asked["required_attributes"]] == ["displayName"]
    assert done.status == 200
    person = who(office, address)
    assert person is not None
    assert (person["displayName"], person["city"], person["country"]) == ("Ada", "Basel", "CH")
    assert blocked.error == ("invalid_grant", "message_only", 53003)
    assert "Not from here." in blocked["error_description"]
    assert "continuation_token" not in blocked.body
    assert who(office, turned_away) is None
    first = hook.calls[0].json["data"]["userSignUpInfo"]
    assert first["attributes"]["displayName"] == {
        "@odata.type": "microsoft.graph.stringDirectoryAttributeValue",
        "value": None,
        "attributeType": "builtIn",
    }
    assert first["identities"] == [
        {"signInType": "email", "issuer": "dev.onmicrosoft.com", "issuerAssignedId": address}
    ]
    assert len(hook.calls) == 2


@pytest.mark.proves("GR-114")
async def test_submitted_attributes_are_modified_refused_or_the_sign_up_ends(
    office: Office, receiver: Receiver, api: str
) -> None:
    app = await collecting(
        office,
        {"attribute": "displayName", "required": True},
        {"attribute": "city"},
        {"attribute": "country"},
    )
    said, does = "onAttributeCollectionSubmitResponseData", "attributeCollectionSubmit"
    hook = await hooked(office, receiver, api, "submit", app=app)
    hook.says(
        action(
            said,
            f"{does}.showValidationError",
            message="Look again.",
            attributeErrors={"city": "Where is that?"},
        ),
        action(
            said,
            f"{does}.modifyAttributeValues",
            attributes={"city": "Basel", "jobTitle": "not collected", "country": "CH"},
        ),
        action(said, f"{does}.showValidationError", message="Look again.", attributeErrors={"city": "No."}),
        action(said, f"{does}.showBlockPage", title="No", message="Not today."),
        action(said, f"{does}.modifyAttributeValues", attributes={"displayName": 7, "city": "x" * 129}),
    )

    asked = proven(office, app, address := an_address())
    wrong = supplied(office, app, asked.token, displayName="Ada", city="Atlantis")
    done = supplied(office, app, asked.token, displayName="Ada", city="Bâle")
    given = {"displayName": "Bob", "city": "Atlantis"}
    early = proven(office, app, second := an_address(), attributes=given)
    blocked = supplied(office, app, early.token, city="Basel")
    odd = proven(office, app, third := an_address(), attributes=given)

    assert wrong.error == ("invalid_grant", "attribute_validation_failed", 55106)
    assert wrong["invalid_attributes"] == [{"name": "city"}]
    assert "Look again." in wrong["error_description"]
    assert done.status == 200
    person = who(office, address)
    assert person is not None
    assert (person["displayName"], person["city"], person["country"]) == ("Ada", "Basel", "CH")
    assert early.error == ("attributes_required", "", 55106)
    assert [entry["name"] for entry in early["required_attributes"]] == ["city"]
    assert blocked.error == ("invalid_grant", "message_only", 53003)
    assert odd.error == FAILED
    assert (who(office, second), who(office, third)) == (None, None)
    submitted = [call.json["data"]["userSignUpInfo"]["attributes"]["city"]["value"] for call in hook.calls]
    assert submitted == ["Atlantis", "Bâle", "Atlantis", "Basel", "Atlantis"]
    assert "password" not in hook.calls[0].body.decode().lower()


async def test_a_flow_may_name_its_extensions_itself(office: Office, receiver: Receiver, api: str) -> None:
    app = await collecting(office, {"attribute": "city"})
    ours = await hooked(office, receiver, api, "start", goes_on("attributeCollectionStart"))
    (flow,) = [
        one
        for one in office.call("GET", "/identity/authenticationEventsFlows").json()["value"]
        if {"appId": app}.items()
        <= (one["conditions"]["applications"]["includeApplications"] or [{}])[0].items()
    ]
    at = f"/identity/authenticationEventsFlows/{flow['id']}"
    handler = {
        "@odata.type": "#microsoft.graph.onAttributeCollectionStartCustomExtensionHandler",
        "customExtension": {"id": ours.extension.id},
    }

    named = office.call("PATCH", at, {"onAttributeCollectionStart": handler}).status_code
    misplaced = office.call(
        "PATCH",
        at,
        {
            "onAttributeCollectionSubmit": {
                **handler,
                "@odata.type": "#microsoft.graph.onAttributeCollectionSubmitCustomExtensionHandler",
            }
        },
    ).status_code
    asked = proven(office, app, an_address())
    cleared = office.call("PATCH", at, {"onAttributeCollectionStart": None}).status_code
    proven(office, app, an_address()).ok()

    assert (named, misplaced, cleared) == (204, 400, 204)
    assert asked.status == 200
    assert len(ours.calls) == 1


# OnTokenIssuanceStart. ----------------------------------------------------------------------------------------------


def adds(**claims: Any) -> Says:
    return action(
        "onTokenIssuanceStartResponseData", "tokenIssuanceStart.provideClaimsForToken", claims=claims
    )


@pytest.mark.proves("GR-115", "WHK-04")
async def test_claims_that_are_listed_enter_both_tokens_and_those_that_are_ours_are_never_touched(
    office: Office, receiver: Receiver, api: str
) -> None:
    mine = dict.fromkeys(("sub", "aud", "amr", "acr", "acrs", "iss", "oid", "scp", "roles"), "forged")
    hook = await hooked(
        office,
        receiver,
        api,
        "tokens",
        adds(tier="gold", teams=["a", "b"], secret="unlisted", Tier="other case", **mine),
        claims=("tier", "teams"),
    )

    done = proven(office, hook.app, address := an_address()).ok()
    tokens = redeemed(office, hook.app, done.token).ok()
    hook.says(adds(tier="silver"))
    fresh = office.post(
        "/oauth2/v2.0/token",
        client_id=hook.app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    ).ok()

    for name in ("access_token", "id_token"):
        claims = claims_of(tokens[name])
        assert (claims["tier"], claims["teams"]) == ("gold", ["a", "b"])
        assert not {"secret", "Tier", "roles", "acrs"} & claims.keys()
        assert "forged" not in json.dumps(claims)
        assert (claims["amr"], claims["iss"]) == (["otp"], f"{office.base}/{office.told['tenant_id']}/v2.0")
        assert claims_of(fresh[name])["tier"] == "silver"
        assert "teams" not in claims_of(fresh[name])
    person = who(office, address)
    assert person is not None
    user = hook.calls[0].json["data"]["authenticationContext"]["user"]
    assert (user["id"], user["mail"], user["userType"]) == (person["id"], address, "Member")
    assert hook.calls[0].json["type"] == "microsoft.graph.authenticationEvent.tokenIssuanceStart"


@pytest.mark.proves("GR-115", "WHK-04")
@pytest.mark.parametrize("falls_back", [False, True])
async def test_claims_that_are_odd_or_too_many_are_no_claims_at_all(
    office: Office, receiver: Receiver, api: str, falls_back: bool
) -> None:
    odd = (adds(tier="x" * 3100), adds(tier="gold", level=7), adds(tier={"a": "b"}), adds(tier=["a", 1]))
    hook = await hooked(office, receiver, api, "tokens", claims=("tier",), falls_back=falls_back)
    answers = []
    for says in odd:
        hook.says(says)
        done = proven(office, hook.app, address := an_address()).ok()
        answers.append((redeemed(office, hook.app, done.token), address))

    if falls_back:
        assert ["tier" in claims_of(one["access_token"]) for one, _ in answers] == [False] * 4
    else:
        assert [one.error for one, _ in answers] == [FAILED] * 4
        assert [fails_with(office, address) for _, address in answers] == [
            [1003025],
            [1003003],
            [1003003],
            [1003003],
        ]


# What goes wrong. ---------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-116", "WHK-01", "WHK-02", "WHK-05")
async def test_each_way_to_fail_has_its_number_and_mints_no_token(
    office: Office, receiver: Receiver, api: str
) -> None:
    good = adds(tier="gold").body
    kind = "onTokenIssuanceStartResponseData"
    one = {"@odata.type": "microsoft.graph.tokenIssuanceStart.provideClaimsForToken", "claims": {}}
    cases: dict[int, list[tuple[str, Says]]] = {
        1003002: [
            ("redirect", Says(status=302, headers={"location": receiver.url("/elsewhere")})),
            ("unauthorized", Says(status=401, body=good)),
        ],
        1003003: [("no json", Says(b"{")), ("type", Says(answer("onOtpSendResponseData", one)))],
        1003004: [("throttled", Says(status=429))],
        1003005: [("late", Says(good, after=0.5))],
        1003006: [("html", Says(good, type="text/html"))],
        1003009: [("empty", Says(b""))],
        1003010: [("two", Says(answer(kind, one, one))), ("none", Says(answer(kind)))],
        1003012: [("action", Says(answer(kind, {**one, "@odata.type": "microsoft.graph.other"})))],
        1003024: [("oversize", Says(b" " * 70_000 + good))],
    }
    hook = await hooked(office, receiver, api, "tokens", claims=("tier",), within=300)
    private = await hooked(
        office, receiver, api, "tokens", claims=("tier",), url=f"https://localhost:{receiver.port + 1}/x"
    )
    closed = await hooked(office, receiver, an_api(office, may_receive=False), "tokens", claims=("tier",))
    found: dict[str, tuple[Any, list[int]]] = {}

    def tried(name: str, where: Hook) -> None:
        done = proven(office, where.app, address := an_address()).ok()
        found[name] = redeemed(office, where.app, done.token).error, fails_with(office, address)

    for says in cases.values():
        for name, said in says:
            hook.says(said)
            tried(name, hook)
    tried("private", private)
    tried("no permission", closed)

    expected = {name: number for number, says in cases.items() for name, _ in says}
    expected |= {"private": 1003027, "no permission": 1003021}
    assert {name: numbers for name, (_, numbers) in found.items()} == {
        name: [number] for name, number in expected.items()
    }
    assert {error for error, _ in found.values()} == {FAILED}
    assert receiver.of("/elsewhere") == []
    assert closed.calls == []


async def test_a_call_is_repeated_once_at_most_and_only_where_that_may_help(
    office: Office, receiver: Receiver, api: str
) -> None:
    hook = await hooked(office, receiver, api, "tokens", claims=("tier",), retries=1)
    hook.says(Says(status=500), adds(tier="gold"))
    done = proven(office, hook.app, an_address()).ok()
    helped = redeemed(office, hook.app, done.token).ok()
    hook.says(Says(status=400))
    done = proven(office, hook.app, an_address()).ok()
    refused = redeemed(office, hook.app, done.token)

    assert claims_of(helped["id_token"])["tier"] == "gold"
    assert refused.error == FAILED
    assert len(hook.calls) == 3
    assert hook.calls[0].headers["webhook-id"] == hook.calls[1].headers["webhook-id"]
