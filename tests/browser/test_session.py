"""What an app has after sign-in, as MSAL JS keeps and renews it."""

from __future__ import annotations

import re

import pytest

from tests.browser.journeys import PASSWORD, PLAIN_SCOPES, password_user, verified
from tests.browser.sdk import ROOT, App, OpenApp, Result
from tests.server import Server, new_address

pytestmark = pytest.mark.browser

CACHED = {"forceRefresh": False}
FORCED = {"forceRefresh": True}

DIRECTORY = "00000002-0000-0000-c000-000000000000"
"""Whom an access token is for when only OpenID scopes were asked for."""


def signed_in(server: Server, app: App) -> Result:
    address = new_address()
    password_user(server, address)
    result = app.sign_in(username=address, password=PASSWORD)
    assert result.said == {"isCompleted"}
    return result


@pytest.mark.proves("V1-188", "V1-195")
def test_right_after_sign_in_the_access_token_comes_from_the_cache(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account
    tokens = app.calls[-1].answer

    with app.watched() as calls:
        cached = account.do("getAccessToken", CACHED)

    assert cached.said == {"isCompleted"}
    assert cached.value["accessToken"] == tokens["access_token"]
    assert set(cached.value["scopes"]) == set(PLAIN_SCOPES)
    assert not calls


@pytest.mark.proves("V1-190", "V1-191", "V1-196")
def test_a_forced_refresh_makes_exactly_one_request_and_brings_a_new_token(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account
    before = account.do("getAccessToken", CACHED)

    with app.watched() as calls:
        refreshed = account.do("getAccessToken", FORCED)
    with app.watched() as later:
        after = account.do("getAccessToken", CACHED)

    assert refreshed.said == {"isCompleted"}
    assert calls.endpoints == ["/oauth2/v2.0/token"]
    assert calls[0].form["grant_type"] == "refresh_token"
    assert "client-request-id" in calls[0].query
    assert calls[0].answer.keys() >= {"access_token", "id_token", "client_info"}
    assert refreshed.value["accessToken"] != before.value["accessToken"]
    assert refreshed.value["account"]["homeAccountId"] == before.value["account"]["homeAccountId"]
    assert verified(server, refreshed.value["accessToken"], DIRECTORY)["amr"] == ["pwd"]
    assert (after.value["accessToken"], later) == (refreshed.value["accessToken"], [])


def test_each_refresh_brings_the_token_for_the_next(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    with app.watched() as calls:
        refreshed = [account.do("getAccessToken", FORCED) for _ in range(3)]

    assert all(r.said == {"isCompleted"} for r in refreshed)
    assert len({call.form["refresh_token"] for call in calls}) == 3


def test_refreshes_at_the_same_moment_all_succeed_and_leave_the_session_alive(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    together = app.at_once(4, account, "getAccessToken", FORCED)
    later = account.do("getAccessToken", FORCED)

    assert all(r.said == {"isCompleted"} for r in together)
    assert later.said == {"isCompleted"}


def test_an_access_token_that_has_run_out_is_renewed_without_being_forced(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account
    lifetime = app.calls[-1].answer["expires_in"]

    server.advance(lifetime)
    app.advance(lifetime)
    with app.watched() as calls:
        renewed = account.do("getAccessToken", CACHED)

    assert renewed.said == {"isCompleted"}
    assert calls.endpoints == ["/oauth2/v2.0/token"]
    verified(server, renewed.value["accessToken"], DIRECTORY)


@pytest.mark.proves("V1-193")
def test_a_refresh_cannot_bring_what_needs_a_second_factor_and_ends_nothing(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    refused = account.do("getAccessToken", {"forceRefresh": True, "scopes": [server.scope]})
    plain = account.do("getAccessToken", FORCED)

    assert (refused.said, refused.error.code, refused.error.sub_error) == (
        {"isFailed"},
        "invalid_grant",
        "basic_action",
    )
    assert plain.said == {"isCompleted"}


def test_after_a_day_the_session_is_over_for_the_server(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    server.advance(24 * 60 * 60)
    refused = account.do("getAccessToken", FORCED)

    assert (refused.said, refused.error.code, refused.error.sub_error) == (
        {"isFailed"},
        "invalid_grant",
        "bad_token",
    )


def test_after_a_day_the_sdk_knows_that_it_is_over_and_asks_nobody(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    app.advance(24 * 60 * 60)
    with app.watched() as calls:
        refused = account.do("getAccessToken", FORCED)

    assert (refused.said, refused.error.code, calls) == ({"isFailed"}, "refresh_token_expired", [])


@pytest.mark.proves("V1-197")
def test_the_account_is_still_there_after_a_reload_and_its_tokens_with_it(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.password_app)
    before = signed_in(server, app).account.ask("getAccount")

    app.open()
    found = app.current_account()
    with app.watched() as calls:
        cached = found.account.do("getAccessToken", CACHED)
    refreshed = found.account.do("getAccessToken", FORCED)

    assert found.said == {"isCompleted"}
    assert found.account.ask("getAccount")["homeAccountId"] == before["homeAccountId"]
    assert (cached.said, calls) == ({"isCompleted"}, [])
    assert refreshed.said == {"isCompleted"}


EVERYTHING_KEPT = """
async () => {
    const kept = [...[localStorage, sessionStorage].map((one) => JSON.stringify({...one})), document.cookie];
    for (const {name} of await indexedDB.databases()) {
        const database = await new Promise((found) => {
            indexedDB.open(name).onsuccess = (event) => found(event.target.result);
        });
        for (const store of database.objectStoreNames) {
            const all = database.transaction(store).objectStore(store).getAll();
            kept.push(JSON.stringify(await new Promise((found) => { all.onsuccess = () => found(all.result); })));
        }
        database.close();
    }
    return kept.join(" ");
}
"""
"""Whatever a script of this origin finds that outlives the page."""


@pytest.mark.proves("BRW-07")
def test_tokens_that_the_recipe_keeps_in_memory_are_nowhere_else(server: Server, open_app: OpenApp) -> None:
    recipe = (ROOT / "docs/how-to/point-msal-at-genkan.md").read_text(encoding="utf-8")
    (place,) = set(re.findall(r'cacheLocation: "(\w+)"', recipe))

    def kept(app: App) -> tuple[str, list[str]]:
        account = signed_in(server, app).account
        assert account.do("getAccessToken", FORCED).said == {"isCompleted"}
        answer = app.calls[-1].answer
        return app.evaluate(EVERYTHING_KEPT), [answer[f"{one}_token"] for one in ("access", "id", "refresh")]

    app = open_app(server.password_app, cache=place)
    everything, tokens = kept(app)
    assert [token for token in tokens if token.rpartition(".")[2] in everything] == []
    app.open()
    assert app.current_account().said == {"isFailed"}, "with the page they are gone"

    everything, tokens = kept(open_app(server.password_app, cache="sessionStorage"))
    assert all(token.rpartition(".")[2] in everything for token in tokens), "there they would be found"


def test_signing_out_forgets_the_account_and_asks_nobody(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)
    account = signed_in(server, app).account

    with app.watched() as calls:
        signed_out = account.do("signOut")
    found = app.current_account()

    assert (signed_out.said, calls) == ({"isCompleted"}, [])
    assert (found.said, found.error.said) == ({"isFailed"}, {"isCurrentAccountNotFound"})
