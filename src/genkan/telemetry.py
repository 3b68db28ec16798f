"""
One structured line per event, on standard error, without secrets.

Event names are dotted words; what goes with them are ids, counts and reasons, never an address, a proof or a handle
(LOG-01). Control characters cannot break a line: every line is JSON (LOG-06).
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import msgspec

log = logging.getLogger("genkan")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, event, what was given as `extra`, and the traceback of a fault."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["fault"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line, enc_hook=str).decode()
        return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    """JSON escapes the first 32 control characters; a terminal or an editor may obey others, too."""
    return character if character.isprintable() else json.dumps(character)[1:-1]


def configure(level: str) -> None:
    """Send every line of this level or above to standard error."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[out], force=True)
    # What the server says of itself in passing is no event of ours.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
