"""What is remembered of other instances never shows in a result."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import factory
from collection import FILES, load
from curator.dicom.errors import DicomError
from curator.errors import CuratorError
from factory import Private, make_instance, uid
from unit.anonymize.planted import anonymizer, with_secrets

SYNTAXES = (
    *(factory.ExplicitVRLittleEndian, factory.ImplicitVRLittleEndian),
    *(factory.ExplicitVRBigEndian, factory.DeflatedExplicitVRLittleEndian),
)

#: Of (0019,xx23), the first one is on the list of safe private attributes, the other is not.
CREATORS = ("GEMS_ACQU_01", "GEMS_ACQU_99")

#: Names that only their character sets tell apart.
SAME_BYTES = {"ISO_IR 100": "ÉãÚØÝ", "ISO_IR 144": "Щукин"}

OPTIONS = ["RetainSafePrivate", "CleanDescriptors", "CleanStructuredContent", "CleanGraphics"]


def alike() -> list[bytes]:
    """Return instances with the same elements, which must not be taken for each other."""
    nobody = {"PatientID": "", "PatientName": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""}
    speeds = [Private(0x0019, creator, 0x23, "DS", "4.5") for creator in CREATORS]
    return [
        *(make_instance(PatientID=text) for text in ("A1", "A2")),
        *(make_instance(**nobody, SOPInstanceUID=uid("nobody", n)) for n in range(2)),
        *(make_instance(private=[speed]) for speed in speeds),
        *(make_instance(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{n}") for n in (2, 4)),
        *(make_instance(transfer_syntax=syntax) for syntax in SYNTAXES),
        *(
            make_instance(SpecificCharacterSet=term, PatientName=name, ImageComments=f"{name} x")
            for term, name in SAME_BYTES.items()
        ),
        *factory.ct_series(2),
        factory.multi_frame(),
        with_secrets(make_instance()),
    ]


def outcome(made, data):
    """Return all that comes out of an instance, or that it is refused."""
    try:
        result = made.anonymize(data)
    except (CuratorError, DicomError) as error:
        return type(error)
    return result.dicom, result.counts, result.kept_private, result.warnings, result.subject_key


@pytest.mark.parametrize("options", [[], OPTIONS], ids=["basic", "options"])
def test_the_order_of_instances_makes_no_difference(options):
    instances = alike()
    alone = [outcome(anonymizer(Options=options), data) for data in instances]
    used = anonymizer(Options=options)
    for seed in range(3):
        order = random.Random(seed).sample(range(len(instances)), len(instances))
        assert {n: outcome(used, instances[n]) for n in order} == dict(enumerate(alone))


def test_the_collection_comes_out_of_a_used_anonymizer_as_of_a_new_one():
    used = anonymizer(Options=OPTIONS)
    done = 0
    for name in random.Random(1).sample(FILES, len(FILES)):
        first = outcome(used, load(name))
        assert outcome(anonymizer(Options=OPTIONS), load(name)) == first, name
        assert outcome(used, load(name)) == first, name
        done += isinstance(first, tuple)
    assert done > len(FILES) // 2


def test_private_elements_are_told_apart_by_the_creators_of_the_instance():
    made = anonymizer(Options=["RetainSafePrivate"])
    kept = [
        made.anonymize(make_instance(private=[Private(0x0019, creator, 0x23, "DS", "4.5")]))
        for creator in CREATORS * 2
    ]
    assert [result.kept_private for result in kept] == [('(0019,"GEMS_ACQU_01",23)',), ()] * 2


def test_patients_of_whom_nothing_is_said_are_told_apart():
    made = anonymizer()
    nobody = {"PatientID": "", "PatientName": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""}
    keys = {
        made.anonymize(make_instance(**nobody, SOPInstanceUID=uid("nobody", n))).subject_key
        for n in (1, 2)
    }
    assert keys == {uid("nobody", 1), uid("nobody", 2)}


def test_counts_are_those_of_what_is_explained():
    explained_at_all = 0
    for data in [*alike(), *map(load, FILES)]:
        made = anonymizer(Options=OPTIONS)
        try:
            quick = made.anonymize(data)
        except (CuratorError, DicomError):
            continue
        slow = made.anonymize(data, explain=True)
        assert (quick.dicom, quick.counts) == (slow.dicom, slow.counts)
        by_action = Counter(one.action for one in slow.explained)
        counted: Counter[str] = Counter()
        for (action, _), count in quick.counts.items():
            counted[action] += count
        assert by_action == counted
        explained_at_all += len(slow.explained)
    assert explained_at_all > 1000
