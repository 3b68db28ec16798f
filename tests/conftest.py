"""What every test may rely on. Builders of subjects, clients and servers live beside the tests that use them."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, which is what the server runs on."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse an empty `proves`, and keep the browser tests on one worker: two browsers starve each other."""
    for item in items:
        for mark in item.iter_markers("proves"):
            if not mark.args or not all(isinstance(row, str) and row for row in mark.args):
                raise pytest.UsageError(
                    f"{item.nodeid}: proves() names at least one requirement, as a string"
                )
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
