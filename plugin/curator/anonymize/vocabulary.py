"""Words that are no evidence of a person: those of the standard, of titles and of placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.datadict import dictionary_description, keyword_dict
from pydicom.sr.codedict import codes

_ANATOMY = ("cid4031", "cid244")
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

INSTITUTIONAL = _set(
    "abteilung academic ambulanz cancer center centre centro children childrens city clinic "
    "clinica clinical clinics clinique community county department dept diagnostic "
    "gemeinschaftspraxis general health healthcare hopital hopitaux hospital hospitals imaging "
    "institut institute instituto kliniek klinik kliniken klinikum krankenhaus medical medicine "
    "national ospedale praxis private public radiologie radiologia radiology regional sante "
    "service services spital state system trust uniklinik universitaire universitaria "
    "universitario universitatsklinik universitatsklinikum university veterans ziekenhuis zentrum"
)
"""Words that institutions and their departments are called by everywhere."""

EPONYMS = _set(
    "addison alzheimer basedow bechterew boeck bowen crohn cushing dupuytren fabry forestier "
    "gaucher hashimoto hodgkin hirschsprung huntington kahler kienbock koehler kohler ledderhose "
    "meniere menetrier ollier ormond osgood osler paget parkinson perthes peyronie pick pott "
    "recklinghausen scheuermann schlatter sudeck waldenstrom whipple wilson winiwarter"
)
"""Names of diseases that follow ``M.`` for Morbus."""


def _words(text: str) -> Iterator[str]:
    return (word.lower() for word in re.findall(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])", text))


def _of_the_standard() -> Iterator[str]:
    for keyword, tag in keyword_dict.items():
        yield from _words(dictionary_description(tag))
        yield from _words(keyword)
    for cid in _ANATOMY:
        for keyword in getattr(codes, cid).dir():
            yield from _words(keyword)


VOCABULARY = frozenset(_of_the_standard()) | CLINICAL | PLACEHOLDERS | PARTICLES | TITLES
"""Folded words that one may expect in any instance, whoever the patient is (PS3.6, PS3.16)."""
