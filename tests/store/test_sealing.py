"""The master key, the keys derived from it, and sealed values."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from stat import S_IMODE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genkan.store import sealing
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, SealBroken, Sealer, open_master_key
from tests.store.worlds import MASTER, TENANT

OTHER = "22222222-2222-4222-8222-222222222222"


def a_sealer(tenant: str = TENANT) -> Sealer:
    return Sealer(Keys(MASTER).of(KeyPurpose.SEALING, tenant), tenant)


# Keys. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("KEY-01")
def test_no_two_purposes_share_a_key_and_no_two_tenants_do() -> None:
    keys = Keys(MASTER)

    derived = [keys.of(purpose, tenant) for purpose in KeyPurpose for tenant in (TENANT, OTHER)]

    assert all(len(key) == 32 for key in derived)
    assert all(one != other for one, other in combinations([MASTER, *derived], 2))


@pytest.mark.proves("KEY-01")
def test_a_purpose_cannot_reach_anothers_key_by_the_name_of_a_tenant() -> None:
    keys = Keys(MASTER)

    one = keys.of(KeyPurpose.CODES, 'x","handles')

    assert one not in {keys.of(purpose, tenant) for purpose in KeyPurpose for tenant in ("x", "handles", "")}


def test_a_key_is_the_same_after_a_restart_and_another_under_another_master_key() -> None:
    again, other = Keys(bytes(MASTER)), Keys(MASTER[::-1])

    key = Keys(MASTER).of(KeyPurpose.HANDLES, TENANT)

    assert key == again.of(KeyPurpose.HANDLES, TENANT)
    assert key != other.of(KeyPurpose.HANDLES, TENANT)
    # Handles and codes given out before an upgrade must still be good after it.
    assert key.hex() == "b55ed387d5bf39882ee1c639cc66365f84957f740c6d80dcbbfe7bc83ece360e"


def test_keys_are_never_shown() -> None:
    keys = Keys(MASTER)
    keys.of(KeyPurpose.CODES, TENANT)

    assert repr(keys) == "Keys(…)"
    assert repr(a_sealer()) == "Sealer(…)"


def test_a_master_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keys(b"short")


# Sealed values. ------------------------------------------------------------------------------------------------------


@given(clear=st.binary(max_size=200), place=st.text(max_size=20), row=st.text(max_size=20))
def test_a_sealed_value_opens_in_its_place(clear: bytes, place: str, row: str) -> None:
    sealed = a_sealer().seal(place, row, clear)

    assert a_sealer().open(place, row, sealed) == clear


def test_a_sealed_value_opens_nowhere_else() -> None:
    sealed = a_sealer().seal("outbox.body", "row", b"secret")

    for sealer, place, row in (
        (a_sealer(), "outbox.body", "other"),
        (a_sealer(), "signing_key.pem", "row"),
        (Sealer(Keys(MASTER).of(KeyPurpose.SEALING, TENANT), OTHER), "outbox.body", "row"),
        (a_sealer(OTHER), "outbox.body", "row"),
    ):
        with pytest.raises(SealBroken):
            sealer.open(place, row, sealed)


def test_every_altered_bit_and_every_cut_is_noticed() -> None:
    sealed = a_sealer().seal("outbox.body", "row", b"secret")
    flips = [
        sealed[:n] + bytes([sealed[n] ^ 1 << bit]) + sealed[n + 1 :]
        for n in range(len(sealed))
        for bit in (0, 7)
    ]
    cuts = [sealed[:n] for n in range(len(sealed))]

    for broken in (*flips, *cuts, sealed + b"\x00"):
        with pytest.raises(SealBroken):
            a_sealer().open("outbox.body", "row", broken)


def test_equal_values_are_sealed_differently_and_hold_nothing_in_clear() -> None:
    sealer = a_sealer()

    sealed = {sealer.seal("outbox.body", "row", b"31415926") for _ in range(100)}

    assert len(sealed) == 100
    assert not any(b"31415926" in value for value in sealed)


def test_a_key_seals_only_so_many_values() -> None:
    sealer = a_sealer()
    first = sealer.seal("outbox.body", "row", b"first")

    sealer._left = 0
    second = sealer.seal("outbox.body", "row", b"second")

    salt = slice(1, 1 + sealing.SALT_BYTES)
    assert first[salt] != second[salt]
    assert sealer.open("outbox.body", "row", first) == b"first"
    assert sealer.open("outbox.body", "row", second) == b"second"


# The master key. -----------------------------------------------------------------------------------------------------


@pytest.mark.proves("KEY-02")
def test_a_master_key_is_made_once_random_and_for_its_owner_only(tmp_path: Path) -> None:
    first, second = open_master_key(tmp_path / "one"), open_master_key(tmp_path / "two")

    assert len(first) == 32
    assert first != second
    assert open_master_key(tmp_path / "one") == first
    assert S_IMODE((tmp_path / "one").stat().st_mode) == 0o600


def test_those_who_make_a_master_key_at_once_get_the_same_and_leave_nothing_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: open_master_key(tmp_path / "master.key"), range(64)))

    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


@pytest.mark.proves("KEY-02")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644])
def test_a_master_key_that_others_may_use_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    open_master_key(path)
    path.chmod(mode)

    with pytest.raises(CannotOpen, match=r"chmod 600"):
        open_master_key(path)

    path.chmod(0o400)
    assert len(open_master_key(path)) == 32


@pytest.mark.proves("KEY-02")
@pytest.mark.parametrize("content", [bytes(32), b"\xff" * 32, b"changeme" * 4, b"0123456789" * 3 + b"01"])
def test_a_key_that_nobody_drew_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(CannotOpen, match="random"):
        open_master_key(path)


@pytest.mark.parametrize("size", [0, 31, 33, 5000])
def test_a_master_key_of_the_wrong_size_is_refused_and_left_as_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "master.key"
    content = os.urandom(size)
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(CannotOpen, match="must have 32"):
        open_master_key(path)

    assert path.read_bytes() == content
