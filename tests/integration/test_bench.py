"""The benches in their short form: that they measure what they say, not how fast it is."""

import pytest

from bench import anonymize, engine, main, peers, reshape, route
from factory import ct_series, multi_frame
from integration.servers import engine_name, external_url, releases
from planting import planted

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


def test_the_profile_is_measured_against_pydicom():
    rows = engine.measure_profile(1)
    assert [row["elements"] for row in rows] == [40, 100, 200]
    assert all(row["series ms"] > 0 and row["patients ms"] > 0 for row in rows)
    assert "ratio" in engine.profile_table(rows)


def test_nothing_survives_curator_and_something_the_others(release):
    if external_url() or engine_name() != "rootfs":
        pytest.skip("the benches start servers of their own, in root file systems")
    files = [planted(content, seed) for seed, content in enumerate([*ct_series(1), multi_frame()])]
    measured = peers.measure(release, 1, files)
    tools = measured["tools"]
    assert tools.keys() == {"Curator", "dicognito", "dicom-anonymizer", "stock Orthanc"}
    assert all(row["files"] == len(files) for row in tools.values())
    assert tools["Curator"]["survivors"] == {}
    assert all(row["survivors"] for name, row in tools.items() if name != "Curator")
    assert all(row["ms"] > 0 and name in peers.table(measured) for name, row in tools.items())


def test_routing_is_measured_against_lua_and_c_store():
    if external_url() or engine_name() != "rootfs":
        pytest.skip("the benches start servers of their own, in root file systems")
    sizes = route.Sizes(instances=4, rounds=1, clients=2, queued=10, seconds=0.1)
    measured = route.measure(releases()[-1], sizes)
    parts = [measured[name] for name in ("delivery", "upload", "isolation")]
    assert all(rate > 0 for part in parts for rate in part["per second"].values())
    assert measured["delivery"]["ratio to Lua"]["Lua, SendToModality"] == 1
    assert measured["delivery"]["ratio to C-STORE"]["one batch C-STORE"] == 1
    assert measured["idle"]["deliveries"] == 10
    assert measured["decide"]["ms"] > 0
    assert all(way in route.table(measured) for part in parts for way in part["per second"])
