"""The logs, page after page: each row once, newest first, whatever is asked for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.graph.sdk import Office
from tests.server import first_factor_by_code, new_address, sign_up_by_code

SIGN_INS, AUDITS = "/auditLogs/signIns", "/auditLogs/directoryAudits"


def pages(office: Office, path: str) -> list[list[dict[str, Any]]]:
    """Every page of a list, its links followed."""
    found = []
    following: str | None = path
    while following:
        answer = office.call("GET", following)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append(body["value"])
        link = body.get("@odata.nextLink")
        following = link and f"{urlsplit(link).path.removeprefix('/v1.0')}?{urlsplit(link).query}"
    return found


def test_changes_are_listed_once_each_the_newest_first(office: Office) -> None:
    made = [
        office.made("/groups", {**GROUP, "displayName": f"Group {number}", "mailNickname": f"g{number}"})[
            "id"
        ]
        for number in range(7)
    ]
    wanted = f"{AUDITS}?$top=3&$filter=category eq 'GroupManagement' and operationType eq 'Add'"

    found = pages(office, wanted)

    listed = [row["targetResources"][0]["id"] for page in found for row in page]
    assert listed[:7] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert [len(page) for page in found[:-1]] == [3] * (len(found) - 1)


def test_sign_ins_are_listed_once_each_the_newest_first(office: Office) -> None:
    address = new_address()
    sign_up_by_code(office, address)
    for _ in range(5):
        first_factor_by_code(office, address, "openid").ok()
        office.advance(61)

    for condition in ("", f"&$filter=appId eq '{office.otp_app}'", "&$filter=status/errorCode eq 0"):
        found = pages(office, f"{SIGN_INS}?$top=2{condition}")

        rows = [row for page in found for row in page]
        assert len({row["id"] for row in rows}) == len(rows) >= 5
        assert [row["createdDateTime"] for row in rows] == sorted(
            (row["createdDateTime"] for row in rows), reverse=True
        )
        assert all(len(page) == 2 for page in found[:-1])


@pytest.mark.parametrize("path", [SIGN_INS, AUDITS])
def test_what_nothing_fits_is_one_empty_page(office: Office, path: str) -> None:
    assert pages(office, f"{path}?$filter=correlationId eq 'none'") == [[]]


@pytest.mark.parametrize("path", [SIGN_INS, AUDITS])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_nobody_writes_into_a_log(office: Office, path: str, method: str) -> None:
    assert office.call(method, path, {}).status_code == 405


GROUP = {"mailEnabled": False, "securityEnabled": True}
