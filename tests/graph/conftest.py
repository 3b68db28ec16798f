"""One process for each module of these tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.graph.sdk import Office, running_office


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A `genkan dev --tls` process; tests keep apart by the names they make up."""
    with running_office(tmp_path_factory.mktemp("office") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
async def closing(anyio_backend: str, office: Office) -> AsyncIterator[None]:
    """Let no connection of a test outlive it."""
    yield
    await office.close_all()
