"""One value that says nothing for each value representation of strings (PS3.5 6.2)."""

REMOVED = "Removed"

PLACEHOLDERS = {
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "UNKNOWN",
    "DA": "19000101",
    "DS": "1",
    "DT": "19000101000000",
    "IS": "1",
    "LO": REMOVED,
    "LT": REMOVED,
    "PN": "Anonymous",
    "SH": REMOVED,
    "ST": REMOVED,
    "TM": "000000",
    "UC": REMOVED,
    "UR": "urn:removed:removed",
    "UT": REMOVED,
}
