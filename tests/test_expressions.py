"""Our own regular expressions: none of them can be made to search for long (AVL-06)."""

from __future__ import annotations

import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from typing import Any

import pytest

import genkan

WHOLE_REQUEST = 64 * 1024
SEARCHES = {"genkan.delivery.messages._LINK": 1_280}
"""Expressions that search in a text which is cut before: what may be left of it, in characters."""
SAID = "aZ0.-_@+ =%é\u00a0"
"""What expressions repeat, and what stands between."""


def expressions() -> Iterator[tuple[str, Callable[[Any], object]]]:
    """How each expression that some module keeps is used; those for bytes by the name `… bytes`."""
    for module in pkgutil.walk_packages(genkan.__path__, "genkan."):
        if module.name != "genkan.__main__":
            for name, value in vars(import_module(module.name)).items():
                full, pattern = f"{module.name}.{name}", getattr(value, "__self__", value)
                if isinstance(pattern, re.Pattern):
                    kept = pattern.search if full in SEARCHES else pattern.fullmatch
                    yield (
                        full + " bytes" * isinstance(pattern.pattern, bytes),
                        kept if value is pattern else value,
                    )


EXPRESSIONS = dict(expressions())


def test_they_are_found() -> None:
    assert {"genkan.identifiers._plain", "genkan.tokens.grants._TOKEN", *SEARCHES} < EXPRESSIONS.keys()


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.proves("AVL-06")
def test_no_text_takes_one_of_them_long(name: str) -> None:
    length = SEARCHES.get(name, WHOLE_REQUEST)

    for word in map("".join, product(SAID, repeat=2)):
        for text in (word * (length // 2), word * (length // 2) + "\n"):
            began = time.thread_time()
            EXPRESSIONS[name](text.encode() if name.endswith(" bytes") else text)
            assert time.thread_time() - began < 1, word
