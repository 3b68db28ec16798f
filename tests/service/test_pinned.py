"""Where a call may go, and that it goes nowhere else: names that lead inside, lead elsewhere, or answer without end."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.service.pinned import NotCalled, Pinned, is_public
from tests.receivers import Receiver, Says

pytestmark = pytest.mark.anyio


def named(receiver: Receiver) -> frozenset[tuple[str, int]]:
    """What an operator has to allow for this receiver."""
    return frozenset({("localhost", receiver.port)})


async def failed(pinned: Pinned, url: str, within: float = 2.0) -> NotCalled:
    with pytest.raises(NotCalled) as fault:
        await pinned.post(url, {}, b"{}", within)
    await pinned.close()
    return fault.value


INSIDE = """
127.0.0.1 127.8.8.8 0.0.0.0 10.0.0.7 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 192.0.0.1 192.0.2.1 198.18.0.1
224.0.0.1 240.0.0.1 255.255.255.255 168.63.129.16 ::1 :: ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 fe80::1
fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 nowhere
""".split()
OUTSIDE = "8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808".split()


@pytest.mark.proves("WHK-01")
def test_addresses_that_are_not_on_the_internet_are_known_in_whatever_clothes() -> None:
    assert [text for text in INSIDE if is_public(text)] == []
    assert [text for text in OUTSIDE if not is_public(text)] == []


@given(st.ip_addresses(v=4))
@settings(max_examples=60)
def test_an_address_of_ipv4_is_judged_alike_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrapped = (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x64FF9B << 96) | number)),
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
    )

    assert {is_public(one) for one in wrapped} == {is_public(str(address))}


@pytest.mark.proves("WHK-01")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
async def test_nothing_on_this_machine_is_called_however_its_name_is_written(
    receiver: Receiver, host: str
) -> None:
    heard = len(receiver.calls)

    for port in (443, receiver.port):
        fault = await failed(Pinned(authorities=receiver.ca_file), f"https://{host}:{port}/x")
        assert "operator has not named it" in str(fault) or "not known" in str(fault)

    assert len(receiver.calls) == heard


@pytest.mark.proves("WHK-01")
async def test_a_name_that_leads_inside_at_its_second_asking_is_asked_once(receiver: Receiver) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["203.0.113.7"] if len(asked) == 1 else ["127.0.0.1"]

    def mixed(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8", "127.0.0.1"]

    heard = len(receiver.calls)
    first = await failed(Pinned(resolve=rebinding), "https://hooks.example.com/x", 0.3)
    both = await failed(Pinned(resolve=mixed), "https://hooks.example.com/x", 0.3)

    assert asked == ["hooks.example.com"]
    assert "not public" in str(
        first
    )  # A documentation address: what matters is that it was judged, and asked once.
    assert "not public" in str(both)
    assert len(receiver.calls) == heard


@pytest.mark.proves("WHK-01")
async def test_the_connection_goes_to_the_address_that_was_looked_at_and_is_verified_for_the_name(
    receiver: Receiver,
) -> None:
    receiver.answers["/pinned"] = Says(b"{}")
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    allowed = frozenset({("localhost", receiver.port), ("other.example.com", receiver.port)})
    pinned = Pinned(allowed, receiver.ca_file, resolve=resolve)
    answered = await pinned.post(receiver.url("/pinned"), {}, b"{}", 2)
    with pytest.raises(NotCalled) as misnamed:
        await pinned.post(f"https://other.example.com:{receiver.port}/pinned", {}, b"{}", 2)
    await pinned.close()

    assert (answered.status, asked) == (200, ["localhost", "other.example.com"])
    assert receiver.of("/pinned")[0].headers["host"] == f"localhost:{receiver.port}"
    assert "certificate is not to be trusted" in str(misnamed.value)
    assert len(receiver.of("/pinned")) == 1


async def test_a_host_is_called_at_its_next_address_where_nobody_is_at_the_first(receiver: Receiver) -> None:
    receiver.answers["/second"] = Says(b"{}")

    def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.9", "127.0.0.1"]

    pinned = Pinned(named(receiver), receiver.ca_file, resolve=resolve)
    answered = await pinned.post(receiver.url("/second"), {}, b"{}", 2)
    await pinned.close()

    assert answered.status == 200
    assert len(receiver.of("/second")) == 1


@pytest.mark.proves("WHK-01")
async def test_only_https_is_called_and_only_whom_the_operator_or_the_system_trusts(
    receiver: Receiver,
) -> None:
    stranger = await failed(Pinned(named(receiver)), receiver.url("/x"))
    plain = await failed(Pinned(named(receiver), receiver.ca_file), f"http://localhost:{receiver.port}/x")
    other_port = await failed(Pinned(frozenset({("localhost", 443)}), receiver.ca_file), receiver.url("/x"))

    assert "certificate is not to be trusted" in str(stranger)
    assert "not https" in str(plain)
    assert "operator has not named it" in str(other_port)


@pytest.mark.proves("WHK-02")
async def test_an_answer_ends_at_its_size_and_its_time_and_a_redirect_is_an_answer(
    receiver: Receiver,
) -> None:
    receiver.answers |= {
        "/long": Says(b"x" * 65_537),
        "/just": Says(b"x" * 65_536),
        "/late": Says(b"{}", after=0.4),
        "/away": Says(
            status=302, headers={"location": receiver.url("/just"), "set-cookie": "a=b; Path=/; Secure"}
        ),
    }
    pinned = Pinned(named(receiver), receiver.ca_file)
    away = await pinned.post(receiver.url("/away"), {}, b"{}", 2)
    just = await pinned.post(receiver.url("/just"), {}, b"{}", 2)
    with pytest.raises(NotCalled) as long:
        await pinned.post(receiver.url("/long"), {}, b"{}", 2)
    began = time.monotonic()
    with pytest.raises(NotCalled) as late:
        await pinned.post(receiver.url("/late"), {}, b"{}", 0.2)
    took = time.monotonic() - began
    await pinned.close()

    assert (len(just.body), away.status) == (65_536, 302)
    assert long.value.is_too_long
    assert late.value.is_late
    assert late.value.is_unclear
    assert took < 0.39
    assert len(receiver.of("/just")) == 1
    assert not any("cookie" in call.headers for call in receiver.calls)


async def test_a_name_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    def hanging(host: str, port: int) -> Sequence[str]:
        time.sleep(0.5)
        return []

    began = time.monotonic()
    fault = await failed(Pinned(resolve=hanging), "https://hooks.example.com/x", 0.1)

    assert time.monotonic() - began < 0.4
    assert fault.is_late
    assert not fault.is_unclear


def test_authorities_that_cannot_be_read_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")

    with pytest.raises((ssl.SSLError, OSError)):
        Pinned(authorities=tmp_path / "bad.pem")
