"""The Lua samples of the Orthanc Book and of the core's sources, as rules.

What no rule is needed for: the guards against endless loops (what a rule made never triggers it
again) and the removal of modified copies after they were sent. Left out are those that run programs
(``CallDcm2Xml.lua``, ``CallImageJ.lua``, ``AutomatedJpeg2kCompression.lua``), change queries
(``IncomingFindRequestFilter.lua``) or read values out of files (``ParseDoseReport.lua``).
"""

from dataclasses import dataclass, field
from typing import Any

from curator.level import Level
from curator.route.kinds import Trigger

Json = dict[str, Any]

SEND = "send to modality:sample"
DELETE = "delete what the rule fired for"


@dataclass(frozen=True)
class Case:
    """What the Lua script does with a resource.

    Attributes
    ----------
    given : dict
        Arguments of ``facts``.
    actions : tuple of str
        In the words of ``explain.describe``.
    """

    given: Json
    actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One script.

    Attributes
    ----------
    source : str
        The file below ``OrthancServer/Resources/Samples/Lua``, or the section of the Book's page
        on Lua.
    """

    source: str
    rules: tuple[Json, ...]
    cases: tuple[Case, ...]
    trigger: Trigger = Trigger.STORED_INSTANCE
    level: Level = Level.INSTANCE


@dataclass(frozen=True)
class Filter:
    """A filter of what comes in: values of instances that it accepts, and that it rejects."""

    source: str
    receive: tuple[Json, ...]
    accepted: tuple[Json, ...] = field(default=())
    rejected: tuple[Json, ...] = field(default=())


SAMPLES = (
    Sample(
        "Autorouting.lua",
        (
            {
                "Name": "route",
                "When": "StoredInstance",
                "Then": [{"Send": "modality:sample"}, {"Delete": True}],
            },
        ),
        (Case({"Modality": "CT"}, (SEND, DELETE)), Case({}, (SEND, DELETE))),
    ),
    Sample(
        "AutoroutingConditional.lua",
        (
            {
                "Name": "david",
                "When": "StoredInstance",
                "If": {"Tag": "PatientName", "Like": "*david*"},
                "Then": [{"Send": "modality:sample"}, {"Delete": True}],
                "Stop": True,
            },
            {"Name": "others", "When": "StoredInstance", "Then": [{"Delete": True}]},
        ),
        (
            Case({"PatientName": "DAVIDSON^Ann"}, (SEND, DELETE)),
            Case({"PatientName": "Doe^David"}, (SEND, DELETE)),
            Case({"PatientName": "Doe^Jane"}, (DELETE,)),
            Case({}, (DELETE,)),
        ),
    ),
    Sample(
        "AutoroutingModification.lua",
        (
            {
                "Name": "modify-and-route",
                "When": "StoredInstance",
                "Then": [
                    {
                        "Modify": {
                            "Replace": {
                                "StationName": "My Medical Device",
                                "0031-1020": "Some private tag",
                            },
                            "Remove": ["MilitaryRank"],
                        }
                    },
                    {"Send": "modality:sample"},
                    {"Delete": True},
                ],
            },
        ),
        (
            Case(
                {"Modality": "CT"},
                ("modify: replace StationName, 0031-1020; remove MilitaryRank", SEND, DELETE),
            ),
        ),
    ),
    Sample(
        "Auto-routing of DICOM images: SendToModality(ModifyInstance(…, true))",
        (
            {
                "Name": "modify-and-route",
                "When": "StoredInstance",
                "If": {
                    "Not": {
                        "Any": [
                            {"Metadata": "ModifiedFrom", "Exists": True},
                            {"Metadata": "AnonymizedFrom", "Exists": True},
                        ]
                    }
                },
                "Then": [
                    {
                        "Modify": {
                            "Replace": {"StationName": "My Medical Device"},
                            "Remove": ["MilitaryRank"],
                            "RemovePrivateTags": True,
                        }
                    },
                    {"Send": "modality:sample"},
                    {"Delete": True},
                ],
            },
        ),
        (
            Case(
                {},
                (
                    "modify: replace StationName; remove MilitaryRank; remove private elements",
                    SEND,
                    DELETE,
                ),
            ),
            Case({"metadata": {"ModifiedFrom": "x"}}),
            Case({"metadata": {"AnonymizedFrom": "x"}}),
        ),
    ),
    Sample(
        "OnStableStudy.lua",
        (
            {
                "Name": "modify-study",
                "When": "StableStudy",
                "If": {
                    "All": [
                        {"Metadata": "ModifiedFrom", "Exists": False},
                        {"Metadata": "AnonymizedFrom", "Exists": False},
                    ]
                },
                "Then": [
                    {
                        "Modify": {
                            "Replace": {
                                "StudyDescription": "Modified study",
                                "StationName": "My Medical Device",
                                "0031-1020": "Some private tag",
                            },
                            "Remove": ["MilitaryRank"],
                        }
                    }
                ],
                "KeepCopies": True,
            },
        ),
        (
            Case(
                {},
                ("modify: replace StudyDescription, StationName, 0031-1020; remove MilitaryRank",),
            ),
            Case({"metadata": {"ModifiedFrom": "x"}}),
        ),
        Trigger.STABLE_STUDY,
        Level.STUDY,
    ),
    Sample(
        "ModifyInstanceWithSequence.lua",
        (
            {
                "Name": "other-patient-ids",
                "When": "StoredInstance",
                "Then": [
                    {
                        "Modify": {
                            "Replace": {"0010,1002": [{"PatientID": "Hello"}, {"PatientID": "Wo"}]}
                        }
                    },
                    {"Delete": True},
                ],
                "KeepCopies": True,
            },
        ),
        (Case({}, ("modify: replace 0010,1002", DELETE)),),
    ),
    Sample(
        "WriteToDisk.lua",
        ({"Name": "write", "When": "StableSeries", "Then": [{"Send": "folder:lua"}]},),
        (Case({"Modality": "CT"}, ("send to folder:lua",)),),
        Trigger.STABLE_SERIES,
        Level.SERIES,
    ),
    Sample(
        "ClassifyUsingAet.lua",  # a folder for each sender: paths are made of elements
        (
            {
                "Name": "scanner",
                "When": "StoredInstance",
                "If": {"Source": {"RemoteAet": "SCANNER"}},
                "Then": [{"Send": "folder:scanner"}, {"Delete": True}],
                "Stop": True,
            },
            {
                "Name": "others",
                "When": "StoredInstance",
                "Then": [{"Send": "folder:others"}, {"Delete": True}],
            },
        ),
        (
            Case({"remote_aet": "SCANNER"}, ("send to folder:scanner", DELETE)),
            Case({"remote_aet": "OTHER"}, ("send to folder:others", DELETE)),
        ),
    ),
    Sample(
        "CallWebService.lua",
        ({"Name": "call", "When": "StoredInstance", "Then": [{"Send": "webhook:service"}]},),
        (Case({}, ("send to webhook:service",)),),
    ),
    Sample(
        "Filtering outgoing C-Store DICOM instances: OutgoingCStoreInstanceFilter",
        (
            {
                "Name": "cvi",
                "When": "StoredInstance",
                "If": {
                    "Not": {
                        "Any": [
                            {"Tag": "SOPClassUID", "Equals": "1.3.12.2.1107.5.9.1"},
                            {"Tag": "PhotometricInterpretation", "Equals": "RGB"},
                        ]
                    }
                },
                "Then": [{"Send": "modality:CVIRES02"}],
            },
        ),
        (
            Case(
                {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
                ("send to modality:CVIRES02",),
            ),
            Case({"SOPClassUID": "1.3.12.2.1107.5.9.1"}),
            Case({"PhotometricInterpretation": "RGB"}),
        ),
    ),
    Sample(
        "OnHeartBeat (LuaHeartBeatPeriod)",
        (
            {
                "Name": "alive",
                "When": "Schedule",
                "Schedule": {"Every": 1},
                "Then": [{"Send": "webhook:alive"}],
            },
        ),
        (Case({}, ("send to webhook:alive",)),),
        Trigger.SCHEDULE,
    ),
    Sample(
        "OnJobSubmitted, OnJobFailure, OnJobSuccess",
        ({"Name": "jobs", "When": "Job", "Then": [{"Send": "webhook:jobs"}]},),
        (Case({}, ("send to webhook:jobs",)),),
        Trigger.JOB,
    ),
    Sample(
        "OnDeletedPatient, OnDeletedStudy, OnDeletedSeries, OnDeletedInstance",
        ({"Name": "deleted", "When": "Deleted", "Then": [{"Send": "webhook:index"}]},),
        (Case({}, ("send to webhook:index",)),),
        Trigger.DELETED,
    ),
    Sample(
        "OnUpdatedPatient, OnUpdatedStudy, OnUpdatedSeries, OnUpdatedInstance",
        ({"Name": "updated", "When": "Updated", "Then": [{"Send": "webhook:index"}]},),
        (Case({}, ("send to webhook:index",)),),
        Trigger.UPDATED,
    ),
    Sample(
        "Origin of the instances: a proxy for several senders",
        (
            {
                "Name": "by-called-aet",
                "When": "StoredInstance",
                "If": {"Source": {"CalledAet": "ROUTE_A", "Origin": "DicomProtocol"}},
                "Then": [{"Send": "modality:sample"}],
            },
        ),
        (
            Case({"called_aet": "ROUTE_A"}, (SEND,)),
            Case({"called_aet": "ROUTE_B"}),
        ),
    ),
)

FILTERS = (
    Filter(
        "Filtering incoming DICOM instances: ReceivedInstanceFilter",
        (
            {
                "Name": "only-mr",
                "If": {"Not": {"Tag": "Modality", "Equals": "MR"}},
                "Then": {"Reject": {"Reason": "only MR"}},
            },
        ),
        accepted=({"Modality": "MR"},),
        rejected=({"Modality": "CT"}, {}),
    ),
)
