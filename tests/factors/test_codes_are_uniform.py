"""One-time codes are drawn evenly: no digit, no position and no range of codes is likelier than another."""

from collections import Counter

import pytest

from genkan.engine.messages import Entropy


def chi_square(counts: Counter[str], bins: int) -> float:
    """How far counts are from even, in units whose mean is `bins` - 1 if they are."""
    expected = counts.total() / bins
    empty = (bins - len(counts)) * expected
    return empty + sum((count - expected) ** 2 / expected for count in counts.values())


def near_its_mean(statistic: float, bins: int) -> bool:
    """Within five standard deviations: the seeds are fixed, so a sound generator never comes near that."""
    return abs(statistic - (bins - 1)) < 5 * (2 * (bins - 1)) ** 0.5


@pytest.mark.proves("OTP-01")
@pytest.mark.parametrize("draws", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("length", [6, 8])
def test_every_digit_in_every_place_and_every_range_of_codes_is_as_likely(draws: int, length: int) -> None:
    codes = [Entropy(seed.to_bytes(32)).digits("code", length) for seed in range(draws)]

    places = [Counter(code[place] for code in codes) for place in range(length)]
    ranges = Counter(code[:3] for code in codes)
    ends = Counter(code[-3:] for code in codes)

    assert {len(code) for code in codes} == {length}
    assert all(near_its_mean(chi_square(place, 10), 10) for place in places)
    assert near_its_mean(chi_square(ranges, 1000), 1000)
    assert near_its_mean(chi_square(ends, 1000), 1000)


class Scripted(Entropy, frozen=True):
    """Entropy that comes to given draws, to see what is made of them."""

    draws: tuple[int, ...] = ()

    def take(self, label: str, size: int) -> bytes:
        return self.draws[int(label.rpartition("/")[2])].to_bytes(size)


@pytest.mark.proves("OTP-01")
@pytest.mark.parametrize("length", [6, 7, 8])
def test_a_draw_above_the_last_whole_multiple_is_thrown_away_and_none_below_it(length: int) -> None:
    span = 10**length
    ceiling = 2**64 // span * span
    above = Scripted(b"", (2**64 - 1, ceiling, 42))
    below = Scripted(b"", (ceiling - 1, 42))

    drawn = above.digits("code", length), below.digits("code", length)

    assert drawn == (f"{42:0{length}}", "9" * length)


def test_the_same_seed_and_label_are_the_same_code_and_another_label_is_another() -> None:
    entropy = Entropy(b"s" * 32)

    codes = [entropy.digits("code", 8), entropy.digits("code", 8), entropy.digits("other", 8)]

    assert codes[0] == codes[1] != codes[2]
