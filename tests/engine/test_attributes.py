"""What a sign-up accepts as the value of an attribute, whatever it is given."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genkan.engine.attributes import MAX_REGEX_INPUT, judge, missing, why_unreadable
from genkan.model import Attribute, Scalar
from genkan.wire import reading

scalars: st.SearchStrategy[Scalar] = st.one_of(
    st.text(),
    st.text(st.characters(codec="ascii")),
    st.text(st.characters(categories=["Cs", "Cc", "Zs", "Nd"])),
    st.from_regex(r"\s*-?[0-9]{1,25}\s*", fullmatch=True),
    st.sampled_from(
        ["true", "false", "TRUE", " False ", "yes", "0", "1", "", " ", "\x00", "١٢٣", "1_000", "+1"]
    ),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70).map(lambda n: n if n % 2 else -n),
    st.booleans(),
)
"""What can stand in JSON where a value is due, and what merely could."""

attributes = st.builds(
    Attribute,
    name=st.sampled_from(["displayName", "city", "age"]),
    type=st.sampled_from(["string", "boolean", "int64"]),
    required=st.booleans(),
    max_length=st.integers(1, 40),
    regex=st.sampled_from([None, "[0-9]{6}", ".+", "^[a-z]*$", r"\w+(?: \w+)*", ""]),
)


@settings(deadline=None)
@given(scalars, attributes)
def test_never_fails_and_never_accepts_what_does_not_fit(value: Scalar, attribute: Attribute) -> None:
    judged = judge({attribute.name: value}, [attribute])

    assert set(judged.accepted) | set(judged.refused) <= {attribute.name}
    assert not set(judged.accepted) & set(judged.refused)
    for held in judged.accepted.values():
        assert type(held) is {"string": str, "boolean": bool, "int64": int}[attribute.type]
        if isinstance(held, str):
            assert len(held) <= attribute.max_length
            assert not re.search(r"[\x00-\x1f\ud800-\udfff]", held)
            assert attribute.regex is None or attribute.regex == "" or re.fullmatch(attribute.regex, held)
        elif type(held) is int:
            assert -(2**63) <= held < 2**63
        assert json.loads(json.dumps(held)) == held


@settings(deadline=None)
@given(scalars, attributes)
def test_a_value_is_accepted_refused_or_not_given(value: Scalar, attribute: Attribute) -> None:
    judged = judge({attribute.name: value}, [attribute])

    was_given = not (isinstance(value, str) and not value.strip())
    assert bool(judged.accepted or judged.refused) == was_given


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(scalars, attributes)
def test_what_was_accepted_is_accepted_again_as_it_is(value: Scalar, attribute: Attribute) -> None:
    once = judge({attribute.name: value}, [attribute])
    assume(once.accepted)

    assert judge(once.accepted, [attribute]) == once


@settings(deadline=None)
@given(st.dictionaries(st.text(), scalars), st.lists(attributes, unique_by=lambda a: a.name))
def test_names_that_nobody_wants_are_not_looked_at(
    values: dict[str, Scalar], wanted: list[Attribute]
) -> None:
    judged = judge(values, wanted)

    names = {attribute.name for attribute in wanted}
    assert set(judged.accepted) | set(judged.refused) <= names & values.keys()
    required = {attribute.name for attribute in wanted if attribute.required}
    assert {a.name for a in missing(judged.accepted, wanted)} == required - judged.accepted.keys()


@pytest.mark.parametrize("digits", [20, 5000, 100_000])
def test_a_number_that_is_too_long_is_refused_and_never_written_out(digits: int) -> None:
    wanted = [Attribute(name="age", type="int64"), Attribute(name="city", max_length=10**6)]

    judged = judge({"age": 10**digits, "city": 10**digits}, wanted)

    assert judged.refused == ("age", "city")


def test_an_expression_never_sees_a_long_text() -> None:
    anything = Attribute(name="city", regex=".*", max_length=10**6)

    assert judge({"city": "a" * MAX_REGEX_INPUT}, [anything]).accepted
    assert judge({"city": "a" * MAX_REGEX_INPUT + "a"}, [anything]).refused == ("city",)


# Expressions that would take a backtracking matcher for ever, and texts that would make it try.
SLOW = {
    "(a+)+$": "a" * 1023 + "!",
    "(a|a)*$": "a" * 1023 + "!",
    "(a|aa)+$": "a" * 1023 + "!",
    "(.*a){20}$": "a" * 1023 + "!",
    r"^(\w+\s?)*$": "lorem " * 170 + "!",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$": "a" * 1024,
    "(?:(?:a?){30}){16}" + "a" * 480: "a" * 479,
    "(.*)" * 128: "a" * 1023 + "\t",
}


@pytest.mark.parametrize("regex", SLOW)
@pytest.mark.proves("AVL-06")
def test_no_expression_and_no_text_stall_the_process(regex: str) -> None:
    attribute = Attribute(name="city", regex=regex, max_length=10**6)
    assert why_unreadable(regex) is None
    began = time.perf_counter()

    for _ in range(3):
        judge({"city": SLOW[regex]}, [attribute])

    assert time.perf_counter() - began < 3, "it would be years"


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        ("(?=a)a", "invalid perl operator: (?="),
        ("(?<!a)b", "invalid perl operator: (?<!"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("[", "missing ]: ["),
        ("a{2000}", "invalid repetition size: {2000}"),
        ("(?:(?:(?:a{9}){9}){9}){9}", "invalid repetition size: {9}"),
        ("x" * 513, "a regular expression has at most 512 characters"),
        ("\ud800", "a regular expression is well-formed Unicode"),
    ],
)
@pytest.mark.proves("AVL-06")
def test_an_expression_that_cannot_be_matched_so_is_named_and_lets_nothing_through(
    regex: str, why: str
) -> None:
    attribute = Attribute(name="city", regex=regex)

    assert why_unreadable(regex) == why
    assert judge({"city": "a"}, [attribute]).refused == ("city",)


@pytest.mark.parametrize("regex", ["^[0-9]{6}$", "[0-9]{6}", r"^\d{6}$", r"\A\d+\z"])
def test_an_expression_is_for_the_whole_text(regex: str) -> None:
    number = Attribute(name="loyaltyNumber", regex=regex)

    for text in ("12345", "1234567", "123456\n", " 123456", "x123456"):
        if not (regex.endswith("z") and text in ("12345", "1234567")):
            assert judge({"loyaltyNumber": text}, [number]).refused == ("loyaltyNumber",), text
    assert judge({"loyaltyNumber": "123456"}, [number]).accepted == {"loyaltyNumber": "123456"}


# Options. -------------------------------------------------------------------------------------------

ONE = Attribute(name="size", options=("Small", "Large", "Extra large"))
SEVERAL = Attribute(name="size", options=("Small", "Large", "Extra large"), several=True)


@pytest.mark.parametrize("given", ["Small", " Small ", "Extra large"])
def test_one_of_the_options_is_accepted(given: str) -> None:
    assert judge({"size": given}, [ONE]).accepted == {"size": given.strip()}


@pytest.mark.parametrize(
    "given", ["small", "Small,Large", "Medium", "Extra", "Small,", ",", "Small Large", True, 1]
)
def test_anything_but_one_of_the_options_is_refused(given: Scalar) -> None:
    assert judge({"size": given}, [ONE]).refused == ("size",)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Large", "Large"),
        ("Large,Small", "Small,Large"),
        ("Small , Extra large", "Small,Extra large"),
        (" Large ,Large,Large ", "Large"),
        ("Extra large,Large,Small", "Small,Large,Extra large"),
    ],
)
def test_several_options_are_kept_in_their_order_and_each_once(given: str, kept: str) -> None:
    assert judge({"size": given}, [SEVERAL]).accepted == {"size": kept}
    assert judge({"size": kept}, [SEVERAL]).accepted == {"size": kept}


@pytest.mark.parametrize(
    "given", ["Medium", "Small,Medium", "Small,", ",Small", "Small,,Large", "Small;Large", ","]
)
def test_anything_that_is_not_several_options_is_refused(given: str) -> None:
    assert judge({"size": given}, [SEVERAL]).refused == ("size",)


def test_how_long_a_text_may_be_bounds_no_choice() -> None:
    many = Attribute(
        name="size", options=tuple(f"option {n}" for n in range(100)), several=True, max_length=10
    )
    everything = ",".join(many.options)

    assert judge({"size": everything}, [many]).accepted == {"size": everything}
    assert judge({"size": ",".join(many.options * 10)}, [many]).refused == ("size",), "but not for ever"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.one_of(json_values.map(json.dumps), st.text(), st.text(st.characters(categories=["Cs"]))))
def test_whatever_stands_in_the_field_is_read_as_scalars_or_not_at_all(text: str) -> None:
    found = reading.attributes(text)

    assert found is None or all(isinstance(value, str | int | bool) for value in found.values())
