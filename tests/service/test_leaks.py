"""Leaked passwords: found in a file however long its lines are, asked about by a prefix, and never waited for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.model import Secret
from genkan.service import leaks
from genkan.service.addresses import CannotRead
from genkan.service.leaks import LeakedPasswords
from tests.service.servers import outside

LEAKED, OTHER = "correct horse battery staple", "nobody ever typed this one"


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest().upper()


def corpus(path: Path, passwords: list[str], count: str = ":3", end: str = "\r\n") -> Path:
    path.write_text("".join(f"{digest}{count}{end}" for digest in sorted(map(sha1, passwords))), newline="")
    return path


async def known(source: LeakedPasswords, *passwords: str) -> list[bool]:
    try:
        return [await source.knows(Secret(text)) for text in passwords]
    finally:
        await source.close()


@pytest.mark.parametrize("count", ["", ":1", ":4711000"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_password_of_the_file_is_known_and_no_other(tmp_path: Path, count: str, end: str) -> None:
    passwords = [f"password {n}" for n in range(60)]
    file = corpus(tmp_path / "hashes.txt", passwords, count, end)

    found = asyncio.run(known(LeakedPasswords(file), *passwords, *(f"other {n}" for n in range(60))))

    assert found == [True] * 60 + [False] * 60


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 2**160 - 1), min_size=1, max_size=30), st.integers(0, 2**160 - 1), st.data())
def test_a_file_is_searched_right_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], other: int, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("leaks") / "hashes.txt"
    counts = data.draw(st.lists(st.integers(1, 10**9), min_size=len(numbers), max_size=len(numbers)))
    file.write_text("".join(f"{n:040X}:{count}\n" for n, count in zip(sorted(numbers), counts, strict=True)))

    for number in (*numbers, other):
        assert leaks._is_in(file, f"{number:040X}") == (number in numbers)


def test_the_composed_form_is_looked_up(tmp_path: Path) -> None:
    file = corpus(tmp_path / "hashes.txt", ["caf\u00e9 au lait"])

    assert asyncio.run(known(LeakedPasswords(file), "cafe\u0301 au lait", "\ud800")) == [True, False]


@pytest.mark.parametrize("text", ["", "hello\n", "0" * 39 + "\n", "F" * 40 + "\n" + "0" * 40 + "\n"])
def test_a_file_that_is_not_one_is_refused_with_what_it_should_be(tmp_path: Path, text: str) -> None:
    file = tmp_path / "hashes.txt"
    file.write_text(text)

    with pytest.raises(CannotRead, match="SHA-1 hashes in hexadecimal, one a line, in order"):
        LeakedPasswords(file)
    with pytest.raises(CannotRead, match="cannot be read"):
        LeakedPasswords(tmp_path / "missing.txt")


@pytest.mark.proves("PWD-08")
def test_the_service_hears_five_digits_and_is_asked_once_an_hour() -> None:
    digest = sha1(LEAKED)
    with outside() as service:
        service.body = f"{digest[5:]}:12\r\n{sha1(OTHER)[5:]}:0\r\n".encode()
        source = LeakedPasswords(api=f"{service.url}/range/")

        found = asyncio.run(known(source, LEAKED, LEAKED, OTHER))

    assert found == [True, True, False], "a count of 0 is padding"
    assert [path for path, _, _ in service.heard] == [f"/range/{digest[:5]}", f"/range/{sha1(OTHER)[:5]}"]
    assert service.heard[0][1]["add-padding"] == "true"
    assert digest[5:].lower() not in repr(service.heard).lower()


@pytest.mark.proves("PWD-08")
def test_when_the_service_is_out_the_file_goes_on_to_count_and_nobody_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = corpus(tmp_path / "hashes.txt", [LEAKED])
    with outside() as service:
        service.after = 5.0
        slow = LeakedPasswords(file, f"{service.url}/range/", timeout=0.1)
        began = time.monotonic()
        found = asyncio.run(known(slow, LEAKED, OTHER))
        took = time.monotonic() - began
        service.after, service.status = 0.0, 500
        faulty = asyncio.run(known(LeakedPasswords(file, f"{service.url}/range/"), LEAKED, OTHER))
    gone = asyncio.run(known(LeakedPasswords(file, f"{service.url}/range/"), LEAKED, OTHER))

    assert found == faulty == gone == [True, False]
    assert took < 3
    assert caplog.messages.count("leaks.unreachable") == 3


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with outside() as service:
        service.body = b"A" * 35 + b":1\n" * 100_000

        assert asyncio.run(known(LeakedPasswords(api=f"{service.url}/"), LEAKED)) == [False]
