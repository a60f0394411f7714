"""Random patients for property tests: studies, series, and objects that refer to others.

Everything follows from what hypothesis draws, so a failing example comes back and is shrunk. All
instances of a patient agree on what they share, series numbers are unique in each study: whatever
`invariants` checks holds for a patient as it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from factory import ct_series, mr_series, uid
from referring import ON_IMAGES, ON_OBJECTS

SIZE = 4
FIRST_REFERRING_NUMBER = 50

CACHED = 4096
"""Series and objects that are kept, since hypothesis draws the same ones again and again."""

_Image = tuple[str, bytes]
"""What can be referred to: its SOP Instance UID and its file."""


@dataclass(frozen=True)
class Person:
    """Who a patient is, in a character set that holds the name."""

    name: str
    charset: tuple[str, ...] = ()
    birth_date: str = "19600203"
    sex: str = "O"

    def elements(self, patient_id: str) -> dict[str, Any]:
        return {
            "SpecificCharacterSet": list(self.charset) or None,
            "PatientID": patient_id,
            "PatientName": self.name,
            "PatientBirthDate": self.birth_date,
            "PatientSex": self.sex,
        }


#: Synthetic names by script, each with the character sets of PS3.3 C.12.1.1.2 that hold it.
PERSONS = (
    Person("SYNTHETIC^PATIENT"),
    Person("Müller^Jürgen", ("ISO_IR 100",)),
    Person("Müller^Jürgen", ("ISO_IR 192",), "19700102", "M"),
    Person("Иванова^Анна", ("ISO_IR 144",), "19800304", "F"),
    Person("محمد^علي", ("ISO_IR 127",), "19550607", "M"),
    Person("Yamada^Tarou=山田^太郎=やまだ^たろう", ("", "ISO 2022 IR 87"), "19480909", "M"),
    Person("Yamada^Tarou=山田^太郎=やまだ^たろう", ("ISO_IR 192",), "", "M"),
)


@dataclass(frozen=True)
class RandomSeries:
    """A series of a random patient.

    Attributes
    ----------
    files : tuple of bytes
        Its instances.
    refers_to : tuple of str
        SOP Instance UIDs to which its instances refer, of this patient or of nobody.
    """

    modality: str
    series_instance_uid: str
    files: tuple[bytes, ...]
    refers_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class RandomStudy:
    """A study of a random patient."""

    study_instance_uid: str
    series: tuple[RandomSeries, ...]

    @property
    def files(self) -> list[bytes]:
        return [file for series in self.series for file in series.files]


@dataclass(frozen=True, repr=False)
class RandomPatient:
    """A patient as drawn."""

    patient_id: str
    person: Person
    studies: tuple[RandomStudy, ...]

    def __repr__(self) -> str:
        return f"<{self.description}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Keep the bytes out of the report of a failing example (a hook of hypothesis)."""
        printer.text(repr(self))

    @property
    def files(self) -> list[bytes]:
        """All instances, in the order of studies and series."""
        return [file for study in self.studies for file in study.files]

    @property
    def description(self) -> str:
        """What it consists of, such as ``P1 (ISO_IR 192): CT2 MR1 SEG1>2 | CT1``.

        A study with a series of two CT instances, one of an MR instance, and a segmentation of two
        instances; and a study of one CT instance.
        """
        studies = [" ".join(map(_described, study.series)) for study in self.studies]
        charset = "\\".join(self.person.charset)
        return f"{self.patient_id} ({charset}): {' | '.join(studies)}"


@st.composite
def patients(
    draw: st.DrawFn,
    patient_id: str = "P1",
    *,
    persons: Sequence[Person] = PERSONS,
    max_studies: int = 3,
    referring: bool = True,
) -> RandomPatient:
    """Draw a patient of one to three studies, each of one to three series of CT or MR.

    Parameters
    ----------
    patient_id : str, optional
        Patient ID, from which all identifiers follow.
    persons : sequence of Person, optional
        Who it may be.
    max_studies : int, optional
        Studies at most.
    referring : bool, optional
        Add up to three objects that refer to instances of this patient, sometimes of several
        studies, sometimes to what is not stored.
    """
    person = draw(st.sampled_from(persons))
    studies = [
        _study(draw, _Home(patient_id, person, number))
        for number in range(draw(st.integers(1, max_studies)))
    ]
    if referring:
        _add_referring(draw, studies)
    return RandomPatient(
        patient_id,
        person,
        tuple(RandomStudy(study.home.uid, tuple(study.series)) for study in studies),
    )


def two_patients(**options: Any) -> st.SearchStrategy[tuple[RandomPatient, RandomPatient]]:
    """Draw two patients of other identifiers, who may be the same person."""
    return st.tuples(patients("P1", **options), patients("P2", **options))


def _described(series: RandomSeries) -> str:
    referring = f">{len(series.refers_to)}" if series.refers_to else ""
    return f"{series.modality}{len(series.files)}{referring}"


@dataclass(frozen=True)
class _Home:
    """Where instances of a study belong."""

    patient_id: str
    person: Person
    number: int

    @property
    def name(self) -> str:
        return f"{self.patient_id}-{self.number}"

    @property
    def uid(self) -> str:
        return uid(self.name)

    @property
    def elements(self) -> dict[str, Any]:
        return {
            **self.person.elements(self.patient_id),
            "StudyInstanceUID": self.uid,
            "StudyDate": f"202401{self.number + 10}",
            "AccessionNumber": f"A{self.number}",
            "StudyID": str(self.number),
            "StudyDescription": f"study {self.number}",
        }


@dataclass
class _Study:
    home: _Home
    images: list[_Image] = field(default_factory=list)
    series: list[RandomSeries] = field(default_factory=list)


def _study(draw: st.DrawFn, home: _Home) -> _Study:
    study = _Study(home)
    for number in range(1, draw(st.integers(1, 3)) + 1):
        modality = draw(st.sampled_from(["CT", "MR"]))
        images = _images(home, number, modality, draw(st.integers(1, 4)))
        files = tuple(file for _uid, file in images)
        study.images += images
        series_uid = uid(home.name, f"{modality} {number}")
        study.series.append(RandomSeries(modality, series_uid, files))
    return study


@lru_cache(maxsize=CACHED)
def _images(home: _Home, number: int, modality: str, count: int) -> tuple[_Image, ...]:
    name = f"{modality} {number}"
    make = ct_series if modality == "CT" else mr_series
    # Pixels of their own for each instance: by them the checks know it again.
    first_seed = int(uid(home.name, number).rsplit(".", 1)[1]) % 2**32
    elements = {"Rows": SIZE, "Columns": SIZE, "SeriesNumber": number, **home.elements}
    return tuple(
        (own, file)
        for index in range(count)
        for own in [uid(home.name, name, index)]
        for file in make(
            1,
            study=home.name,
            series=name,
            **elements,
            SOPInstanceUID=own,
            InstanceNumber=index + 1,
            ImagePositionPatient=[0.0, 0.0, float(index)],
            seed=first_seed + index,
        )
    )


def _add_referring(draw: st.DrawFn, studies: Sequence[_Study]) -> None:
    everywhere = [image for study in studies for image in study.images]
    for number in range(draw(st.integers(0, 3))):
        study = studies[draw(st.integers(0, len(studies) - 1))]
        absent = _absent(study.home)
        # Most often its own study; the whole patient; what nobody has, alone or among others.
        reaches = [study.images, study.images, everywhere, [*study.images, absent], [absent]]
        reach = reaches[draw(st.integers(0, len(reaches) - 1))]
        indexes = st.lists(st.integers(0, len(reach) - 1), min_size=1, max_size=4, unique=True)
        targets = tuple(reach[index] for index in draw(indexes))
        modality = draw(st.sampled_from(sorted(ON_IMAGES)))
        structures = _refer(study, modality, number, targets)
        if modality == "RTSTRUCT" and draw(st.booleans()):
            plan = _refer(study, "RTPLAN", number, (structures,))
            _refer(study, "RTDOSE", number, (plan,))


def _refer(study: _Study, modality: str, number: int, targets: tuple[_Image, ...]) -> _Image:
    """Add an object that refers to others; return it as one that can be referred to."""
    label = f"{modality} {number}"
    series_number = FIRST_REFERRING_NUMBER + len(study.series)
    files = tuple(file for _uid, file in targets)
    file = _referring(study.home, modality, label, series_number, files)
    uids = tuple(target for target, _file in targets)
    study.series.append(RandomSeries(modality, uid(study.home.uid, label), (file,), uids))
    return uid(study.home.uid, label, "instance"), file


@lru_cache(maxsize=CACHED)
def _referring(
    home: _Home, modality: str, label: str, series_number: int, targets: tuple[bytes, ...]
) -> bytes:
    make = {**ON_IMAGES, **ON_OBJECTS}[modality]
    return make(targets, label=label, SeriesNumber=series_number, **home.elements)


@lru_cache(maxsize=CACHED)
def _absent(home: _Home) -> _Image:
    name = f"{home.patient_id}-absent"
    (file,) = ct_series(1, size=SIZE, study=name, **home.person.elements(home.patient_id))
    return uid(name, "CT", 0), file
