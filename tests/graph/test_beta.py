"""The tests of users, groups, applications and policies once more, at the base URL that ends in `/beta`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.graph import test_applications, test_policies, test_users
from tests.graph.sdk import Office, running_office

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("beta")]

Proof = Callable[[Office], Awaitable[None]]

SUITE: tuple[Proof, ...] = tuple(
    proof
    for module in (test_applications, test_users, test_policies)
    for name, proof in vars(module).items()
    if name.startswith("test_")
    and inspect.iscoroutinefunction(proof)
    and list(inspect.signature(proof).parameters) == ["office"]
)
"""Every test by the SDK that takes nothing but the process; those first that rely on its clock being the machine's."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with running_office(tmp_path_factory.mktemp("beta") / "data") as running:
        running.version = "beta"
        yield running


@pytest.mark.proves("GR-123")
@pytest.mark.parametrize("proof", SUITE, ids=lambda proof: proof.__name__)
async def test_it_is_so_on_beta_too(office: Office, proof: Proof) -> None:
    await proof(office)


def test_the_suite_is_not_empty() -> None:
    assert len(SUITE) > 25
