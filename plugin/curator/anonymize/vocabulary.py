"""Words that are no evidence of a person: those of the standard, of titles and of placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom._dicom_dict import DicomDictionary
from pydicom.sr._cid_dict import cid_concepts

_ANATOMY = (4031, 244)
"""Context groups (PS3.16) of common anatomic regions and of laterality."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PARTICLES = _set(
    "af al am an auf aus bei ben bin da dal das de degli dei del dela della dem den der des di "
    "die dit do dos du e ein el en et ibn il im in la las le les lo los mac mc mit na of op "
    "por san santa st ste ten ter the till und van vande vanden vander ver vom von y zu zum zur"
)
"""Parts of names that are words of a language by themselves."""

TITLES = _set(
    "bsc dds dipl dott dottoressa dr dra drs fr frau frcr herr hr jr junior madame md med mevr "
    "mlle mme monsieur mr mrs ms msc ph phd pr prof professor rn rt rta sig sr sra srta"
)
"""Prefixes and suffixes of names."""

PLACEHOLDERS = _set(
    "anon anonym anonyme anonymised anonymize anonymized anonymous deidentified dummy female "
    "male name no nobody none null other phantom pseudonym qa qc removed sample subject test "
    "tester testpatient unbekannt unidentified unknown unspecified"
)
"""What stands where nobody's name does."""


CLINICAL = _set(
    "abdomens addome and angio angiographie avec bacino bassin becken befund bein bekken borst "
    "borstkas brain buik bws cabeza cadera cect cerebro cervello columna con control controle "
    "crane cranio ct cta cuello derecha destra dorso droit droite dwi enkel epaule flair follow "
    "followup for from fuss gauche gehirn genou gesicht ginocchio hals handgelenk herz heup "
    "hirn hombro hoofd huefte hufte hws irm izquierda kiefer knie knochel kontrolle kopf leber "
    "left links localizer lokalizer lunge lungen lws mamma mammographie mano met mip mit mpr "
    "mra mri mrt nach nativ native ncct nek nieren oberbauch oder ohne pecho pet pie poumon "
    "poumons protocol protokoll rachis rechts right rmn rodilla roentgen rontgen routine rx "
    "sans scanner schadel schaedel schouder schulter scout sin sinistra sono spalla spezial "
    "sprunggelenk stir survey tac tdm testa thorax thoraxe tobillo tof topo torace torax tse "
    "und unterarm unterbauch verlauf wirbelsaeule wirbelsaule with without zahn zonder"
)
"""Words of radiology in the languages of which PS3.6 and PS3.16 have none."""


def _words(text: str) -> Iterator[str]:
    return (word.lower() for word in re.findall(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])", text))


def _of_the_standard() -> Iterator[str]:
    for _, _, name, _, keyword in DicomDictionary.values():
        yield from _words(name)
        yield from _words(keyword)
    for cid in _ANATOMY:
        for keywords in cid_concepts[cid].values():
            for keyword in keywords:
                yield from _words(keyword)


VOCABULARY = frozenset(_of_the_standard()) | CLINICAL | PLACEHOLDERS | PARTICLES | TITLES
"""Folded words that one may expect in any instance, whoever the patient is (PS3.6, PS3.16)."""
