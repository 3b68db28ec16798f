"""What every test may rely on. Builders of subjects, clients and servers live beside the tests that use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.receivers import Receiver


@pytest.fixture
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, which is what the server runs on."""
    return "asyncio"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Somebody else's https server, for what this one calls."""
    from tests.receivers import receiving  # Most tests call nobody.

    with receiving(tmp_path_factory.mktemp("receiver")) as one:
        yield one


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Refuse an empty `proves`, and keep the browser tests on one worker: two browsers starve each other.

    pytest-xdist 3.8 puts a group into an attribute that pytest 9.2 does not read any more: here it is put where it is.
    """
    for item in items:
        for mark in item.iter_markers("proves"):
            if not mark.args or not all(isinstance(row, str) and row for row in mark.args):
                raise pytest.UsageError(
                    f"{item.nodeid}: proves() names at least one requirement, as a string"
                )
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
        group = item.get_closest_marker("xdist_group")
        if group is not None and config.getoption("loadgroup", default=False):
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")
