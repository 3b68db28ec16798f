"""The processes and applications that the tests of this folder attack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.target import Inside, Outside, inside
from tests.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running `genkan dev`, one for each file of tests; its log stands beside its folder."""
    with running(tmp_path_factory.mktemp("server") / "data") as process:
        yield process


@pytest.fixture(scope="module")
def outside(server: Server) -> Outside:
    """The same as something to attack."""
    return Outside(server)


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """The application in this process, one for each test."""
    with inside(tmp_path_factory.mktemp("inside")) as application:
        yield application
