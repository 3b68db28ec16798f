"""A sealed file opens whole, by its own key, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from genkan.store import sealed_file
from genkan.store.sealed_file import Identity, Lock, Opener, Passphrase, Recipient, frames, written
from genkan.store.sealing import CannotOpen

KEY = X25519PrivateKey.generate()
FRAMES = [b"first", b"second " * 3000, b"", b"last"]
HEADS = {"recipient": sealed_file.Identity.head_bytes, "passphrase": sealed_file.SALT_BYTES}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase is stretched a thousand times less: here it is not guessed at."""
    monkeypatch.setattr(sealed_file, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


def pair(kind: str) -> tuple[Lock, Opener]:
    if kind == "recipient":
        return Recipient(KEY.public_key()), Identity(KEY)
    phrase = Passphrase("six random words would do here")
    return phrase, phrase


def made(path: Path, kind: str = "recipient", contents: list[bytes] = FRAMES) -> bytes:
    with written(path, pair(kind)[0]) as writer:
        for frame in contents:
            writer.put(frame)
    return path.read_bytes()


def parts(raw: bytes, kind: str = "recipient") -> tuple[bytes, list[bytes]]:
    """The head, and the sealed frames with their lengths."""
    start = len(sealed_file.MAGIC) + 1 + HEADS[kind]
    head, rest, found = raw[:start], raw[start:], list[bytes]()
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        found.append(rest[:end])
        rest = rest[end:]
    return head, found


def refused(path: Path, raw: bytes, kind: str = "recipient") -> str:
    path.write_bytes(raw)
    with pytest.raises(CannotOpen) as caught:
        list(frames(path, pair(kind)[1]))
    return str(caught.value)


@pytest.mark.proves("BKP-01")
@pytest.mark.parametrize("kind", ["recipient", "passphrase"])
def test_what_was_written_is_read_and_nothing_of_it_shows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "one"
    raw = made(path, kind)

    assert list(frames(path, pair(kind)[1])) == FRAMES
    assert len(parts(raw, kind)[1]) == len(FRAMES)
    assert b"second" not in raw
    assert raw != made(tmp_path / "two", kind)
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.proves("BKP-01")
@pytest.mark.parametrize("kind", ["recipient", "passphrase"])
def test_no_byte_can_be_changed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    raw = made(path, kind, [b"first", b"last"])

    for place in range(len(raw)):
        altered = bytearray(raw)
        altered[place] ^= 0x40
        refused(path, bytes(altered), kind)


def misshapen(head: bytes, found: list[bytes]) -> Iterator[tuple[str, bytes]]:
    for n in range(len(found)):
        yield f"without {n}", head + b"".join(found[:n] + found[n + 1 :])
        yield f"cut off before {n}", head + b"".join(found[:n])
        yield f"cut off in {n}", head + b"".join(found[: n + 1])[:-1]
        yield f"{n} twice", head + b"".join(found[: n + 1] + found[n:])
        for m in range(n):
            swapped = list(found)
            swapped[n], swapped[m] = swapped[m], swapped[n]
            yield f"{n} and {m} swapped", head + b"".join(swapped)
    yield "more at the end", head + b"".join(found) + b"\0"
    yield "the head alone", head
    yield "half a head", head[:-1]
    yield "a frame without end", head + b"\xff\xff\xff\xff" + b"".join(found)


@pytest.mark.proves("BKP-01")
def test_no_frame_can_be_dropped_doubled_moved_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    head, found = parts(made(path))

    for what, raw in misshapen(head, found):
        assert "altered or cut off" in refused(path, raw), what


@pytest.mark.proves("BKP-01")
def test_frames_of_another_file_for_the_same_key_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    head, _ = parts(made(path))
    _, others = parts(made(tmp_path / "other"))

    assert "does not open" in refused(path, head + b"".join(others))


def test_a_wrong_key_says_no_more_than_an_altered_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    raw = made(path, "passphrase")
    with pytest.raises(CannotOpen) as wrong:
        list(frames(path, Passphrase("another phrase of many words")))
    assert str(wrong.value) == refused(path, raw[:-1], "passphrase")

    path.unlink()
    made(path)
    with pytest.raises(CannotOpen, match="does not open"):
        list(frames(path, Identity(X25519PrivateKey.generate())))
    with pytest.raises(CannotOpen, match="opens with the private key of a recipient"):
        list(frames(path, Passphrase("another phrase of many words")))


def test_a_file_is_there_when_it_is_whole_and_takes_no_others_place(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def fails() -> None:
        with written(path, pair("recipient")[0]) as writer:
            writer.put(b"some")
            assert not path.exists()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert list(tmp_path.iterdir()) == []
    raw = made(path)
    with pytest.raises(CannotOpen, match="There is a file"):
        made(path)
    assert path.read_bytes() == raw
    with pytest.raises(CannotOpen, match="cannot be written"):
        made(tmp_path / "no" / "folder")
    with pytest.raises(CannotOpen, match="cannot be read"):
        list(frames(tmp_path / "none", pair("recipient")[1]))
    assert "is no backup" in refused(path, b"SQLite format 3\0" + raw)


@pytest.mark.parametrize("read", [Recipient.read, Identity.read])
@pytest.mark.parametrize("text", [None, "", "-----BEGIN PUBLIC KEY-----\n", "rsa"])
def test_what_is_no_key_for_backups_is_told_in_one_sentence(
    tmp_path: Path, read: Callable[[Path], object], text: str | None
) -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    path = tmp_path / "key"
    if text == "rsa":
        key = generate_private_key(SECP256R1())
        path.write_bytes(
            key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
            if read == Identity.read
            else key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        )
    elif text is not None:
        path.write_text(text)
    with pytest.raises(CannotOpen, match="openssl genpkey -algorithm x25519"):
        read(path)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(CannotOpen, match="has 15 characters"):
        Passphrase("x" * 15)
