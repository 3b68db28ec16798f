"""
A process that writes steps until it is killed, and says on its output what has been acknowledged.

Each writer has a flow of its own. A step counts one failure in it and, in the same step, writes an audit row and a
message, so that afterwards all three must agree.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from genkan.engine.messages import Deliver
from genkan.engine.transaction import Change, Loaded, Needs
from tests.store.worlds import SqlitePlace, a_flow, a_message, a_record

WRITERS = 32


def one_more(loaded: Loaded) -> tuple[Change, int]:
    assert loaded.flow is not None
    flow = replace(loaded.flow, failures=loaded.flow.failures + 1)
    message = a_message(to=flow.correlation_id, now=loaded.now)
    return Change(
        flow=flow, effects=(a_record(correlation_id=flow.correlation_id), Deliver(message))
    ), flow.failures


async def main(folder: Path) -> None:
    store = SqlitePlace(folder).open(lambda: datetime.now(UTC))

    async def write(number: int) -> None:
        flow = replace(a_flow(), id=number.to_bytes(16), correlation_id=f"writer {number}")
        if (await store.read(Needs(flow=flow.id))).flow is None:
            await store.run(Needs(), lambda _: (Change(flow=flow), None))
        while True:
            acknowledged = await store.run(Needs(flow=flow.id), one_more)
            sys.stdout.write(f"{number} {acknowledged}\n")
            sys.stdout.flush()

    await asyncio.gather(*[write(number) for number in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
