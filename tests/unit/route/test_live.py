"""The rules in use: valid as a whole or as they were, and none of the configuration is hidden."""

import logging
from dataclasses import replace

import pytest

from curator.errors import BadRequest, Conflict, NotFound
from curator.route.definitions import Defined, define
from curator.route.live import LiveRules
from curator.route.rule_store import RuleStore
from curator.route.validation import RuleReader, ServerNames


def rule(name: str, **fields) -> dict:
    return {"Name": name, "When": "StableStudy", "Then": [{"Send": "folder:out"}], **fields}


def rules(*names: str, **fields) -> dict:
    return {"Rules": [rule(name, **fields) for name in names]}


def check_receive(receive) -> list[str]:
    return [f"$.Receive[{index}]: is bad" for index, one in enumerate(receive) if "Bad" in one]


READER = RuleReader(check_receive)

NOTHING = Defined()


def defined(*configured: dict, receive=()) -> Defined:
    problems: list[str] = []
    found = define(configured, receive, None, READER, problems)
    assert problems == []
    return found


@pytest.fixture
def known():
    """Destinations of the server."""
    return {"folder:out"}


@pytest.fixture
def start(store, known):
    """Return what starts anew on the same database."""

    def begin(found: Defined = NOTHING, **surroundings) -> LiveRules:
        server = ServerNames(
            destination=lambda name: None if name in known else f'there is no "{name}"',
            profile=lambda name: None if name == "trial" else f'there is no "{name}"',
            metadata=lambda: set(),
            **surroundings,
        )
        return LiveRules(found, RuleStore(store), READER, server)

    return begin


def names(live: LiveRules) -> list[str]:
    return [one.name for one in live.current().rules]


def test_without_any_there_is_none(start):
    live = start()
    assert (live.number, names(live), live.definitions(), live.problems()) == (0, [], (), [])


def test_a_set_is_in_use_at_once_and_after_a_restart(start):
    live = start(defined(rule("fixed")))
    assert live.replace(rules("a", "b"), "someone") == 1
    for one in (live, start(defined(rule("fixed")))):
        assert names(one) == ["fixed", "a", "b"]
        assert one.number == 1
        sources = {one.rule.name: (one.source, one.place) for one in one.definitions()}
        assert sources["fixed"] == ("Configuration", "$.Curator.Rules[0]")
        assert sources["a"] == ("Database", "")


def test_who_listens_is_told_after_other_rules_are_in_use(start):
    live = start()
    seen: list[list[str]] = []
    live.on_change(lambda: seen.append(names(live)))
    live.replace(rules("a"), "")
    live.put("b", rule("b"), "")
    live.enable("b", "", enabled=False)
    live.delete("a", "")
    live.rollback(1, "")
    assert seen == [["a"], ["a", "b"], ["a", "b"], ["b"], ["a"]]


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        ({"Rules": [rule("a"), {"Name": "b"}, rule("c", Prioriti=1)]}, ["[1].When", "[2].Prior"]),
        ({"Rules": [rule("a"), rule("a")]}, ["[1].Name"]),
        ({"Rules": [rule("fixed")]}, ["[0].Name: the rule"]),
        ({"Rules": [rule("a", Wen=1), rule("fixed")]}, ["[0].Wen", "[1].Name: the rule"]),
        ({"Rules": [rule("a", Then=[{"Send": "peer:x"}])]}, ["[0].Then[0].Send"]),
        ({"Rules": [rule("a", Then=[{"Send": "folder:out"}, {"Nothing": 1}])]}, ["[0].Then[1]"]),
        ({"Rules": {}}, [""]),
    ],
)
def test_a_wrong_set_is_refused_with_every_problem_and_the_old_one_stays(start, content, paths):
    live = start(defined(rule("fixed")))
    live.replace(rules("before"), "")
    with pytest.raises(BadRequest) as refusal:
        live.replace(content, "")
    for path in paths:
        assert f"$.Rules{path}" in refusal.value.details
    assert names(live) == names(start(defined(rule("fixed")))) == ["fixed", "before"]
    assert live.number == 1


def test_rules_at_reception_are_part_of_the_set(start):
    live = start(defined(receive=[{"Name": "first"}]))
    live.replace({"Receive": [{"Name": "second"}]}, "")
    assert list(live.current().receive) == [{"Name": "first"}, {"Name": "second"}]
    with pytest.raises(BadRequest, match=r"\$\.Receive\[1\]: is bad"):
        live.replace({"Receive": [{"Name": "fine"}, {"Bad": 1}]}, "")
    with pytest.raises(BadRequest, match=r'\$\.Recieve: unknown field, did you mean "Receive"'):
        live.replace({"Recieve": []}, "")


def test_rules_at_reception_that_need_another_start_are_a_conflict(start):
    live = start(reception=lambda receive: "needs a restart" if receive else None)
    with pytest.raises(Conflict, match="needs a restart"):
        live.replace({"Receive": [{"Name": "first"}]}, "")
    assert live.replace(rules("a"), "") == 1


def test_one_rule_takes_the_place_of_the_one_of_its_name(start):
    live = start()
    live.replace({**rules("a", "b", "c"), "Receive": [{"Name": "in"}]}, "")
    live.put("b", {key: value for key, value in rule("", Version="2").items() if key != "Name"}, "")
    assert [(one.name, one.version) for one in live.current().rules] == [
        ("a", "1"),
        ("b", "2"),
        ("c", "1"),
    ]
    assert live.current().receive == ({"Name": "in"},)
    with pytest.raises(BadRequest, match=r"\$\.Name"):
        live.put("b", rule("c"), "")


def test_what_the_configuration_has_is_changed_there_only(start):
    live = start(defined(rule("fixed")))
    for change in (
        lambda: live.put("fixed", rule("fixed"), ""),
        lambda: live.delete("fixed", ""),
        lambda: live.enable("fixed", "", enabled=False),
    ):
        with pytest.raises(Conflict, match=r"\$\.Curator\.Rules\[0\]"):
            change()
    assert live.number == 0


def test_a_rule_is_disabled_and_enabled_as_a_new_set(start):
    live = start()
    live.replace(rules("a", "b"), "")
    assert live.enable("b", "", enabled=False) == 2
    assert [one.enabled for one in live.current().rules] == [True, False]
    assert live.enable("b", "", enabled=True) == 3
    assert [one.enabled for one in live.current().rules] == [True, True]


def test_what_another_rule_names_and_is_gone_does_not_keep_a_rule_from_being_put(start, known):
    known.add("peer:old")
    live = start()
    live.replace(rules("old", Then=[{"Send": "peer:old"}]), "")
    known.remove("peer:old")
    live.put("new", rule("new"), "")
    live.enable("old", "", enabled=False)
    with pytest.raises(BadRequest, match="peer:old"):
        live.enable("old", "", enabled=True)
    with pytest.raises(BadRequest, match="peer:old"):
        live.rollback(1, "")
    live.delete("old", "")
    assert names(live) == ["new"]


def test_what_is_gone_from_the_server_is_told_and_the_rule_stays(start, known):
    known.add("peer:old")
    live = start(defined(rule("fixed")))
    live.replace(rules("old", Then=[{"Send": ["folder:out", "peer:old"]}]), "")
    known.remove("peer:old")
    (problem,) = live.problems()
    assert problem.startswith('The rule "old": $.Then[0].Send')
    assert names(live) == ["fixed", "old"]


def test_an_earlier_set_comes_back_under_a_new_number(start):
    live = start()
    live.replace(rules("a"), "first")
    live.replace(rules("b"), "second")
    assert live.rollback(1, "third") == 3
    assert names(live) == ["a"]
    assert [(one.number, one.user) for one in live.history(0, None)] == [
        (3, "third"),
        (2, "second"),
        (1, "first"),
    ]
    with pytest.raises(NotFound, match="9"):
        live.rollback(9, "")


def test_a_name_that_the_configuration_gets_later_hides_that_of_the_database(start, caplog):
    live = start()
    live.replace({"Rules": [rule("a", Version="put"), rule("b")]}, "")
    with caplog.at_level(logging.WARNING, "curator"):
        live = start(defined(rule("a", Version="configured")))
    assert "$.Curator.Rules[0]" in caplog.text
    assert [(one.name, one.version) for one in live.current().rules] == [
        ("a", "configured"),
        ("b", "1"),
    ]
    live.put("c", rule("c"), "")  # the hidden one does not stand in the way
    assert names(live) == ["a", "b", "c"]


def test_a_set_that_is_not_valid_any_more_is_not_used_in_part(store, start, caplog):
    RuleStore(store).put({"Rules": [rule("a"), rule("b", Gone=1)]}, "", after=0)
    with caplog.at_level(logging.ERROR, "curator"):
        live = start(defined(rule("fixed")))
    assert names(live) == ["fixed"]
    (problem,) = live.problems()
    assert "$.Rules[1].Gone" in problem
    assert problem in caplog.text
    live.replace(rules("a"), "")
    assert names(live) == ["fixed", "a"]
    assert live.problems() == []
    assert live.number == 2


@pytest.mark.parametrize(
    ("content", "closed", "names_in_use"),
    [
        ({"Rules": [rule("a", Gone=1)], "Receive": [{"Name": "in"}]}, False, ["first", "in"]),
        ({"Rules": [rule("a")], "Receive": [{"Name": "in", "Bad": 1}]}, True, ["first"]),
        ({"Rules": [rule("a", Gone=1)]}, False, ["first"]),
        ({"Receive": [{"Name": "first", "Bad": 1}]}, False, ["first"]),  # the configuration's
    ],
)
def test_rules_at_reception_that_cannot_be_used_let_nothing_in(
    store, start, content, closed, names_in_use, caplog
):
    RuleStore(store).put(content, "", after=0)
    live = start(defined(receive=[{"Name": "first"}]))
    assert live.is_closed == closed
    assert [one["Name"] for one in live.current().receive] == names_in_use
    assert any("Nothing that comes in" in one for one in live.problems()) == closed
    assert all(problem in caplog.text for problem in live.problems())
    with caplog.at_level(logging.WARNING, "curator"):
        start(defined(receive=[{"Name": "first"}]))
    live.replace({"Receive": [{"Name": "other"}]}, "")
    assert not live.is_closed


def test_a_set_of_nothing_but_unknown_names_is_refused_after_some_of_them(store, start):
    asked = []

    def problem(name: str) -> str:
        asked.append(name)
        return "is not there"

    live = start()
    live._surroundings = replace(live._surroundings, destination=problem)
    content = [rule(f"r{i}", Then=[{"Send": f"peer:{i}"}]) for i in range(500)]
    with pytest.raises(BadRequest):
        live.replace({"Rules": content}, "")
    assert len(asked) == 100
    asked.clear()
    with pytest.raises(BadRequest):
        live.replace({"Rules": [rule(f"r{i}", Then=[{"Send": "peer:x"}]) for i in range(50)]}, "")
    assert asked == ["peer:x"]


def test_of_two_changes_at_the_same_moment_one_is_refused(store, start):
    live, other = start(), start()
    live.replace(rules("a"), "")
    assert other.put("b", rule("b"), "") == 2  # made from what is in the database
    assert names(other) == ["a", "b"]


def test_rules_that_need_a_profile_are_told(start):
    steps = [{"Anonymize": {"Profile": "trial"}}, {"Send": "folder:out"}]
    live = start(defined(rule("fixed", Then=steps)))
    live.replace(rules("a", Then=steps), "")
    live.put("b", rule("b"), "")
    assert live.users("trial") == ['rule "fixed"', 'rule "a"']
    assert live.users("other") == []


def test_an_unknown_rule_is_told_with_the_nearest(start):
    live = start(defined(rule("ct-research")))
    with pytest.raises(NotFound, match='did you mean "ct-research"'):
        live.definition("ct-reserch")
    with pytest.raises(NotFound, match='did you mean "ct-research"'):
        live.delete("ct-reserch", "")


def test_rules_of_a_request_are_read_but_not_used(start):
    live = start()
    assert [one.name for one in live.parse([rule("a")]).rules] == ["a"]
    for wrong in ({}, [5], [{"Name": "a"}], None):
        with pytest.raises(BadRequest, match=r"\$\.Rules"):
            live.parse(wrong)
    assert names(live) == []
