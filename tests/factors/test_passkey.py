"""Keys that there are not: what is made up so that nobody learns who has one."""

from __future__ import annotations

from collections import Counter

import pytest

from genkan.factors import passkey

KEY, OTHER = b"k" * 32, b"o" * 32
NAMES = [f"email:ada{n}@example.com" for n in range(4000)]


@pytest.mark.proves("WAN-06")
def test_what_is_made_up_is_the_same_each_time_and_for_this_name_and_tenant_alone() -> None:
    one = passkey.decoys(NAMES[0], KEY)

    assert passkey.decoys(NAMES[0], KEY) == one
    assert not {*one} & {*passkey.decoys(NAMES[1], KEY)}
    assert not {*one} & {*passkey.decoys(NAMES[0], OTHER)}


@pytest.mark.proves("WAN-06")
def test_what_is_made_up_is_as_various_as_what_is_real() -> None:
    """A list of any length that an account may have might be made up, and so might an id of any usual length."""
    lists = [passkey.decoys(name, KEY) for name in NAMES]
    counts = Counter(map(len, lists))
    lengths = Counter(len(id) for ids in lists for id in ids)

    assert counts[1] > counts[2] > counts[3] > counts[4] > 0
    assert max(counts) >= 6
    assert max(counts) <= passkey.MOST
    assert lengths.keys() == {*passkey.DECOY_LENGTHS}
    assert len({id for ids in lists for id in ids}) == sum(map(len, lists))
