"""Cutting files into records: each with its line, and nothing lost beside what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.intake.records import NotReadable, Record, comma_separated, json_values


def csv(text: str, *columns: str) -> list[Record]:
    return list(comma_separated(text.splitlines(keepends=True), columns))


def of_json(text: str, *members: str) -> list[Record]:
    return list(json_values(text.splitlines(keepends=True), *members))


def test_a_row_is_read_by_the_names_of_the_first_line_and_empty_fields_are_left_out() -> None:
    assert csv('\ufeffemail,name , city\nada@example.com,"Ada, Countess",\n') == [
        Record(2, 1, {"email": "ada@example.com", "name": "Ada, Countess"})
    ]


def test_a_row_over_several_lines_has_the_line_where_it_begins() -> None:
    rows = csv('email,note\na@example.com,"one\ntwo"\n\nb@example.com,x\n')

    assert [(row.line, row.number) for row in rows] == [(2, 1), (5, 2)]
    assert rows[0].fields == {"email": "a@example.com", "note": "one\ntwo"}


def test_a_bad_row_is_refused_and_those_around_it_are_read() -> None:
    rows = csv('a,b\n1,2\n3,4,5\n6,"7"8\n\udcff,9\n10,11\n')

    assert rows == [
        Record(2, 1, {"a": "1", "b": "2"}),
        Record(3, 2, "it has 3 fields, and there are 2 columns"),
        Record(4, 3, "it is not CSV (',' expected after '\"')"),
        Record(5, 4, "it is not UTF-8"),
        Record(6, 5, {"a": "10", "b": "11"}),
    ]


def test_columns_may_be_given_where_the_file_names_none() -> None:
    assert csv("1,2\n", "a", "b") == [Record(1, 1, {"a": "1", "b": "2"})]


def test_a_column_named_twice_is_no_table() -> None:
    with pytest.raises(NotReadable, match="names a column twice"):
        csv("email,email\n")


ONE, TWO = {"email": "a@example.com"}, {"email": "b@example.com", "deep": {"list": [1, "]"]}}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n", (1, 2), id="one in each line"),
        pytest.param(f"\n{json.dumps(ONE)}\n\n{json.dumps(TWO)}", (2, 4), id="blank lines between"),
        pytest.param(f"[{json.dumps(ONE)}, {json.dumps(TWO)}]", (1, 1), id="an array in one line"),
        pytest.param(f"[\n{json.dumps(ONE)},\n{json.dumps(TWO, indent=1)}\n]\n", (2, 3), id="an array"),
        pytest.param(
            f'{{"users": [\n{json.dumps(ONE)},\n{json.dumps(TWO)}]}}', (2, 3), id="as Firebase writes"
        ),
        pytest.param(
            f'{{\n"realm": "x", "roles": [{{"users": []}}],\n"users": [\n{json.dumps(ONE)},\n{json.dumps(TWO)}\n]\n}}',
            (4, 5),
            id="as Keycloak writes",
        ),
        pytest.param(
            "\ufeff" + json.dumps({"@odata.context": "x", "users": [ONE, TWO]}),
            (1, 1),
            id="a document in one line",
        ),
    ],
)
def test_the_shapes_of_json_are_told_apart(text: str, lines: tuple[int, int]) -> None:
    assert of_json(text, "users") == [Record(lines[0], 1, ONE), Record(lines[1], 2, TWO)]


def test_a_bad_line_is_refused_and_those_around_it_are_read() -> None:
    rows = of_json('{"a": 1,}\n{"a": 2}\n[3]\n{"a": "\\ud800"}\n{"a": 5}\n')

    assert rows == [
        Record(1, 1, "it is not JSON"),
        Record(2, 2, {"a": 2}),
        Record(3, 3, "it is not a JSON object"),
        Record(4, 4, "it is not UTF-8"),
        Record(5, 5, {"a": 5}),
    ]


def test_a_document_that_breaks_off_is_read_until_there() -> None:
    text = f"[\n{json.dumps(ONE)},\n3,\n{{\n"

    assert of_json(text) == [
        Record(2, 1, ONE),
        Record(3, 2, "it is not a JSON object"),
        Record(4, 3, "from here on the file is not JSON, so nothing behind it can be read"),
    ]


@pytest.mark.parametrize("text", ["{\n", "<html>\n", '{"users": 1}x\n{', '"text"', "{\n'a': 1}"])
def test_what_is_no_json_at_all_says_what_it_should_be(text: str) -> None:
    with pytest.raises(NotReadable, match='an object with one in "users"'):
        of_json(text, "users")


def test_an_empty_file_has_nobody() -> None:
    assert of_json("") == of_json("\n \n") == csv("") == []


def test_nesting_without_end_refuses_the_record() -> None:
    deep = "[" * 100_000

    assert of_json(f'{{"a": 1}}\n{{"a": {deep}\n')[1].fields == "it is not JSON"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=4), st.sampled_from([None, 1]))
@settings(max_examples=30, deadline=None)
def test_whatever_is_written_is_read_again(objects: list[dict[str, Any]], indent: int | None) -> None:
    written = f'{{"users": {json.dumps(objects, indent=indent)}}}'

    assert [record.fields for record in of_json(written, "users")] == objects


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_is_records_or_not_readable(text: str) -> None:
    def read() -> Iterator[Record]:
        yield from of_json(text, "users")
        yield from csv(text)

    with suppress(NotReadable):
        assert all(record.line >= 1 for record in read())
