"""Addresses: whose request it is behind proxies, where it is, which lists name it, and files that change."""

from __future__ import annotations

import os
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.model import Place
from genkan.service import addresses
from genkan.service.addresses import Addresses, CannotRead, Networks
from tests.service import mmdb

OURS = ("10.0.0.0/8", "2001:db8:aaaa::/48")
PROXY, FARTHER_PROXY = "10.1.2.3", "10.9.9.9"
CLIENT = "198.51.100.7"


@pytest.mark.proves("THR-07")
@pytest.mark.parametrize(
    ("peer", "forwarded", "whose"),
    [
        pytest.param(PROXY, [CLIENT], CLIENT, id="what a proxy of ours says"),
        pytest.param(PROXY, [f"{CLIENT}, {FARTHER_PROXY}"], CLIENT, id="a chain of ours"),
        pytest.param(PROXY, [CLIENT, FARTHER_PROXY], CLIENT, id="in two headers"),
        pytest.param(
            PROXY, [f"192.0.2.1, {CLIENT}"], CLIENT, id="what the client wrote before it is nothing"
        ),
        pytest.param(PROXY, [f"10.0.0.9, {CLIENT}"], CLIENT, id="even if it looks like one of ours"),
        pytest.param(CLIENT, ["192.0.2.1"], CLIENT, id="a peer that is no proxy of ours"),
        pytest.param(PROXY, [], PROXY, id="nothing said"),
        pytest.param(PROXY, [""], PROXY, id="an empty header"),
        pytest.param(PROXY, ["unknown"], PROXY, id="no address"),
        pytest.param(PROXY, [f"{CLIENT}, _hidden"], PROXY, id="no address where one should be"),
        pytest.param(PROXY, [f"{CLIENT}:4711"], CLIENT, id="with a port"),
        pytest.param(PROXY, ["[2001:db8:bbbb::7]:4711"], "2001:db8:bbbb::7", id="version 6 with a port"),
        pytest.param(PROXY, [f"::ffff:{CLIENT}"], CLIENT, id="version 4 in clothes of version 6"),
        pytest.param(f"::ffff:{PROXY}", [CLIENT], CLIENT, id="a proxy in such clothes"),
        pytest.param("2001:db8:aaaa::1", [CLIENT], CLIENT, id="a proxy of version 6"),
        pytest.param(PROXY, ["fe80::1%eth0"], PROXY, id="a zone is no client's"),
        pytest.param(PROXY, ["10.4.4.4"], "10.4.4.4", id="one of ours is the client itself"),
        pytest.param("", [CLIENT], "", id="no address at all"),
    ],
)
def test_the_client_is_whom_our_own_proxies_name_and_nobody_else(
    peer: str, forwarded: list[str], whose: str
) -> None:
    assert Addresses(proxies=OURS).client(peer, forwarded) == whose


@pytest.mark.proves("THR-07")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_a_client_sends_before_our_proxy_adds_its_own_moves_nothing(forged: list[str]) -> None:
    known = Addresses(proxies=OURS)

    assert known.client(PROXY, [*forged, CLIENT]) == CLIENT
    assert known.client(CLIENT, forged) == CLIENT
    assert Addresses().client(PROXY, [*forged, CLIENT]) == PROXY


networks_of_4 = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(networks_of_4, max_size=20), st.integers(0, 2**32 - 1))
def test_a_set_of_networks_holds_what_any_of_them_holds(networks: list[object], number: int) -> None:
    found = Networks(map(str, networks))
    inside = [n.broadcast_address for n in networks]  # type: ignore[attr-defined]

    for address in (ip_address(number), *inside):
        assert (address in found) == any(address in network for network in networks)  # type: ignore[operator]


def test_a_list_has_comments_blank_lines_and_single_addresses(tmp_path: Path) -> None:
    file = tmp_path / "tor.txt"
    file.write_text(
        "# exits\n\n203.0.113.9\n198.51.100.0/24  # a whole one\n2001:db8:1::/48\n::ffff:192.0.2.0/120\n"
    )
    known = Addresses(lists={"anonymizedIPAddress": file})

    found = {
        address: known.listed(address)
        for address in (
            "203.0.113.9",
            "203.0.113.10",
            "::ffff:198.51.100.77",
            "2001:db8:1:2::3",
            "192.0.2.5",
            "",
        )
    }

    word = ("anonymizedIPAddress",)
    assert found == {
        "203.0.113.9": word,
        "203.0.113.10": (),
        "::ffff:198.51.100.77": word,
        "2001:db8:1:2::3": word,
        "192.0.2.5": word,
        "": (),
    }


def test_a_list_with_a_line_that_is_none_says_which_and_what_it_should_be(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_text("192.0.2.0/24\n192.0.2.0/33\n")

    with pytest.raises(CannotRead, match=r"bad\.txt cannot be used: line 2 is no network: 192\.0\.2\.0/33"):
        Addresses(lists={"maliciousIPAddress": file})
    with pytest.raises(CannotRead, match="No such file"):
        Addresses(lists={"maliciousIPAddress": tmp_path / "missing.txt"})


def test_a_list_that_changes_is_read_anew_and_a_broken_one_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(addresses, "CHECKED_EVERY", 0.0)
    file = tmp_path / "bad.txt"
    file.write_text("192.0.2.0/24\n")
    known = Addresses(lists={"maliciousIPAddress": file})
    assert known.listed("198.51.100.7") == ()

    file.write_text("198.51.100.0/24\n")
    deadline = time.monotonic() + 10
    while not known.listed("198.51.100.7") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert known.listed("198.51.100.7") == ("maliciousIPAddress",)
    assert known.listed("192.0.2.7") == ()

    file.write_text("nonsense\n")
    known.refresh()
    file.unlink()
    known.refresh()
    assert known.listed("198.51.100.7") == ("maliciousIPAddress",)
    assert "file.unreadable" in caplog.messages


def test_a_database_of_cities_places_addresses_of_both_versions(tmp_path: Path) -> None:
    file = mmdb.write(
        tmp_path / "city.mmdb",
        {
            "198.51.100.0/24": mmdb.city("JP", 35.68, 139.69),
            "2001:db8:1::/48": mmdb.city("fr", 48.85, 2.35),
            "203.0.113.0/24": {"registered_country": {"iso_code": "DE"}},
            "192.0.2.0/24": {"country": {"iso_code": "nowhere"}, "location": {"latitude": 1.0}},
        },
    )
    known = Addresses(geo=file)

    assert known.locate("198.51.100.7") == Place(country="JP", latitude=35.68, longitude=139.69)
    assert known.locate("::ffff:198.51.100.7") == known.locate("198.51.100.7")
    assert known.locate("2001:db8:1::5").country == "FR"
    assert known.locate("203.0.113.1") == Place(country="DE")
    assert [known.locate(text) for text in ("192.0.2.1", "100.64.0.1", "", "testclient")] == [Place()] * 4


def test_a_database_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    file = mmdb.write(tmp_path / "city.mmdb", {"198.51.100.0/24": mmdb.city("JP", 35.68, 139.69)})
    known = Addresses(geo=file)
    assert known.locate("198.51.100.7").country == "JP"

    mmdb.write(file, {"198.51.100.0/24": mmdb.city("US", 40.7, -74.0)})
    os.utime(file, ns=(1, 1))
    known.refresh()

    assert known.locate("198.51.100.7").country == "US"


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "city.mmdb"
    file.write_bytes(b"not one" * 100)

    with pytest.raises(CannotRead, match=r"none in MaxMind's format"):
        Addresses(geo=file)
    with pytest.raises(CannotRead, match="cannot be read"):
        Addresses(geo=tmp_path / "missing.mmdb")
