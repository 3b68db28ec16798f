"""
Compare and hash passwords off the loop: a few threads of low priority and a bounded queue.

Knows nothing of flows; what is right is `factors.password`'s to say. Source: AVL-04, PWD-09.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from genkan import metrics
from genkan.engine.messages import Checked, Hashed, NeedCheck
from genkan.factors import password
from genkan.model import Reason, Secret, Tenant
from genkan.service.ports import Leaks

T = TypeVar("T")

QUEUE_PER_WORKER = 32
"""About a second of waiting: past it a request is turned away with 503 and asked to come back."""

NICE = 10
"""Password work yields the processor to every cheap request."""


class Hashing:
    """The pool of password work."""

    def __init__(self, workers: int = 0, processes: int = 1) -> None:
        """`workers` 0: as many as there are processors for each of so many processes."""
        count = workers or max(1, (os.cpu_count() or 1) // processes)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="hashing", initializer=_step_back)
        self._limit = count * QUEUE_PER_WORKER
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """The queue is longer than anybody should wait for."""
        return self._waiting >= self._limit

    async def check(self, need: NeedCheck) -> Checked:
        """The verdict on a password, bound to the revision it was compared with. No password costs as much."""
        return await self._do(lambda: _check(need))

    async def hash_new(
        self, new: Secret, words: tuple[str, ...], tenant: Tenant, earlier: tuple[Secret, ...] = ()
    ) -> Hashed:
        """The new password judged by the tenant's rules and against earlier ones and, if acceptable, hashed."""
        return await self._do(lambda: _hash_new(new, words, tenant, earlier))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()

        def begin() -> T:
            metrics.HASHING_WAIT.observe(time.perf_counter() - began)
            return work()

        self._waiting += 1
        metrics.HASHING_WAITING.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, begin)
        finally:
            self._waiting -= 1
            metrics.HASHING_WAITING.dec()


def _check(need: NeedCheck) -> Checked:
    authenticator = need.authenticator
    material = authenticator.material if authenticator else None
    right = password.verify(material, need.text.text, like=need.like, beside=need.beside)
    rehashed = None
    if right and material is not None and password.needs_rehash(material):
        rehashed = password.hash_new(need.text.text, secrets.token_bytes(16))
    return Checked(
        authenticator=authenticator.id if authenticator else None,
        revision=authenticator.revision if authenticator else 0,
        right=right,
        spent=need.spent,
        rehashed=rehashed,
    )


def _hash_new(new: Secret, words: tuple[str, ...], tenant: Tenant, earlier: tuple[Secret, ...]) -> Hashed:
    refused = password.judge(
        new.text,
        words=(*words, tenant.name, "genkan"),
        min_length=tenant.password_min_length,
        min_strength=tenant.password_min_strength,
    )
    if refused is not None:
        return Hashed(refused=refused, material=None)
    if any(password.verify(material, new.text) for material in earlier):
        return Hashed(refused=Reason.PASSWORD_RECENTLY_USED, material=None)
    return Hashed(refused=None, material=password.hash_new(new.text, secrets.token_bytes(16)))


def _step_back() -> None:
    """Lower this thread's priority where the system can (on Linux priorities are per thread)."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


async def judged(
    hashing: Hashing,
    leaks: Leaks | None,
    new: Secret,
    words: tuple[str, ...],
    tenant: Tenant,
    earlier: tuple[Secret, ...] = (),
) -> Hashed:
    """Judge and hash; a password that is known from a leak is banned like the well-known ones (PWD-04, PWD-08)."""
    hashed = await hashing.hash_new(new, words, tenant, earlier)
    if hashed.refused is None and leaks is not None and await leaks.knows(new):
        return Hashed(refused=Reason.PASSWORD_BANNED, material=None)
    return hashed
