"""
OData as far as Graph's clients use it: the query options, and the grammar of `$filter`, read into values.

Knows which words there are, and of a list only which properties it has and of what kind. What is not read here is
refused and never ignored: a filter that is passed over shows more than was asked for.
Source: admin-graph-api 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from msgspec import Struct, field

from genkan.engine.queries import All, Filter, Not, Order, Some, Term, Value
from genkan.wire.graph.answers import Fault

OPTIONS = frozenset(
    {"$select", "$filter", "$top", "$skip", "$count", "$orderby", "$search", "$expand", "$skiptoken"}
)
LONGEST_FILTER, MOST_TERMS, DEEPEST = 8192, 100, 20

PropertyKind = Literal["text", "bool", "number", "time", "texts"]
"""`texts` is a list of texts, which only `any` looks into."""

Properties = Mapping[str, PropertyKind]


class Options(Struct, frozen=True, kw_only=True):
    """What a request asks of a list or of an object."""

    select: tuple[str, ...] = ()
    filter: str = ""
    top: int | None = None
    skip: int = 0
    count: bool = False
    order: str = ""
    search: str = ""
    expand: tuple[str, ...] = ()
    skip_token: str = ""
    eventual: bool = False
    """The header `ConsistencyLevel: eventual`."""
    raw: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    """All of them but the token, as they came, for the link to the next page."""


def options(query: str, headers: Mapping[str, str]) -> Options:
    """
    Return the query options of a request.

    Raises: `Fault` for an option that is unknown, given twice, or no option of its kind.
    """
    given: dict[str, str] = {}
    for name, value in _pairs(query):
        known = name if name.startswith("$") else ""
        if not known:
            continue  # Graph passes over parameters of its clients' own.
        if known not in OPTIONS:
            raise unsupported(f"The query option {known[:40]} is not supported.")
        if known in given:
            raise unsupported(f"The query option {known} is given twice.")
        given[known] = value
    return Options(
        select=_names(given.get("$select", "")),
        filter=given.get("$filter", ""),
        top=_number(given["$top"], "$top") if "$top" in given else None,
        skip=_number(given["$skip"], "$skip") if "$skip" in given else 0,
        count=_boolean(given.get("$count", "false")),
        order=given.get("$orderby", ""),
        search=given.get("$search", ""),
        expand=_names(given.get("$expand", "")),
        skip_token=given.get("$skiptoken", ""),
        eventual=headers.get("consistencylevel", "").strip().lower() == "eventual",
        raw=tuple((name, value) for name, value in given.items() if name != "$skiptoken"),
    )


def unsupported(text: str) -> Fault:
    """A query that this list does not take."""
    return Fault(400, "Request_UnsupportedQuery", text)


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=40, errors="strict")
    except ValueError:
        raise unsupported("The query cannot be read.") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise unsupported(f"{name} is a number.")
    return int(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise unsupported("$count is true or false.")
    return text.lower() == "true"


def order(text: str, properties: Properties, orderable: frozenset[str]) -> Order | None:
    """
    Return what `$orderby` asks for; None for the list's own order.

    Raises: `Fault`.
    """
    if not text.strip():
        return None
    match text.split():
        case [name]:
            descending = False
        case [name, direction] if direction.lower() in ("asc", "desc"):
            descending = direction.lower() == "desc"
        case _:
            raise unsupported("$orderby names one property, and asc or desc.")
    known = _property(name, properties)
    if known not in orderable:
        raise unsupported(f"Sorting by {name[:40]} is not supported.")
    return Order(known, descending)


def search(text: str) -> Filter:
    """
    Return what `$search` looks for: `"displayName:text"`.

    Raises: `Fault`.
    """
    match = re.fullmatch(r'\s*"displayName:([^"]{1,120})"\s*', text)
    if match is None:
        raise unsupported('$search is "displayName:text".')
    return Term("displayName", "has_word", match[1].strip())


# Filters. -----------------------------------------------------------------------------------------------------------

Lambda = Callable[[str, "tuple[tuple[str, str, Value], ...]"], Filter]
"""Makes a filter of `list/any(x:x/a eq 'v' and …)`: the list, and (member, operator, value) of each comparison."""


class Read(NamedTuple):
    """A filter, and what is in it that wants the advanced parameters."""

    filter: Filter
    advanced: bool


class _Token(NamedTuple):
    kind: Literal["word", "text", "number", "time", "mark", "end"]
    text: str


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?(?:Z|[+-]\d\d:\d\d))?)(?![\w-])
      | (?P<guid>[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})
      | (?P<number>-?\d{1,18})(?![\w.])
      | (?P<word>[A-Za-z_][\w./-]*)
      | (?P<mark>[(),:])
    )""",
    re.VERBOSE,
)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise unsupported("The filter cannot be read.")
        found = match[match.lastgroup]
        at = match.end()
        match match.lastgroup:
            case "text":
                yield _Token("text", found[1:-1].replace("''", "'"))
            case "guid":
                yield _Token("text", found)
            case "time":
                yield _Token("time", found)
            case "number":
                yield _Token("number", found)
            case "mark":
                yield _Token("mark", found)
            case _:
                yield _Token("word", found)
    yield _Token("end", "")


def read_filter(text: str, properties: Properties, look_into: Lambda | None = None) -> Read:
    """
    Return a filter over these properties.

    Raises: `Fault` for what the grammar has not, a property that is not among them, or a value of another kind.
    """
    if len(text) > LONGEST_FILTER:
        raise unsupported("The filter is too long.")
    reader = _Reader(tuple(_tokens(text)), properties, look_into)
    found = reader.disjunction(0)
    reader.expect("end", "")
    return Read(found, reader.advanced)


class _Reader:
    """Reads by descent: `or`, then `and`, then `not`, then one comparison."""

    def __init__(self, tokens: tuple[_Token, ...], properties: Properties, look_into: Lambda | None) -> None:
        self._tokens = tokens
        self._at = 0
        self._properties = properties
        self._look_into = look_into
        self._terms = 0
        self.advanced = False

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _is(self, word: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() == word

    def expect(self, kind: str, text: str) -> None:
        """Take this token, or fail."""
        token = self._take()
        if (token.kind, token.text) != (kind, text):
            raise unsupported(f"The filter cannot be read near {token.text[:40] or 'its end'}.")

    def disjunction(self, depth: int) -> Filter:
        """Read what is joined by `or`."""
        terms = [self._conjunction(depth)]
        while self._is("or"):
            self._take()
            terms.append(self._conjunction(depth))
        return terms[0] if len(terms) == 1 else Some(tuple(terms))

    def _conjunction(self, depth: int) -> Filter:
        terms = [self._negation(depth)]
        while self._is("and"):
            self._take()
            terms.append(self._negation(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _negation(self, depth: int) -> Filter:
        self._terms += 1
        if depth > DEEPEST or self._terms > MOST_TERMS:
            raise unsupported("The filter is too complex.")
        if self._is("not"):
            self._take()
            self.advanced = True
            return Not(self._negation(depth + 1))
        if self._next == _Token("mark", "("):
            self._take()
            found = self.disjunction(depth + 1)
            self.expect("mark", ")")
            return found
        return self._comparison()

    def _comparison(self) -> Filter:
        token = self._take()
        if token.kind != "word":
            raise unsupported(f"The filter cannot be read near {token.text[:40] or 'its end'}.")
        word = token.text
        if self._next == _Token("mark", "("):
            if word.lower() in ("startswith", "endswith"):
                return self._function(word.lower())
            if word.lower().endswith("/any"):
                return self._any(word[: -len("/any")])
            raise unsupported(f"{word[:40]} is not supported in a filter.")
        name = _property(word, self._properties)
        operator = self._take().text.lower()
        if operator == "in":
            self.expect("mark", "(")
            values = [self._value(name)]
            while self._next == _Token("mark", ","):
                self._take()
                values.append(self._value(name))
            self.expect("mark", ")")
            return Term(name, "in", tuple(values))
        return self._compared(name, operator, self._value(name))

    def _compared(self, name: str, operator: str, value: Value) -> Filter:
        kind = self._properties.get(name, "text")
        if operator == "ne":
            self.advanced = True
            return Not(Term(name, "eq", value))
        if operator == "eq":
            return Term(name, "eq", value)
        if operator in ("ge", "le", "gt", "lt") and kind in ("time", "number"):
            return Term(name, operator, value)  # type: ignore[arg-type]
        raise unsupported(f"The operator {operator[:20]} is not supported for {name}.")

    def _function(self, word: str) -> Filter:
        self.expect("mark", "(")
        name = _property(self._take().text, self._properties)
        self.expect("mark", ",")
        token = self._take()
        self.expect("mark", ")")
        if token.kind != "text" or self._properties.get(name, "text") != "text":
            raise unsupported(f"{word} takes a property that is a text, and a text.")
        if word == "endswith":
            self.advanced = True
            return Term(name, "endswith", token.text)
        return Term(name, "startswith", token.text)

    def _any(self, name: str) -> Filter:
        """`list/any(x:x eq 'v')`, or `list/any(x:x/a eq 'v' and x/b eq 'w')`."""
        self.expect("mark", "(")
        variable = self._take().text
        self.expect("mark", ":")
        said: list[tuple[str, str, Value]] = []
        while True:
            path = self._take().text
            head, _, member = path.partition("/")
            if head != variable:
                raise unsupported("any looks at the members of its own variable.")
            operator = self._take().text.lower()
            if operator != "eq":
                raise unsupported("any takes eq only.")
            token = self._take()
            if token.kind != "text":
                raise unsupported("any compares with texts.")
            said.append((member, operator, token.text))
            if not self._is("and"):
                break
            self._take()
        self.expect("mark", ")")
        if self._look_into is not None:
            return self._look_into(name, tuple(said))
        return any_text(name, tuple(said), self._properties)

    def _value(self, name: str) -> Value:
        token = self._take()
        kind = self._properties.get(name, "text")
        value = _literal(token)
        if value is None and (token.kind, token.text.lower()) == ("word", "null"):
            return None
        wanted: dict[PropertyKind, type] = {"text": str, "bool": bool, "number": int, "time": datetime}
        if kind == "text" and token.kind in ("number", "time"):
            return token.text  # An id may look like one.
        if type(value) is not wanted.get(kind, str):
            raise unsupported(f"The value for {name} is of another kind.")
        return value


def any_text(name: str, said: tuple[tuple[str, str, Value], ...], properties: Properties) -> Filter:
    """Return the filter of `list/any(x:x eq 'v')` over a list of texts."""
    known = _property(name, properties)
    if properties[known] != "texts" or len(said) != 1 or said[0][0]:
        raise unsupported(f"This filter of {name[:40]} is not supported.")
    return Term(known, "eq", said[0][2])


def _literal(token: _Token) -> Value:
    match token.kind:
        case "text":
            return token.text
        case "number":
            return int(token.text)
        case "time":
            try:
                moment = datetime.fromisoformat(token.text)
            except ValueError:
                raise unsupported("This is no time.") from None
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        case "word" if token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        case _:
            return None


_EXTENSION = re.compile(r"extension_[0-9a-f]{32}_[A-Za-z0-9_]{1,64}", re.IGNORECASE)


def is_extension(name: str) -> bool:
    """Say whether this is how a custom attribute is called."""
    return _EXTENSION.fullmatch(name) is not None


def _property(name: str, properties: Properties) -> str:
    """Return the property of this name, in whatever case it is written."""
    lowered = name.lower()
    for known in properties:
        if known.lower() == lowered:
            return known
    if "extension_" in properties and is_extension(name):
        return name
    raise unsupported(f"Filtering or sorting by {name[:60]} is not supported.")
