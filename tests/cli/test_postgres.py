"""`genkan tenant` where tenants are schemas of a PostgreSQL database."""

from __future__ import annotations

import uuid
from pathlib import Path

import psycopg
import pytest

from genkan.store.postgres import schema_of
from tests import postgres
from tests.cli.conftest import Command


def schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    return {name for (name,) in found if name.startswith("genkan_")}


@pytest.fixture
def url() -> str:
    """A database of its own, since the commands look at every schema of one."""
    name = f"cli_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.cluster().url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.cluster().url(name)


def test_a_tenant_is_deleted_with_all_that_is_its_own_and_no_other(
    genkan: Command, url: str, tmp_path: Path
) -> None:
    place = ("--data", tmp_path / "fresh", "--database", url)
    (shop,) = genkan("tenant", "create", "shop", *place, "--json").lines()
    (desk,) = genkan("tenant", "create", "desk", *place, "--json").lines()
    for tenant in ("shop", "desk"):
        genkan("user", "create", "ada@example.com", "--tenant", tenant, *place).ok()
    assert schemas(url) == {schema_of(shop["id"]), schema_of(desk["id"])}

    said = genkan("tenant", "delete", "shop", *place, "--dry-run").ok().out
    assert said == "Would delete the tenant shop with its 1 people. Nothing was changed.\n"
    assert "Say so beforehand with --yes" in genkan("tenant", "delete", "shop", *place).no()
    assert len(schemas(url)) == 2
    genkan("tenant", "delete", "shop", *place, "--yes").ok()

    assert schemas(url) == {schema_of(desk["id"])}
    assert [one["name"] for one in genkan("tenant", "list", *place, "--json").lines()] == ["desk"]
    assert len(genkan("user", "list", "--tenant", "desk", *place, "--json").lines()) == 1
    assert "There is no tenant shop" in genkan("tenant", "delete", "shop", *place, "--yes").no()
    (again,) = genkan("tenant", "create", "shop", *place, "--json").lines()
    assert again["id"] != shop["id"]
    assert genkan("user", "list", "--tenant", "shop", *place, "--json").lines() == []
