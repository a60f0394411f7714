"""The months in the languages that reports are written in."""

from __future__ import annotations

from curator.anonymize.folding import folded

_NAMES = (
    "jan january januar janvier janv enero ene gennaio gen januari января янв",
    "feb february februar février févr fevrier febrero febbraio februari февраля фев",
    "mar march märz maerz mär mrz mars marzo maart mrt марта мар",
    "apr april avril avr abril abr aprile апреля апр",
    "may mai mayo maggio mag mei мая май",
    "jun june juni juin junio giugno giu июня июн",
    "jul july juli juillet juil julio luglio lug июля июл",
    "aug august août aout agosto ago augustus августа авг",
    "sep sept september septembre septiembre settembre set сентября сен",
    "oct okt october oktober octobre octubre ottobre ott октября окт",
    "nov november novembre noviembre ноября ноя",
    "dec dez december dezember décembre déc diciembre dic dicembre декабря дек",
)

MONTHS = tuple(
    tuple(sorted({folded(name).text for name in names.split()}, key=len, reverse=True))
    for names in _NAMES
)
"""For each month its folded names in English, German, French, Spanish, Italian, Dutch, Russian."""

ANY_MONTH = "|".join(name for names in MONTHS for name in names)
"""Regular expression of any of them, folded."""
