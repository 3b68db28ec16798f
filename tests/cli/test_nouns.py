"""`genkan tenant`, `app`, `group`, `keys`, `logs` and `completion` at a real database."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import click
import pytest

from genkan.cli import main
from genkan.service import demo
from tests.cli.conftest import Command

# Tenants. ------------------------------------------------------------------------------------------------------------


def test_a_tenant_is_listed_shown_and_its_settings_changed(genkan: Command) -> None:
    assert genkan("tenant", "list", "--json").lines() == [
        {"id": demo.TENANT_ID, "name": "dev", "aliases": ["dev.onmicrosoft.com"]}
    ]

    said = genkan("tenant", "update", "--set", "enumeration=uniform", "--set", "code_lifetime=3m").ok().out

    assert said == "enumeration = uniform\ncode_lifetime = 3m\n"
    (shown,) = genkan("tenant", "show", "--json").lines()
    assert shown["settings"]["enumeration"] == "uniform"
    assert "code_lifetime                   3m" in genkan("tenant", "show").ok().out


def test_who_is_there_for_when_all_else_fails_is_named_by_id(genkan: Command) -> None:
    ids = []
    for name in ("ada", "grace"):
        genkan("user", "create", f"{name}@example.com").ok()
        ids.append(genkan("user", "show", f"{name}@example.com", "--json").lines()[0]["id"])

    said = genkan("tenant", "update", "--set", f"break_glass={', '.join(ids)}").ok().out

    assert said == f"break_glass = {ids[0]}, {ids[1]}\n"
    assert genkan("tenant", "show", "--json").lines()[0]["settings"]["break_glass"] == ids
    assert genkan("tenant", "update", "--set", "break_glass=").ok().out == "break_glass = empty\n"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("code_lifetime=30m", "code_lifetime is from 1m to 10m."),
        ("code_length=4", "code_length is from 6 to 12."),
        ("access_token_lifetime=2h", "access_token_lifetime is from 5m to 1h."),
        ("tries_per_step=50", "tries_per_step is from 1 to 5."),
        ("password_min_length=4", "password_min_length is from 8 to 64."),
        ("code_length=many", "code_length is from 6 to 12."),
        ("enumeration=maybe", "enumeration is one of compat, uniform."),
        ("usernames=perhaps", "usernames is true or false."),
        ("foreign_hashes=x", "foreign_hashes can only be emptied."),
        ("rsa_bits=1024", "rsa_bits is one of 2048, 3072."),
        ("break_glass=nobody,nobody", "Nobody has the id nobody."),
        ("name=other", "There is no setting name;"),
    ],
)
def test_a_setting_that_would_switch_protection_off_is_refused(
    genkan: Command, setting: str, says: str
) -> None:
    assert says in genkan("tenant", "update", "--set", setting).no()


def test_a_tenant_begins_with_nobody_and_no_secret_and_ends_with_everything(
    genkan: Command, folder: Path
) -> None:
    (made,) = genkan("tenant", "create", "shop", "--alias", "shop.example.com", "--json").lines()

    listed = {one["name"]: one for one in genkan("tenant", "list", "--json").lines()}
    assert listed["shop"] == made
    assert genkan("app", "list", "--tenant", "shop", "--json").lines() == []
    assert genkan("user", "list", "--tenant", "shop", "--json").lines() == []
    (added,) = genkan("logs", "audits", "--tenant", "shop", "--json").lines()
    assert added["action"] == "Add organization"
    genkan("app", "create", "Desk", "--tenant", "shop.example.com").ok()
    genkan("user", "create", "ada@example.com", "--tenant", "shop").ok()
    assert "There is a tenant called shop already" in genkan("tenant", "create", "shop").no()
    assert (
        "There is a tenant called dev.onmicrosoft.com"
        in genkan("tenant", "create", "other", "--alias", "dev.onmicrosoft.com").no()
    )

    said = genkan("tenant", "delete", "shop", "--dry-run").ok().out
    assert said == "Would delete the tenant shop with its 1 people. Nothing was changed.\n"
    assert "Say so beforehand with --yes" in genkan("tenant", "delete", "shop").no()
    assert (folder / "shop.db").exists()
    genkan("tenant", "delete", "shop", "--yes").ok()
    assert not list(folder.glob("shop*"))
    assert [one["name"] for one in genkan("tenant", "list", "--json").lines()] == ["dev"]
    assert "There is no tenant shop" in genkan("tenant", "delete", "shop", "--yes").no()


@pytest.mark.parametrize("name", ["admin", "Shop", "a/b", "..", "", "v1.0", "x" * 64])
def test_a_tenant_is_not_called_what_a_path_is_for(genkan: Command, name: str) -> None:
    assert "No tenant can be called" in genkan("tenant", "create", name).no()


def test_a_new_folder_gets_its_first_tenant_without_any_account(genkan: Command, tmp_path: Path) -> None:
    fresh = str(tmp_path / "fresh")
    genkan("tenant", "create", "shop", "--data", fresh).ok()
    (shown,) = genkan("tenant", "show", "--data", fresh, "--json").lines()
    assert shown["name"] == "shop"
    assert genkan("app", "list", "--data", fresh, "--json").lines() == []


# Applications. -------------------------------------------------------------------------------------------------------


def test_an_application_is_created_shown_changed_and_deleted(genkan: Command) -> None:
    genkan("app", "create", "Orders", "--api", "api://orders", "--offers", "Orders.Read").ok()
    genkan("app", "create", "Shop", "--public", "--native", "--origin", "https://shop.example.com").ok()
    genkan("app", "update", "Shop", "--asks", "api://orders/Orders.Read", "--notes", "Ours").ok()

    (shown,) = genkan("app", "show", "Shop", "--json").lines()
    assert shown["isFallbackPublicClient"] is True
    assert shown["nativeAuthenticationApisEnabled"] == "all"
    assert shown["origins"] == ["https://shop.example.com"]
    assert shown["asks"] == ["api://orders/Orders.Read"]
    assert "api://orders" in genkan("app", "list").ok().out
    assert "No API offers api://x/y" in genkan("app", "update", "Shop", "--asks", "api://x/y").no()

    assert "Nothing was changed" in genkan("app", "delete", "Shop", "--dry-run").ok().out
    genkan("app", "delete", shown["appId"], "--yes").ok()
    assert "There is no application Shop" in genkan("app", "show", "Shop").no()


@pytest.mark.proves("MSG-06")
def test_an_application_opens_and_closes_regions_for_its_text_messages(genkan: Command) -> None:
    genkan(
        "app", "create", "Shop", "--public", "--native", "--open-region", "+84", "--close-region", "44"
    ).ok()
    (shown,) = genkan("app", "show", "Shop", "--json").lines()
    assert shown["smsOptions"] == {"includeAdditionalRegions": [84], "excludeRegions": [44]}

    genkan("app", "update", "Shop", "--close-region", "none").ok()
    (shown,) = genkan("app", "show", "Shop", "--json").lines()
    assert shown["smsOptions"] == {"includeAdditionalRegions": [84], "excludeRegions": []}
    for wrong in ("999", "Vietnam", "0"):
        assert "A region is a calling code" in genkan("app", "update", "Shop", "--open-region", wrong).no()
    assert "not both" in genkan("app", "update", "Shop", "--close-region", "84").no()


def test_a_secret_is_shown_once_and_taken_away_by_its_id(genkan: Command, folder: Path) -> None:
    genkan("app", "create", "Desk").ok()
    (made,) = genkan("app", "add-secret", "Desk", "--name", "first", "--days", "30", "--json").lines()

    assert len(made["secretText"]) == 43
    everything = genkan("app", "show", "Desk").ok().out + genkan("logs", "audits", "--json").ok().out
    assert made["secretText"] not in everything
    assert made["secretText"].encode() not in (folder / "dev.db").read_bytes()
    genkan("app", "remove-secret", "Desk", made["keyId"], "--yes").ok()
    assert genkan("app", "show", "Desk", "--json").lines()[0]["passwordCredentials"] == []


def test_a_permission_is_granted_and_withdrawn(genkan: Command) -> None:
    genkan("app", "create", "Desk").ok()

    assert "There is no permission Everything" in genkan("app", "grant", "Desk", "Everything").no()
    genkan("app", "grant", "Desk", "User.Read.All").ok()
    assert genkan("app", "show", "Desk", "--json").lines()[0]["permissions"] == ["User.Read.All"]
    genkan("app", "withdraw", "Desk", "User.Read.All").ok()
    assert genkan("app", "show", "Desk", "--json").lines()[0]["permissions"] == []


def test_an_application_can_be_held_to_networks(genkan: Command) -> None:
    genkan("app", "create", "Desk", "--network", "203.0.113.0/24", "--network", "2001:db8::/48").ok()
    assert "203.0.113.0/24" in genkan("app", "show", "Desk").ok().out
    assert "A network is written as" in genkan("app", "update", "Desk", "--network", "203.0.113.7/24").no()
    genkan("app", "update", "Desk", "--network", "none").ok()
    assert "203.0.113.0/24" not in genkan("app", "show", "Desk").ok().out


# Groups. -------------------------------------------------------------------------------------------------------------


def test_a_group_is_created_filled_shown_changed_and_deleted(genkan: Command) -> None:
    genkan("user", "create", "ada@example.com", "--name", "Ada").ok()
    genkan("group", "create", "Staff", "--description", "Our own").ok()
    genkan("group", "create", "Everybody").ok()
    genkan("group", "add-member", "Staff", "ada@example.com").ok()
    genkan("group", "add-member", "Everybody", "Staff").ok()

    assert "inside itself" in genkan("group", "add-member", "Staff", "Everybody").no()
    assert "Ada" in genkan("group", "show", "Staff").ok().out
    assert "Staff (group)" in genkan("group", "show", "Everybody").ok().out
    assert "Staff" in genkan("user", "show", "ada@example.com").ok().out
    genkan("group", "update", "Staff", "--name", "Team").ok()
    genkan("group", "remove-member", "Team", "ada@example.com").ok()
    assert "Nobody is in it" in genkan("group", "show", "Team").ok().out
    genkan("group", "delete", "Team", "--yes").ok()
    assert [g["displayName"] for g in genkan("group", "list", "--json").lines()] == ["Everybody"]
    assert "There is no group Team" in genkan("group", "show", "Team").no()


# Policies. -----------------------------------------------------------------------------------------------------------


def test_a_policy_is_stored_shown_switched_and_deleted(genkan: Command, tmp_path: Path) -> None:
    file = tmp_path / "everybody.json"
    file.write_text(
        json.dumps(
            {
                "displayName": "MFA for everybody",
                "state": "enabledForReportingButNotEnforced",
                "conditions": {
                    "users": {"includeUsers": ["All"]},
                    "applications": {"includeApplications": ["All"]},
                },
                "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
            }
        )
    )
    genkan("policy", "create", file).ok()
    assert "report" in genkan("policy", "list").ok().out
    genkan("user", "create", "ada@example.com").ok()
    person = genkan("user", "show", "ada@example.com", "--json").lines()[0]["id"]
    genkan("tenant", "update", "--set", f"break_glass={person}").ok()

    assert "--yes" in genkan("policy", "update", "MFA for everybody", "--state", "on").no()
    switched = genkan("policy", "update", "MFA for everybody", "--state", "on", "--yes").ok().out
    assert f"Note: The account {person} is there for when all else fails" in switched
    genkan("policy", "update", "MFA for everybody", "--name", "Everybody").ok()
    shown = json.loads(genkan("policy", "show", "Everybody").ok().out)
    assert (shown["state"], shown["displayName"]) == ("enabled", "Everybody")

    assert "Nothing was changed" in genkan("policy", "delete", "Everybody", "--dry-run").ok().out
    genkan("policy", "delete", shown["id"], "--yes").ok()
    assert "There is no policy Everybody" in genkan("policy", "show", "Everybody").no()


def test_a_policy_that_breaks_a_rule_is_refused_by_its_number(genkan: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"displayName": "x", "state": "maybe"}')
    (tmp_path / "no.json").write_text("{")

    assert genkan("policy", "create", tmp_path / "bad.json").no()[0].isdigit()
    assert "is not JSON" in genkan("policy", "create", tmp_path / "no.json").no()


# Keys. ---------------------------------------------------------------------------------------------------------------


def states(genkan: Command) -> dict[str, str]:
    return {
        key["kid"]: f"{key['algorithm']} {key['state']}" for key in genkan("keys", "list", "--json").lines()
    }


def test_new_keys_sign_after_everybody_has_seen_them(genkan: Command) -> None:
    before = states(genkan)
    assert sorted(before.values()) == ["ES256 signs", "RS256 signs"]

    made = genkan("keys", "rotate", "--yes", "--json").lines()

    after = states(genkan)
    assert {kid: after[kid] for kid in before} == before
    assert sorted(after[key["kid"]] for key in made) == ["ES256 next", "RS256 next"]
    assert "There is a new RS256 key already" in genkan("keys", "rotate", "--yes").no()


def test_keys_that_others_may_have_are_believed_no_more_at_once(genkan: Command) -> None:
    genkan("keys", "rotate", "--algorithm", "ES256", "--yes").ok()
    old = {kid for kid, state in states(genkan).items() if state.startswith("ES256")}

    assert "--yes" in genkan("keys", "rotate", "--compromised").no()
    (made,) = genkan("keys", "rotate", "--compromised", "--algorithm", "ES256", "--yes", "--json").lines()

    after = states(genkan)
    assert after[made["kid"]] == "ES256 signs"
    assert {after[kid] for kid in old} == {"ES256 retired"}
    assert "RS256 signs" in after.values()
    assert "Rotate signing keys" in genkan("logs", "audits").ok().out


# Logs. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("LOG-05")
def test_the_log_says_who_did_what_and_whether_it_is_whole(genkan: Command, folder: Path) -> None:
    genkan("group", "create", "Staff").ok()
    genkan("group", "create", "Staff" * 100).no()

    done, refused = genkan("logs", "audits", "--json").lines()[::-1][:2]
    assert done["action"] == "Add group"
    assert done["detail"]["actor"]["kind"] == "operator"
    assert refused["reason"] == "invalid"
    assert "refused: A group has a displayName" in genkan("logs", "audits").ok().out

    (whole,) = genkan("logs", "verify", "--json").lines()
    assert whole["whole"] is True
    assert "Whole" in genkan("logs", "verify", "--head", whole["head"]).ok().out
    assert "head that was noted" in genkan("logs", "verify", "--head", f"1:{'00' * 32}").no()
    mistyped = genkan("logs", "verify", "--head", "00" * 32)
    assert (mistyped.code, "as verify prints it" in mistyped.err) == (2, True)

    with closing(sqlite3.connect(folder / "dev.db", isolation_level=None)) as database:
        database.execute("UPDATE audit SET action = 'Nothing' WHERE seq = (SELECT max(seq) FROM audit)")
    assert "not as it was written" in genkan("logs", "verify").no()


def test_a_log_is_exported_line_by_line(genkan: Command, tmp_path: Path) -> None:
    genkan("group", "create", "Staff").ok()

    said = genkan("logs", "export", "trail", "--output", tmp_path / "trail.jsonl").ok().out

    rows = [json.loads(line) for line in (tmp_path / "trail.jsonl").read_text().splitlines()]
    assert said == f"{len(rows):,} rows are in {tmp_path / 'trail.jsonl'}.\n"
    assert rows[-1]["action"] == "Add group"
    assert genkan("logs", "export", "audits").lines() == [rows[-1]]
    assert genkan("logs", "export", "sign-ins").ok().out == ""
    assert "is no time" in genkan("logs", "sign-ins", "--since", "yesterday").no()


# Help and completion. ------------------------------------------------------------------------------------------------


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        inner = commands(command, *path, name) if isinstance(command, click.Group) else []
        found += [(*path, name), *inner]
    return found


@pytest.mark.parametrize("command", commands(main), ids=" ".join)
def test_every_command_says_what_it_does(genkan: Command, command: tuple[str, ...]) -> None:
    said = genkan(*command, "--help").ok().out

    assert said.startswith("Usage:")
    assert len(said.splitlines()) > 4


def test_shells_complete_commands(genkan: Command) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_GENKAN_COMPLETE" in genkan("completion", shell).ok().out
    script = genkan("completion", "bash").ok().out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
