"""
The server says what the golden conversations say.

To record them anew, after a change that was meant: python -m tests.wire.test_transcripts --record [name …]
A new one is a file with requests alone; recording fills in the answers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.wire.servers import StrictServer, real_server
from tests.wire.transcript import FOLDER, Mismatch, files, parse, record, replay

EVERY = [*files("entra_v1")]

every_transcript = pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)


@every_transcript
def test_the_server_answers_as_it_is_written(server: StrictServer, path: Path) -> None:
    replay(path, server)


@every_transcript
def test_a_transcript_is_written_as_recording_would_write_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"code_length": 8', '"code_length": 6'),
        ('"challenge_channel": "email"', '"challenge_channel": "sms"'),
        ('"binding_method": "prompt"', '"binding_method": true'),
        ('"interval": 300', '"interval": 300,\n  "extra": 1'),
        ("HTTP/1.1 200", "HTTP/1.1 400"),
        ("Cache-Control: no-store", "Cache-Control: public"),
        ("{{token:2}}", "{{token:1}}"),
    ],
)
def test_an_answer_that_differs_in_one_member_is_noticed(
    server: StrictServer, tmp_path: Path, written: str, instead: str
) -> None:
    text = (FOLDER / "entra_v1" / "sign_in_by_code.http").read_text(encoding="utf-8")
    changed = tmp_path / "changed.http"
    changed.write_text(text.replace(written, instead), encoding="utf-8")

    with pytest.raises(Mismatch):
        replay(changed, server)


def main(arguments: list[str]) -> int:
    if arguments[:1] != ["--record"]:
        print(__doc__)
        return 2
    chosen = [path for path in EVERY if not arguments[1:] or path.stem in arguments[1:]]
    with TemporaryDirectory() as folder, real_server(Path(folder) / "data") as server:
        for path in chosen:
            record(path, server)
            print(path.relative_to(FOLDER))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
