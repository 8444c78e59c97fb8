"""The benchmark of hot swaps, small, on real servers of its own: it changes the environments' settings."""

from collections.abc import Iterator

import pytest

from benchmarks import hot_swap
from tests.system import System


@pytest.fixture(scope="module")
def product() -> Iterator[System]:
    system = System()
    try:
        yield system.start()
    finally:
        system.stop()


@pytest.mark.parametrize("activation", hot_swap.ENVIRONMENTS)
async def test_every_deploy_comes_to_the_program_that_runs_it(product: System, activation: str):
    run = await hot_swap.measure(product.nats_url, activation, entities=10, swaps=20)

    assert len(run.latencies) == 20
    assert min(run.latencies) > 0
    environment = hot_swap.ENVIRONMENTS[activation]
    assert product.sql(
        "SELECT status, count(*) FROM deployments WHERE environment = %s GROUP BY status ORDER BY status",
        (environment,),
    ) == [("active", 10), ("inactive", 20)]
