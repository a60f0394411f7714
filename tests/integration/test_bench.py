"""The benches in their short form: that they measure what they say, not how fast it is."""

import pytest

from bench import anonymize, dry, engine, measuring, memory, peers, pixels, reshape, route, stock
from factory import ct_series, multi_frame
from integration.servers import engine_name, external_url, releases
from planting import planted

own_servers = pytest.mark.skipif(
    bool(external_url()) or engine_name() != "rootfs",
    reason="the benches start servers of their own, in root file systems",
)


@pytest.fixture(scope="module")
def running(release):
    """The servers that take turns."""
    with measuring.servers(release, threads=2) as servers:
        yield servers


@own_servers
def test_every_way_is_measured_against_the_built_in_one_and_the_limit(running):
    benches = [*reshape.benches(2), *anonymize.benches(2), *pixels.benches(2, running["stock"])]
    for bench in benches:
        measured = measuring.measure(bench, running, instances=3, rounds=1)
        rates, ratios = measured["per second"], measured["ratio to built-in"]
        built_in, *others = bench.ways
        assert built_in.startswith("built-in")
        assert list(rates) == [built_in, *others]
        assert all(rate > 0 for rate in rates.values())
        assert ratios == {way: rate / rates[built_in] for way, rate in rates.items()}
        lower = min(2 * rates[built_in], 0.9 * rates[measuring.LIMIT])
        assert measured["met"] == {way: rates[way] >= lower for way in bench.held}
        assert all(way in measuring.table(measured) for way in rates)


def test_the_bars_are_for_split_merge_and_anonymize():
    held = {bench.name for bench in (*reshape.benches(2), *anonymize.benches(2)) if bench.held}
    assert held == {"split", "merge", "anonymize", "bulk", "bulk-small"}


@own_servers
def test_dry_runs_are_measured_against_the_built_in_operations(running):
    measured = dry.measure(running, 4)
    ratios, seconds = measured["ratio to built-in"], measured["seconds"]
    assert ratios.keys() == {f"{name}, dry run" for name in ("split", "merge", "anonymize")}
    assert all(seconds[f"built-in {name.removesuffix(', dry run')}"] > 0 for name in ratios)
    assert seconds[dry.READING] > 0
    assert all(name in dry.table(measured) for name in seconds)


@own_servers
def test_memory_is_looked_at_step_by_step(running):
    measured = memory.measure(running["curator"], 2)
    (step,) = measured["steps"]
    assert all(step[name] > 0 for name in ("resident MB", "threads", "files"))
    assert f"{step['resident MB']:.0f}" in memory.table(measured)


@own_servers
def test_the_stock_server_is_measured_without_and_with_the_plugin(release):
    measured = stock.measure(release, instances=3, rounds=1, clients=2)
    tasks = measured["tasks"]
    assert {name for name, row in tasks.items() if row["met"] is None} == {"GET /jobs?expand"}
    assert all(row["stock"] > 0 and row["curator"] > 0 for row in tasks.values())
    assert all(row["met"] in (None, row["ratio"] >= stock.BAR) for row in tasks.values())
    assert all(name in stock.table(measured) for name in tasks)


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


@own_servers
def test_nothing_survives_curator_and_something_the_others(release):
    files = [planted(content, seed) for seed, content in enumerate([*ct_series(1), multi_frame()])]
    measured = peers.measure(release, 1, files)
    tools = measured["tools"]
    assert tools.keys() == {"Curator", "dicognito", "dicom-anonymizer", "stock Orthanc"}
    assert all(row["files"] == len(files) for row in tools.values())
    assert tools["Curator"]["survivors"] == {}
    assert all(row["survivors"] for name, row in tools.items() if name != "Curator")
    assert all(row["ms"] > 0 and name in peers.table(measured) for name, row in tools.items())


@own_servers
def test_routing_is_measured_against_lua_and_c_store():
    sizes = route.Sizes(instances=4, rounds=1, clients=2, queued=10, seconds=0.1)
    measured = route.measure(releases()[-1], sizes)
    parts = [measured[name] for name in ("delivery", "upload", "isolation")]
    assert all(rate > 0 for part in parts for rate in part["per second"].values())
    assert measured["delivery"]["ratio to Lua"]["Lua, SendToModality"] == 1
    assert measured["delivery"]["ratio to C-STORE"]["one batch C-STORE"] == 1
    assert measured["idle"]["deliveries"] == 10
    assert measured["decide"]["ms"] > 0
    assert all(way in route.table(measured) for part in parts for way in part["per second"])
