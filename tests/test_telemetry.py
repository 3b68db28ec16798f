"""Log lines: one JSON object each, whatever stands in them."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from genkan.telemetry import JsonLines

EVIL = 'x\r\n{"event":"forged"}\x1b[2K\x00\x7f\x9b31m\u2028\u202e'


def line(**fields: object) -> str:
    record = logging.makeLogRecord({"msg": fields.pop("event", "an.event"), "levelname": "INFO", **fields})
    return JsonLines().format(record)


@pytest.mark.proves("LOG-06")
@pytest.mark.parametrize("field", ["event", "path", "correlation_id", "nested"])
def test_nothing_in_a_field_can_break_a_line_or_move_a_cursor(field: str) -> None:
    written = line(**{field: {"deep": [EVIL]} if field == "nested" else EVIL})

    assert written.isprintable()
    decoded = json.loads(written)
    assert decoded[field] == ({"deep": [EVIL]} if field == "nested" else EVIL)
    assert field == "event" or decoded["event"] == "an.event"


def test_a_fault_is_one_line_too() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        written = line(exc_info=sys.exc_info())

    assert written.isprintable()
    assert "ValueError" in json.loads(written)["fault"]
