"""
Cut a file into records, each with the line where it begins. What cannot be read is a record as well, which says why.

Knows CSV and JSON and nothing of people. Of a JSON document the whole text is held, of lines one at a time.
Source: RFC 4180, RFC 8259; jsonlines.org.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

from msgspec import Struct

Fields: TypeAlias = dict[str, Any]


class Record(Struct, frozen=True):
    """One record of a file."""

    line: int
    """Where it begins, counting from 1."""
    number: int
    """The how-manieth it is, counting from 1."""
    fields: Fields | str
    """What it says; a text is why it cannot be read."""


class NotReadable(Exception):
    """The file is not of this kind at all. The message says what it should be."""


def comma_separated(lines: Iterable[str], columns: Sequence[str] = ()) -> Iterator[Record]:
    """
    Read CSV: by the names in its first line, or by these where it has none.

    Shapes:   lines keep their line breaks. Fields that are empty are left out.
    Raises:   `NotReadable`.
    """
    reader = csv.reader(lines, strict=True)
    named = list(columns)
    number = 0
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield Record(line, number, f"it is not CSV ({error})")
            continue
        if not any(row):
            continue
        if not named:
            named = [name.strip().lstrip("\ufeff") for name in row]
            if len(set(named)) < len(named):
                raise NotReadable("The first line names a column twice.")
            continue
        number += 1
        extra = [value for value in row[len(named) :] if value]
        if extra:
            yield Record(line, number, f"it has {len(row)} fields, and there are {len(named)} columns")
        elif not _is_text(row):
            yield Record(line, number, "it is not UTF-8")
        else:
            yield Record(
                line, number, {name: value for name, value in zip(named, row, strict=False) if value}
            )


def json_values(lines: Iterable[str], *members: str) -> Iterator[Record]:
    """
    Read JSON: one object in each line, or one array of them, or an object with such an array in one of these members.

    Raises:   `NotReadable`.
    """
    rest = iter(lines)
    blank = 0
    for first in rest:
        if first.strip().lstrip("\ufeff"):
            break
        blank += 1
    else:
        return
    first = first.lstrip("\ufeff")
    if _is_whole(first, members):
        yield from _lines(chain((first,), rest), blank)
    else:
        yield from _document("\n" * blank + first + "".join(rest), members)


def _is_whole(first: str, members: tuple[str, ...]) -> bool:
    """Say whether a line is one object by itself, and not the document that holds all of them."""
    if not first.lstrip().startswith("{"):
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return first.rstrip().endswith("}")  # a broken line among lines; else the beginning of a document
    return not any(isinstance(value.get(member), list) for member in members)


def _lines(lines: Iterable[str], before: int) -> Iterator[Record]:
    number = 0
    for line, text in enumerate(lines, before + 1):
        if not text.strip():
            continue
        number += 1
        yield Record(line, number, _object(text))


def _object(text: str) -> Fields | str:
    try:
        return _fields(json.loads(text))
    except (ValueError, RecursionError):
        return "it is not JSON"


def _fields(value: Any) -> Fields | str:
    if not isinstance(value, dict):
        return "it is not a JSON object"
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return "it is not UTF-8"
    return value


_blank = " \t\r\n"
_decoder = json.JSONDecoder()


class _Reader:
    """A place in the text of a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line, self._counted = 1, 0

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        text = self._text
        while self._at < len(text) and text[self._at] in _blank:
            self._at += 1
        return text[self._at : self._at + 1]

    def take(self, wanted: str) -> bool:
        """Pass a character over, if it is next."""
        if self.peek() != wanted:
            return False
        self._at += 1
        return True

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        value, self._at = _decoder.raw_decode(self._text, self._at)
        return value

    @property
    def line(self) -> int:
        self.peek()
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _document(text: str, members: tuple[str, ...]) -> Iterator[Record]:
    reader = _Reader(text)
    asked = " or ".join(f'"{member}"' for member in members)
    try:
        if reader.take("{"):
            while not reader.take("}"):
                name = reader.value()
                if not reader.take(":"):
                    break
                if name in members and reader.peek() == "[":
                    yield from _elements(reader)
                    return
                reader.value()
                reader.take(",")
        elif reader.peek() == "[":
            yield from _elements(reader)
            return
    except (ValueError, RecursionError):
        pass
    among = f", or an object with one in {asked}" if members else ""
    raise NotReadable(f"The file is no JSON: it should be one object in each line, an array of them{among}.")


def _elements(reader: _Reader) -> Iterator[Record]:
    reader.take("[")
    number = 0
    while not reader.take("]"):
        line, number = reader.line, number + 1
        try:
            value = reader.value()
            if not (reader.take(",") or reader.peek() == "]"):
                raise ValueError("neither another element nor the end")
        except (ValueError, RecursionError):
            yield Record(line, number, "from here on the file is not JSON, so nothing behind it can be read")
            return
        yield Record(line, number, _fields(value))


def _is_text(row: Sequence[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True
