"""A server for each module of the wire tests: a real process, and a tenant in this process that tests may change."""

from collections.abc import Iterator

import pytest

from tests.wire.servers import StrictServer, World, in_process, real_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictServer]:
    """A `genkan dev` process; tests keep apart by their addresses and numbers."""
    with real_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same application with a tenant that a test may change."""
    with in_process(tmp_path_factory.mktemp("world") / "data") as running:
        yield running
