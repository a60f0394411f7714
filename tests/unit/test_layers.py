"""The layers of DESIGN.md section 2, checked on the imports of every file of the plugin."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "plugin"

SDK_FILES = {"main"}
"""Modules that may import the SDK of Orthanc."""

PURE = (
    "curator.anonymize.anonymizer",
    "curator.anonymize.answers",
    "curator.anonymize.conformance",
    "curator.anonymize.dates",
    "curator.anonymize.decision",
    "curator.anonymize.deidentify",
    "curator.anonymize.deviations",
    "curator.anonymize.documents",
    "curator.anonymize.dummies",
    "curator.anonymize.errors",
    "curator.anonymize.fitting",
    "curator.anonymize.folding",
    "curator.anonymize.generalize",
    "curator.anonymize.graphics",
    "curator.anonymize.identifiers",
    "curator.anonymize.keys",
    "curator.anonymize.layouts",
    "curator.anonymize.lookalikes",
    "curator.anonymize.marks",
    "curator.anonymize.months",
    "curator.anonymize.names",
    "curator.anonymize.native",
    "curator.anonymize.needles",
    "curator.anonymize.notes",
    "curator.anonymize.pixels.cleaner",
    "curator.anonymize.pixels.devices",
    "curator.anonymize.pixels.expression",
    "curator.anonymize.pixels.geometry",
    "curator.anonymize.pixels.ink",
    "curator.anonymize.pixels.jpeg2000",
    "curator.anonymize.pixels.layout",
    "curator.anonymize.pixels.paint",
    "curator.anonymize.pixels.palette",
    "curator.anonymize.pixels.plan",
    "curator.anonymize.pixels.regions",
    "curator.anonymize.pixels.risk",
    "curator.anonymize.pixels.rle",
    "curator.anonymize.pixels.screen",
    "curator.anonymize.pixels.syntax",
    "curator.anonymize.placeholders",
    "curator.anonymize.profile",
    "curator.anonymize.protected",
    "curator.anonymize.pseudonyms",
    "curator.anonymize.report",
    "curator.anonymize.request",
    "curator.anonymize.residual",
    "curator.anonymize.resolve",
    "curator.anonymize.resolved_table",
    "curator.anonymize.result",
    "curator.anonymize.reversible",
    "curator.anonymize.rule_check",
    "curator.anonymize.selector",
    "curator.anonymize.shipped",
    "curator.anonymize.spellings",
    "curator.anonymize.standard",
    "curator.anonymize.steps",
    "curator.anonymize.structured",
    "curator.anonymize.subject",
    "curator.anonymize.text",
    "curator.anonymize.uids",
    "curator.anonymize.values",
    "curator.anonymize.vocabulary",
    "curator.anonymize.walk",
    "curator.conditions",
    "curator.dicom",
    "curator.errors",
    "curator.health.trouble",
    "curator.health.verdict",
    "curator.job_request",
    "curator.json_schema",
    "curator.level",
    "curator.models",
    "curator.notation",
    "curator.reshape.answers",
    "curator.reshape.consensus",
    "curator.reshape.criteria",
    "curator.reshape.delta",
    "curator.reshape.demographics",
    "curator.reshape.duplicates",
    "curator.reshape.edits",
    "curator.reshape.elements",
    "curator.reshape.find_duplicates_digest",
    "curator.reshape.follow",
    "curator.reshape.in_place",
    "curator.reshape.merge",
    "curator.reshape.merge_patients",
    "curator.reshape.merge_request",
    "curator.reshape.merge_series",
    "curator.reshape.modules",
    "curator.reshape.moving",
    "curator.reshape.naming",
    "curator.reshape.numbering",
    "curator.reshape.options",
    "curator.reshape.plan",
    "curator.reshape.repair",
    "curator.reshape.request",
    "curator.reshape.rewriting",
    "curator.reshape.sides",
    "curator.reshape.source",
    "curator.reshape.split",
    "curator.reshape.split_patient",
    "curator.reshape.stacking",
    "curator.reshape.values",
    "curator.route.breaker",
    "curator.route.completeness",
    "curator.route.condition",
    "curator.route.cursor",
    "curator.route.decide",
    "curator.route.delivery",
    "curator.route.destinations.abilities",
    "curator.route.destinations.classify",
    "curator.route.destinations.file_path",
    "curator.route.destinations.signature",
    "curator.route.events",
    "curator.route.explain",
    "curator.route.facts",
    "curator.route.kinds",
    "curator.route.lanes",
    "curator.route.modification",
    "curator.route.moments",
    "curator.route.patience",
    "curator.route.planning",
    "curator.route.problem",
    "curator.route.rate",
    "curator.route.receive_decision",
    "curator.route.receive_rule",
    "curator.route.retry",
    "curator.route.rule",
    "curator.route.rule_check",
    "curator.route.run",
    "curator.route.step",
    "curator.route.timetable",
    "curator.route.window",
    "curator.template",
    "curator.xml_answers",
)
"""Packages and modules that take values and return values."""

WITH_SIDE_EFFECTS = {
    "asyncio", "concurrent", "ctypes", "http", "importlib", "logging", "multiprocessing", "os",
    "queue", "random", "requests", "secrets", "select", "shutil", "signal", "socket",
    "socketserver", "sqlalchemy", "sqlite3", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib",
}  # fmt: skip
"""What pure modules may not import: files, network, clock, threads, chance, logging."""

SHELL = (
    "curator.access",
    "curator.anonymize.anonymizers",
    "curator.anonymize.catalog",
    "curator.anonymize.decoding",
    "curator.anonymize.definitions",
    "curator.anonymize.keyfile",
    "curator.anonymize.lookup_tables",
    "curator.anonymize.making",
    "curator.anonymize.mapping",
    "curator.anonymize.pixels.detect",
    "curator.anonymize.pixels.tables",
    "curator.anonymize.profile_store",
    "curator.anonymize.profiles_rest",
    "curator.anonymize.record",
    "curator.anonymize.reidentify",
    "curator.anonymize.rest",
    "curator.anonymize.selection",
    "curator.anonymize.sequential",
    "curator.anonymize.service",
    "curator.anonymize.setup",
    "curator.anonymize.storing",
    "curator.anonymize.tables",
    "curator.anonymize.task",
    "curator.anonymize.used_keys",
    "curator.config",
    "curator.definition_files",
    "curator.description",
    "curator.early_stop",
    "curator.explorer",
    "curator.gateway",
    "curator.health.bounded",
    "curator.health.monitor",
    "curator.jobs",
    "curator.jobs_rest",
    "curator.journal",
    "curator.openapi",
    "curator.openapi_rest",
    "curator.operations_rest",
    "curator.removing",
    "curator.reshape.apply",
    "curator.reshape.carry",
    "curator.reshape.files",
    "curator.reshape.find_duplicates",
    "curator.reshape.find_duplicates_rest",
    "curator.reshape.follower",
    "curator.reshape.operation",
    "curator.reshape.operations",
    "curator.reshape.overwrite",
    "curator.reshape.refresh",
    "curator.reshape.rest",
    "curator.reshape.sources",
    "curator.reshape.undo",
    "curator.route.alerts",
    "curator.route.arrivals",
    "curator.route.attempt",
    "curator.route.batches",
    "curator.route.change_log",
    "curator.route.courier",
    "curator.route.couriers",
    "curator.route.course",
    "curator.route.definitions",
    "curator.route.deliveries_rest",
    "curator.route.delivery_rows",
    "curator.route.destinations.core_jobs",
    "curator.route.destinations.crew",
    "curator.route.destinations.dicomweb",
    "curator.route.destinations.folder",
    "curator.route.destinations.modality",
    "curator.route.destinations.one_by_one",
    "curator.route.destinations.peer",
    "curator.route.destinations.registry",
    "curator.route.destinations.verification",
    "curator.route.destinations.webhook",
    "curator.route.hours",
    "curator.route.inventory",
    "curator.route.keeping",
    "curator.route.labels",
    "curator.route.ledger",
    "curator.route.listing",
    "curator.route.live",
    "curator.route.log_reader",
    "curator.route.metrics",
    "curator.route.notices",
    "curator.route.overview",
    "curator.route.pauses",
    "curator.route.ports",
    "curator.route.products",
    "curator.route.profile_users",
    "curator.route.pulse",
    "curator.route.readiness",
    "curator.route.reading",
    "curator.route.recent",
    "curator.route.reception",
    "curator.route.replay",
    "curator.route.rule_store",
    "curator.route.rules_rest",
    "curator.route.runner",
    "curator.route.runs",
    "curator.route.runs_rest",
    "curator.route.schedules",
    "curator.route.scope",
    "curator.route.sender",
    "curator.route.setup",
    "curator.route.signals",
    "curator.route.state",
    "curator.route.steps",
    "curator.route.sweep",
    "curator.route.testing",
    "curator.route.trial_rest",
    "curator.route.validation",
    "curator.route.watcher",
    "curator.route.witness",
    "curator.server",
    "curator.status_rest",
    "curator.store",
    "curator.storing",
    "curator.web",
)
"""Modules of ours that have side effects, hence out of reach of the pure ones."""

FEATURES = ("curator.reshape", "curator.anonymize", "curator.route")
"""Packages that do not import each other; what they share lives below them."""


def modules() -> dict[str, Path]:
    """Return every module of the plugin by its dotted name."""
    found = {}
    for path in sorted(PLUGIN.rglob("*.py")):
        parts = path.relative_to(PLUGIN).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield what a module imports, at any depth of its code, as absolute dotted names."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def within(name: str, packages) -> bool:
    """Return whether a module is one of `packages`, or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_every_entry_of_the_tables_exists():
    missing = [name for name in (*SDK_FILES, *PURE, *SHELL) if name not in MODULES]
    assert missing == []


def test_every_module_of_the_features_is_either_pure_or_not():
    features = [name for name in MODULES if within(name, FEATURES) and any(imports(name))]
    lists = {name: [within(name, PURE), within(name, SHELL)] for name in features}
    assert [name for name, found in lists.items() if found.count(True) != 1] == []
    assert [name for name in (*PURE, *SHELL) if (*PURE, *SHELL).count(name) > 1] == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_entry_point_imports_the_sdk(name):
    uses_it = within_any(imports(name), ("orthanc",))
    assert bool(uses_it) == (name in SDK_FILES)


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if within(name, PURE)])
def test_pure_modules_have_no_side_effects(name):
    assert within_any(imports(name), WITH_SIDE_EFFECTS) == []
    assert within_any(imports(name), SHELL) == []


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if within(name, PURE)])
def test_pure_modules_do_not_read_the_clock_or_files(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {
        call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls
    }
    forbidden = {"now", "utcnow", "today", "open", "read_text", "read_bytes", "write_text", "print"}
    assert names & forbidden == set()


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if within(name, FEATURES)])
def test_features_do_not_import_each_other(name):
    others = [package for package in FEATURES if not within(name, (package,))]
    assert within_any(imports(name), others) == []


def within_any(names, packages) -> list[str]:
    """Return those of `names` that are or lie in one of `packages`."""
    return sorted({name for name in names if within(name, packages)})


def test_relative_and_nested_imports_are_seen(tmp_path, monkeypatch):
    path = tmp_path / "plan.py"
    path.write_text("from . import apply\nfrom ..web import Reply\ndef f():\n    import os.path\n")
    monkeypatch.setitem(MODULES, "curator.reshape.plan", path)
    expected = {"curator.reshape.apply", "curator.web", "curator.web.Reply", "os.path"}
    assert expected <= set(imports("curator.reshape.plan"))
