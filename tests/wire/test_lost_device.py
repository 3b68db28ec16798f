"""The page for lost devices, without a script: what it does, whom it believes, and what it tells whom."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.wire import lost_device
from tests.server import new_address, newest
from tests.wire.authenticator import Key
from tests.wire.borrowed import PAGE, Borrowed, Document
from tests.wire.claimants import Claimant
from tests.wire.journeys import PASSWORD, first_factor_by_password, ids
from tests.wire.servers import World
from tests.wire.test_emergency import an_owner, with_paper
from tests.wire.test_owner import CODES, FREEZE, ask, token

HELD = "Your account is on a security hold"
START = "Your device is lost, or somebody else can use your account"
WEEK = 7 * 24 * 3600


def by_code(world: World, owner: Claimant, browser: Borrowed | None = None) -> Borrowed:
    """The account held, by a code to its mailbox."""
    browser = browser or Borrowed(world)
    seen = ids(world, owner.address)
    browser.began(owner.address, "email")
    browser.press("contain", proof=newest(world, owner.address, "emergency", seen))
    return browser


def link_of(world: World, address: str) -> str:
    """The link of a report's notice, below the page."""
    world.arrived(address, "notice", 1)
    text = next(m["text"] for m in world.messages(address) if "/lost-device?link=" in m["text"])
    found = re.search(r"/lost-device(\?link=\S+)", text)
    assert found is not None
    return found[1]


def state(owner: Claimant) -> str:
    return owner.emergency.state


def title(page: Document) -> str:
    return page.title.strip()


# What it is made of. --------------------------------------------------------------------------------


@pytest.mark.proves("BRW-04")
def test_its_headers_let_nothing_foreign_in_and_nothing_out(world: World) -> None:
    browser = Borrowed(world)
    for query in ("", "?card", "?link=abc"):
        browser.get(query)
        headers = browser.answer.headers  # type: ignore[union-attr]
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        )
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "strict-transport-security" not in headers, "on localhost"


@pytest.mark.proves("BRW-04", "BRW-06")
def test_it_has_nothing_inline_and_nothing_of_a_third_party(world: World) -> None:
    browser = Borrowed(world)
    owner = an_owner(world)
    by_code(world, owner, browser)
    pages = [browser.page, browser.get("?card"), Borrowed(world).get()]
    for page in pages:
        assert not [tag for tag, _ in page.tags if tag in ("style", "iframe", "img", "object")]
        assert not [n for _, has in page.tags for n in has if n == "style" or n.startswith("on")]
        fetched = [has.get("src") or has.get("href", "") for t, has in page.tags if t in ("script", "link")]
        assert fetched == [f"{PAGE}/style.css", f"{PAGE}/passkey.js"]
        assert {has["action"] for tag, has in page.tags if tag == "form"} <= {PAGE}
    for name, kind in (("style.css", "text/css"), ("passkey.js", "text/javascript")):
        answer = world.http.get(f"{world.base}{PAGE}/{name}")
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert not re.search(r"https?:|url\(|@import|eval\(|innerHTML", answer.text)


def test_over_https_the_browser_is_told_to_stay_there(world: World) -> None:
    edge = world._development._tenant.edge
    assert edge.lost_device is not None
    far = lost_device.Endpoint(
        door=edge.lost_device.door,
        directory=edge.lost_device.directory,
        clock=edge.clock,
        base_url="https://login.example.com",
    )
    here, edge.lost_device = edge.lost_device, far
    try:
        browser = Borrowed(world)
        browser.get()
        assert browser.answer is not None
        assert browser.answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    finally:
        edge.lost_device = here


def test_its_cookies_are_bound_to_the_host_and_last_as_long_as_the_browser(world: World) -> None:
    browser = Borrowed(world)
    browser.began(new_address(), "password")
    assert browser.answer is not None
    lines = browser.answer.headers.get_list("set-cookie")

    assert len(browser.cookies) == 2
    for name in browser.cookies:
        assert name.startswith("__Host-")
    for line in lines:
        assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")


# Its languages. -------------------------------------------------------------------------------------


def said(language: str) -> dict[str, str]:
    text = files("genkan.wire.lost_device").joinpath(f"languages/{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("language", lost_device.LANGUAGES)
def test_a_language_says_all_that_english_says(language: str) -> None:
    english, other = said("en"), said(language)

    assert other.keys() == english.keys()
    assert all(text and text == text.strip() for text in other.values())
    for key, text in english.items():
        assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", other[key])
        assert language == "en" or len(text) < 25 or other[key] != text
    assert not re.search(r"thie[fv]|theft|attack|!", " ".join(english.values()))


@pytest.mark.parametrize("flaw", sorted(set(lost_device.FLAWS.values())))
def test_every_refusal_has_words(flaw: str) -> None:
    assert f"flaw_{flaw}" in said("en")


@pytest.mark.parametrize(
    ("query", "accepted", "spoken"),
    [
        ("", "de-CH,de;q=0.9,en;q=0.8", "de"),
        ("", "en;q=0.2, fr;q=0.7", "fr"),
        ("", "tlh", "en"),
        ("", "", "en"),
        ("", "de;q=x,es", "es"),
        ("?ui_locales=es", "de", "es"),
        ("?ui_locales=tlh%20fr-CA%20en", "de", "fr"),
        ("?ui_locales=../../x", "de", "de"),
    ],
)
def test_it_speaks_the_language_asked_for_else_the_browsers_else_the_tenants(
    world: World, query: str, accepted: str, spoken: str
) -> None:
    browser = Borrowed(world, accepted)
    page = browser.get(query)

    assert dict(page.tags)["html"]["lang"] == spoken
    assert said(spoken)["start_lead"] in page.text
    further = browser.press("start", username="no name at all@", means="email")
    assert dict(further.tags)["html"]["lang"] == spoken, "and goes on in it"


# Holding the account. -------------------------------------------------------------------------------


def test_a_code_by_mail_holds_the_account_and_the_card_is_shown_once(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)

    assert title(browser.page) == HELD
    assert re.fullmatch(r"(?:[A-Z2-7]{4} ){12}[A-Z2-7]{4}", browser.card)
    assert state(owner) == "contained"
    assert not re.search(r"20\d\d-|20\d\d\b|\d\d:\d\d|UTC", browser.page.text), "no time, on the spot"
    browser.get()
    assert title(browser.page) == "How your account stands"
    assert browser.card == ""
    refused = first_factor_by_password(world, owner.address, "openid")
    assert refused.body.get("challenge_type") == "redirect" or refused.error is not None


def test_of_a_card_only_a_hash_is_kept(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)
    kept = next(value for name, value in browser.cookies.items() if "case" in name)

    case = owner.emergency.case
    assert case is not None
    key = case.claims[0].key
    assert key.startswith("card.")
    assert kept.partition(".")[0] not in key
    assert browser.card.replace(" ", "") not in key


@pytest.mark.parametrize("means", ["password", "freeze_code", "recovery_code"])
def test_one_proof_of_any_kind_is_enough(world: World, means: str) -> None:
    owner = an_owner(world)
    bearer = token(world, owner.address)
    given = {
        "password": lambda: PASSWORD,
        "freeze_code": lambda: ask(world, "POST", FREEZE, bearer, {}).ok()["code"],
        "recovery_code": lambda: ask(world, "POST", CODES, bearer, {}).ok()["codes"][0],
    }[means]()
    world.advance(WEEK + 3600)
    browser = Borrowed(world)
    page = browser.began(owner.address, means)
    assert [f["means"] for f in page.forms] == [means], "and nothing else is asked for"

    browser.press("contain", proof=given)

    assert title(browser.page) == HELD
    assert state(owner) == ("frozen" if means == "recovery_code" else "contained")


def test_a_wrong_answer_holds_nothing_and_can_be_given_again(world: World) -> None:
    owner = an_owner(world)
    browser = Borrowed(world)
    browser.began(owner.address, "password")
    page = browser.press("contain", proof="not " + PASSWORD)

    assert browser.status == 400
    assert title(page) == "Please check: Show one thing"
    field = next(has for tag, has in page.tags if tag == "input" and has.get("name") == "proof")
    assert (field["aria-invalid"], field["value"]) == ("true", "")
    assert field["aria-describedby"].split() == ["proof-flaw"]
    assert ("p", {"class": "flaw", "id": "proof-flaw"}) in page.tags
    assert state(owner) == "normal"
    assert title(browser.press("contain", proof=PASSWORD)) == HELD


def test_wrong_answers_come_to_an_end(world: World) -> None:
    owner = an_owner(world)
    browser = Borrowed(world)
    browser.began(owner.address, "password")
    for _ in range(3):
        browser.press("contain", proof="wrong")
    page = browser.press("contain", proof=PASSWORD)

    assert "There were too many attempts." in page.text
    assert state(owner) == "normal"


@pytest.mark.parametrize("means", ["email", "password", "recovery_code"])
def test_nobody_learns_whether_there_is_an_account(world: World, means: str) -> None:
    def seen(address: str) -> list[tuple[int, str]]:
        browser = Borrowed(world)
        told = []
        browser.began(address, means)
        told.append((browser.status, browser.html))
        browser.press("contain", proof="00000000")
        told.append((browser.status, browser.html))
        browser.get()
        browser.press("report", name=address)
        told.append((browser.status, browser.html))
        browser.get("?card")
        browser.press("card", username=address, card="ABCD " * 13)
        told.append((browser.status, browser.html))
        return [(s, re.sub(r'value="[^"]*"', "", text)) for s, text in told]

    owner = an_owner(world)
    known, unknown = seen(owner.address), seen(new_address())

    assert known == unknown
    assert state(owner) == "normal"


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "{{7*191}}@x", "a@b\u202e@", "a" * 3000])
def test_what_is_typed_is_never_markup(world: World, name: str) -> None:
    browser = Borrowed(world)
    browser.get()
    browser.press("start", username=name, means="none of them")
    everything = browser.html
    browser.get(f"?link={name}&ui_locales={name}")
    everything += browser.html

    assert "<script>alert" not in everything
    assert "1337" not in everything


def test_a_claim_of_one_browser_is_not_anothers(world: World) -> None:
    owner = an_owner(world)
    first, second = Borrowed(world), Borrowed(world)
    first.began(owner.address, "password")
    form = first.page.form("contain")
    second.began(owner.address, "password")
    page = second.press("contain", token=form["token"], proof=PASSWORD)

    assert "That took too long." in page.text
    assert state(owner) == "normal"


# Forms of other sites. ------------------------------------------------------------------------------


@pytest.mark.proves("BRW-03")
@pytest.mark.parametrize(
    "how", ["no cookie", "another's form", "no form", "another site", "a sibling", "json"]
)
def test_a_form_that_was_not_written_for_this_browser_does_nothing(world: World, how: str) -> None:
    owner = an_owner(world)
    browser, other = Borrowed(world), Borrowed(world)
    browser.began(owner.address, "password")
    other.get()
    fields = {**browser.page.form("contain"), "proof": PASSWORD}
    headers: dict[str, str] = {}
    if how == "no cookie":
        browser.cookies.clear()
    elif how == "another's form":
        fields["form"] = other.page.form("start")["form"]
    elif how == "no form":
        del fields["form"]
    elif how == "another site":
        headers["sec-fetch-site"] = "cross-site"
    elif how == "a sibling":
        headers["sec-fetch-site"] = "same-site"
    else:
        headers["content-type"] = "text/plain"
    page = browser.post(fields, headers=headers)

    assert browser.status == 403
    assert "Please begin again." in page.text
    assert state(owner) == "normal"


def test_a_visit_from_another_site_costs_nobody_their_case(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)
    before = {n: v for n, v in browser.cookies.items() if "case" in n}

    browser.get("?link=abc", cross_site=True)

    assert {n: v for n, v in browser.cookies.items() if "case" in n} == before


@pytest.mark.parametrize("act", ["", "drop", "contain"])
def test_an_odd_request_is_answered_with_the_beginning(world: World, act: str) -> None:
    browser = Borrowed(world)
    browser.get()
    page = browser.post({"form": browser.page.form("start")["form"], "act": act})

    assert browser.status == 400
    assert START in page.title


# The link of a notice. ------------------------------------------------------------------------------


@pytest.mark.proves("ENR-04")
def test_the_link_of_a_notice_opens_a_page_whose_button_holds_the_account(world: World) -> None:
    owner = an_owner(world)
    reporter = Borrowed(world)
    reporter.get()
    assert "If there is such an account" in reporter.press("report", name=owner.address).text
    link = link_of(world, owner.address)

    reader = Borrowed(world)
    for _ in range(3):
        page = reader.get(link)
        assert title(page) == "Put your account on a security hold?"
    assert state(owner) == "normal", "a look changes nothing"
    page = reader.press("follow")
    assert title(page) == HELD
    assert reader.card
    assert state(owner) == "contained"

    again = Borrowed(world)
    again.get(link)
    page = again.press("follow")
    assert "This link no longer works, or was used before." in page.text
    assert again.card == ""


@pytest.mark.proves("ENR-04")
def test_every_notice_of_a_change_leads_to_this_page(world: World) -> None:
    owner = an_owner(world)
    ask(world, "POST", FREEZE, token(world, owner.address), {}).ok()
    world.arrived(owner.address, "notice", 1)

    text = next(m["text"] for m in world.messages(owner.address) if m["purpose"] == "notice")
    assert f"{world.base}{PAGE}" in text
    assert "Was it not you?" in text
    assert title(Borrowed(world).get()) == START


# Going on. ------------------------------------------------------------------------------------------


def test_with_the_card_one_goes_on_at_another_computer(world: World) -> None:
    owner = an_owner(world)
    card = by_code(world, owner).card

    elsewhere = Borrowed(world)
    elsewhere.get("?card")
    page = elsewhere.press("card", username=owner.address, card=f" {card.lower().replace(' ', '-')} ")
    assert title(page) == "How your account stands"
    page = elsewhere.press("extend")
    assert "The hold lasts longer now." in page.text


@pytest.mark.parametrize("wrong", ["A" * 52, "", "ABCD", "€" * 52, "A" * 5000])
def test_another_card_opens_nothing(world: World, wrong: str) -> None:
    owner = an_owner(world)
    by_code(world, owner)

    elsewhere = Borrowed(world)
    elsewhere.get("?card")
    page = elsewhere.press("card", username=owner.address, card=wrong)

    assert "There is no open case for this name and card." in page.text
    assert [name for name in elsewhere.cookies if "case" in name] == []


def test_a_card_of_one_account_opens_no_other(world: World) -> None:
    first, second = an_owner(world), an_owner(world)
    card = by_code(world, first).card
    by_code(world, second)

    elsewhere = Borrowed(world)
    elsewhere.get("?card")
    assert "There is no open case" in elsewhere.press("card", username=second.address, card=card).text


def test_what_looks_alike_on_paper_is_read_as_what_it_can_be() -> None:
    secret = bytes(range(32))
    written = " ".join(lost_device._written(secret))

    assert lost_device._read_card(written) == secret
    assert lost_device._read_card(written.replace("O", "0").replace("I", "1").replace("B", "8")) == secret


def test_more_evidence_makes_the_hold_firmer(world: World) -> None:
    owner = an_owner(world)
    codes = ask(world, "POST", CODES, token(world, owner.address), {}).ok()["codes"]
    world.advance(WEEK + 3600)
    browser = by_code(world, owner)
    assert "holds the account for some days" in browser.page.text

    browser.press("begin", means="recovery_code")
    page = browser.press("add", proof=codes[0])

    assert "What you showed counts." in page.text
    assert "holds the account firmly" in page.text
    assert state(owner) == "frozen"


def test_a_hold_is_not_ended_by_what_began_it(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)
    page = browser.press("lift")

    assert "What you have shown is not enough for this." in page.text
    assert state(owner) == "contained"


def test_an_objection_with_nothing_to_object_to_says_no_more_than_a_wrong_one(world: World) -> None:
    owner = an_owner(world)
    told = []
    for proof in (PASSWORD, "wrong"):
        browser = Borrowed(world)
        browser.began(owner.address, "password", aim="object")
        browser.press("object", proof=proof)
        told.append(re.sub(r'value="[^"]*"', "", browser.html))

    assert told[0] == told[1]
    assert "there is nothing to object to" in told[0]
    assert state(owner) == "normal"


def test_whether_a_recovery_waits_hears_nobody_who_is_wrong(world: World) -> None:
    owner = an_owner(world)
    codes = ask(world, "POST", CODES, token(world, owner.address), {}).ok()["codes"]
    world.advance(WEEK + 3600)
    quiet = an_owner(world)
    owner.contain_by_paper(codes[0]).ok()
    owner.show({"method": "password", "password": PASSWORD}).ok()
    owner.say("recovery/start").ok()
    assert state(owner) == "recovery_pending"

    told = []
    for address in (owner.address, quiet.address, new_address()):
        for aim in ("object", "undo"):
            world.advance(3700)
            browser = Borrowed(world)
            browser.began(address, "password", aim=aim)
            browser.press(aim, proof="wrong")
            told.append(re.sub(r'value="[^"]*"', "", browser.html))
            attempt = Claimant(world, address)
            given = {"method": "password", "password": "wrong"}
            refused = attempt.post(aim, continuation_token=attempt.started(), proof=given)
            assert refused.error == ("invalid_grant", "invalid_oob_value", 50181)

    assert told[0::2] == told[:1] * 3
    assert told[1::2] == told[1:2] * 3


def test_an_older_key_undoes_a_recovery_on_the_page(world: World) -> None:
    key = Key()
    owner, paper = with_paper(world, key)
    other = Claimant(world, owner.address)
    other.contain_by_password().ok()
    other.show(paper).ok()
    other.say("recovery/start").ok()
    world.advance(5 * 24 * 3600)
    other.complete(paper).ok()
    assert state(owner) == "restored"

    browser = Borrowed(world)
    browser.began(owner.address, "passkey", aim="undo")
    asked = next(has["data-passkey"] for _, has in browser.page.tags if "data-passkey" in has)
    page = browser.press("undo", proof=json.dumps(key.signed(json.loads(asked), world.base)))

    assert "The recovery is undone" in page.text
    assert browser.card
    assert state(owner) == "frozen"
    browser.get()
    assert "You have shown the strongest evidence that there is." in browser.page.text


def test_nothing_is_left_behind(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)
    page = browser.press("clear")

    assert title(page) == "Nothing of your case is left on this computer"
    assert browser.cookies == {}
    assert title(browser.get()) == START
    assert state(owner) == "contained"


def test_a_case_that_is_over_says_so(world: World) -> None:
    owner = an_owner(world)
    browser = by_code(world, owner)
    world.advance(30 * 24 * 3600)
    page = browser.get()

    assert title(page) == "This case is over, or not on this computer"
    assert title(browser.press("clear")) == START


# What a tenant says of itself. ----------------------------------------------------------------------


def test_a_brand_names_itself_and_says_where_help_is(world: World) -> None:
    brand: Any = world.directory.tenant.brand
    with world.changed(
        brand=replace(
            brand,
            name="Contoso & Co",
            colour="#0b6e4f",
            contact="help@contoso.example",
            support="https://help.example/near-you",
        )
    ):
        page = Borrowed(world).get()
        style = world.http.get(f"{world.base}{PAGE}/style.css").text

    assert "Contoso & Co" in page.text
    assert "How to reach the people who run the service: help@contoso.example" in page.text
    assert ("a", {"rel": "noreferrer", "href": "https://help.example/near-you"}) in page.tags
    assert "--brand: #0b6e4f;" in style


@pytest.mark.parametrize(
    "given", ["javascript:alert(1)", "http://help.example", 'https://x"><script>', "https://a b"]
)
def test_a_link_that_is_none_is_left_out(world: World, given: str) -> None:
    with world.changed(brand=replace(world.directory.tenant.brand, support=given, colour="red;}")):
        browser = Borrowed(world)
        browser.get()
        style = world.http.get(f"{world.base}{PAGE}/style.css").text

    assert "Local support organisations" not in browser.html
    assert "red;" not in style


# Who can read it. -----------------------------------------------------------------------------------


def test_every_field_has_a_label_and_every_page_one_heading(world: World) -> None:
    owner = an_owner(world)
    browser = Borrowed(world)
    pages = [browser.get(), browser.began("x @", "email"), browser.began(owner.address, "password")]
    pages += [browser.press("contain", proof="wrong"), browser.press("contain", proof=PASSWORD)]
    pages += [browser.get(), browser.press("begin", means="recovery_code"), Borrowed(world).get("?card")]
    for page in pages:
        assert [tag for tag, _ in page.tags].count("h1") == 1
        named = {has["for"] for tag, has in page.tags if tag == "label"}
        fields = [
            has for tag, has in page.tags if tag == "input" and has.get("type") not in ("hidden", "submit")
        ]
        assert {has["id"] for has in fields} == named
        known = [has["id"] for _, has in page.tags if "id" in has]
        assert len(known) == len(set(known))
        described = {d for has in fields for d in has.get("aria-describedby", "").split()}
        assert described <= set(known)
