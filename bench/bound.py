"""
The least that a sign-in costs here: a bare server that does what no server can leave out, and nothing else.

Six requests over the same HTTP server, a durable commit for each that changes something (by the store's own batches),
codes drawn and compared by an HMAC, a password checked, two signatures. No policy, no limit, no log, no message, and
everything of the wire left out. What Genkan reaches of it is told beside its figures by `bench/flows.py`.

    python -m bench.bound --folder FOLDER --algorithm RS256
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import secrets
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import uvicorn

from genkan.factors import password
from genkan.store.sqlite import _connect
from genkan.store.wal import WalBatches
from genkan.tokens.keys import SigningKey

PASSWORD = "five calm lanterns by the river"
CLAIMS = b"x" * 700
"""About as long as the claims of one of our tokens."""

_KEY = os.urandom(32)
_encode = msgspec.json.Encoder().encode


class Bound:
    """The application."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self._key = key
        self._path = folder / "bound.db"
        with sqlite3.connect(self._path) as made:
            made.execute("CREATE TABLE flow (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB)")
        made.close()
        self._batches = WalBatches(self._connect, began=lambda: None, committed=lambda: None)
        self._material = password.hash_new(PASSWORD, os.urandom(16))
        self._hashing = ThreadPoolExecutor(max_workers=2)

    def _connect(self) -> sqlite3.Connection:
        return _connect(self._path)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        form = parse_qs((await receive())["body"].decode())
        answer = await getattr(self, scope["path"].rpartition("/")[2])(**{k: v[0] for k, v in form.items()})
        body = _encode(answer)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def begin(self) -> dict[str, str]:
        flow = secrets.token_hex(16)
        await self._write("INSERT INTO flow (id, version, body) VALUES (?, 1, ?)", flow, b"{}")
        return {"flow": flow}

    async def send(self, flow: str) -> dict[str, str]:
        code = f"{secrets.randbelow(10**8):08}"
        await self._update(flow, hmac.digest(_KEY, (flow + code).encode(), "sha256"))
        return {"flow": flow, "code": code}

    async def look(self, flow: str) -> dict[str, str]:
        row = self._batches.writer.execute("SELECT version FROM flow WHERE id = ?", (flow,)).fetchone()
        return {"flow": flow, "version": str(row[0])}

    async def prove(self, flow: str, code: str) -> dict[str, str]:
        await self._compare(flow, code)
        return {"flow": flow}

    async def password(self, flow: str) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(self._hashing, password.verify, self._material, PASSWORD)
        await self._update(flow, b"")
        return {"flow": flow}

    async def tokens(self, flow: str, code: str) -> dict[str, str]:
        await self._compare(flow, code)
        return {name: self._key.sign(CLAIMS).hex() for name in ("id_token", "access_token")}

    async def _compare(self, flow: str, code: str) -> None:
        (kept,) = self._batches.writer.execute("SELECT body FROM flow WHERE id = ?", (flow,)).fetchone()
        assert hmac.compare_digest(kept, hmac.digest(_KEY, (flow + code).encode(), "sha256"))
        await self._update(flow, b"")

    async def _update(self, flow: str, body: bytes) -> None:
        await self._write("UPDATE flow SET version = version + 1, body = ? WHERE id = ?", body, flow)

    async def _write(self, text: str, *row: Any) -> None:
        await self._batches.submit(lambda: self._batches.writer.execute(text, row).rowcount)


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"base_url": f"http://127.0.0.1:{port}"}), flush=True)


async def serve(folder: Path, algorithm: Any) -> None:
    now = datetime.now(UTC)
    key = SigningKey.generate(algorithm, created_at=now, activates_at=now)
    config = uvicorn.Config(Bound(folder, key), port=0, log_level="error", access_log=False, lifespan="off")
    await _Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--algorithm", choices=["RS256", "ES256"], default="RS256")
    given = parser.parse_args()
    asyncio.run(serve(given.folder, given.algorithm))
