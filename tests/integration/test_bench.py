"""The benches in their short form: that they measure what they say, not how fast it is."""

import pytest

from bench import anonymize, engine, main, reshape
from integration.servers import engine_name, external_url

BENCHES = [*reshape.benches(2), *anonymize.benches(2)]


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.name)
def test_every_way_is_measured_against_the_built_in_one(release, bench):
    if external_url() or engine_name() != "rootfs":
        pytest.skip("the benches start servers of their own, in root file systems")
    measured = reshape.measure(bench, release, instances=4, rounds=1, threads=2)
    assert measured["per second"].keys() == bench.ways.keys()
    assert all(rate > 0 for rate in measured["per second"].values())
    assert measured["ratio to built-in"][f"built-in {bench.name}"] == 1
    assert all(way in main.table(measured) for way in bench.ways)


def test_the_engine_is_measured_against_pydicom():
    rows = engine.measure(1)
    assert [row["elements"] for row in rows] == [40, 100, 200]
    assert all(row["engine ms"] > 0 and row["pydicom ms"] > 0 for row in rows)
    assert "ratio" in engine.table(rows)
