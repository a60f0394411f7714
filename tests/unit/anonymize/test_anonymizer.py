"""What holds for every instance that comes out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

import factory
from collection import load
from curator.anonymize.anonymizer import Anonymizer
from curator.anonymize.decision import Action
from curator.anonymize.errors import Refused, ResidualIdentifiers
from curator.anonymize.keys import derived
from curator.anonymize.pixels.plan import PixelPlan
from curator.anonymize.resolve import Resolver
from curator.anonymize.reversible import reidentified
from curator.anonymize.tables import load as load_tables
from curator.anonymize.values import Values
from curator.dicom.edits import Edits, Replace, ReplaceEncoded
from curator.dicom.encode import encode_element
from curator.dicom.engine import apply, opened
from curator.dicom.errors import UnsupportedInstance
from curator.dicom.filemeta import read_file_meta
from curator.dicom.structure import ALL_VRS
from curator.dicom.tags import PIXEL_DATA, parse_path
from factory import Private, make_instance, uid
from keypair import certificate, key_and_certificate
from unit.anonymize.planted import (
    FAMILY,
    KEY,
    NAME,
    PATIENT_ID,
    anonymizer,
    profile,
    secrets_in,
    with_secrets,
)

SYNTAXES = (
    factory.ExplicitVRLittleEndian,
    factory.ImplicitVRLittleEndian,
    factory.ExplicitVRBigEndian,
    factory.DeflatedExplicitVRLittleEndian,
    factory.JPEGBaseline8Bit,
)


def dataset(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data))


def anonymized(data: bytes, **fields: Any) -> pydicom.Dataset:
    return dataset(anonymizer(**fields).anonymize(data).dicom)


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize("transfer_syntax", SYNTAXES)
def test_no_identifier_survives_in_any_transfer_syntax(transfer_syntax, undefined_lengths):
    data = with_secrets(
        make_instance(
            transfer_syntax=transfer_syntax,
            undefined_lengths=undefined_lengths,
            ReferencedStudySequence=[{"ReferencedSOPInstanceUID": "1.2.3"}],
        )
    )
    assert len(secrets_in(data)) == 4
    result = anonymizer().anonymize(data).dicom
    assert secrets_in(result) == []
    assert dataset(result).file_meta.TransferSyntaxUID == transfer_syntax
    assert dataset(result).Rows == 16


def test_the_same_values_come_out_of_every_transfer_syntax():
    def values(transfer_syntax: str) -> dict[int, str]:
        data = with_secrets(make_instance(transfer_syntax=transfer_syntax))
        return {e.tag: str(e.value) for e in anonymized(data) if e.tag != PIXEL_DATA}

    first = values(SYNTAXES[0])
    assert all(values(syntax) == first for syntax in SYNTAXES[1:4])


def test_the_same_input_profile_and_key_give_the_same_bytes():
    data = with_secrets(make_instance())
    first = anonymizer().anonymize(data)
    repeated = anonymizer()
    assert [repeated.anonymize(data).dicom for _ in range(2)] == [first.dicom] * 2
    assert anonymizer(key=b"x" * 32).anonymize(data).dicom != first.dicom


def test_references_resolve_after_separate_runs():
    image = make_instance(SOPInstanceUID=uid("image"))
    report = make_instance(
        SOPInstanceUID=uid("report"),
        PatientID="SYN0001",
        CurrentRequestedProcedureEvidenceSequence=[
            {
                "StudyInstanceUID": uid("default", "study"),
                "ReferencedSeriesSequence": [
                    {
                        "SeriesInstanceUID": uid("default", "series"),
                        "ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": uid("image")}],
                    }
                ],
            }
        ],
    )
    one, other = anonymized(image), anonymized(report)
    study = other.CurrentRequestedProcedureEvidenceSequence[0]
    series = study.ReferencedSeriesSequence[0]
    assert study.StudyInstanceUID == one.StudyInstanceUID != uid("default", "study")
    assert series.SeriesInstanceUID == one.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert one.PatientID == other.PatientID == str(one.PatientName)


def test_classes_and_codings_stay_where_instances_are_mapped():
    item = {
        "ReferencedSOPClassUID": "1.2.826.0.1.3680043.9.1",
        "ReferencedSOPInstanceUID": "1.2.826.0.1.3680043.9.2",
        "ContextUID": "1.2.826.0.1.3680043.9.3",
    }
    after = anonymized(make_instance(ReferencedInstanceSequence=[item]))
    inner = after.ReferencedInstanceSequence[0]
    assert inner.ReferencedSOPClassUID == item["ReferencedSOPClassUID"]
    assert inner.ContextUID == item["ContextUID"]
    assert inner.ReferencedSOPInstanceUID.startswith("2.25.")


class TestMarks:
    def test_say_what_was_applied(self):
        after = anonymized(make_instance(), Options=["CleanDescriptors", "RetainUids"])
        assert after.PatientIdentityRemoved == "YES"
        assert after.DeidentificationMethod[0] == "Curator test 1"
        codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113105", "113110"]
        assert after.LongitudinalTemporalInformationModified == "REMOVED"
        assert "BurnedInAnnotation" not in after

    @pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
    def test_do_not_say_removed_where_a_rule_keeps_who_it_is(self, keyword):
        fields = {"Rules": [{"Tag": keyword, "Action": "Keep"}], "Residual": "Report"}
        assert anonymized(make_instance(), **fields).PatientIdentityRemoved == "NO"
        earlier = make_instance(PatientIdentityRemoved="YES")
        assert anonymized(earlier, **fields).PatientIdentityRemoved == "YES"

    @pytest.mark.parametrize(
        ("options", "term"),
        [
            ([], "REMOVED"),
            (["RetainLongitudinalModifiedDates"], "MODIFIED"),
            (["RetainLongitudinalFullDates"], "UNMODIFIED"),
        ],
    )
    def test_of_dates_follow_the_options(self, options, term):
        after = anonymized(make_instance(), Options=options)
        assert after.LongitudinalTemporalInformationModified == term

    def test_of_dates_never_tell_more_than_before(self):
        data = make_instance(LongitudinalTemporalInformationModified="MODIFIED")
        after = anonymized(data, Options=["RetainLongitudinalFullDates"])
        assert after.LongitudinalTemporalInformationModified == "MODIFIED"

    def test_that_stand_already_are_not_lost_and_not_doubled(self):
        code = {"CodingSchemeDesignator": "DCM", "CodeMeaning": "as it was"}
        data = make_instance(
            PatientIdentityRemoved="YES",
            DeidentificationMethod="Somebody else",
            DeidentificationMethodCodeSequence=[
                {"CodeValue": "113100", **code},
                {"CodeValue": "113101", **code},
            ],
        )
        once = anonymizer(Options=["CleanGraphics"]).anonymize(data)
        after = dataset(once.dicom)
        assert after.DeidentificationMethod[0] == "Somebody else"
        codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113101", "113103"]
        twice = dataset(anonymizer(Options=["CleanGraphics"]).anonymize(once.dicom).dicom)
        assert twice.DeidentificationMethod == after.DeidentificationMethod
        assert len(twice.DeidentificationMethodCodeSequence) == 3


RULE = {"PrivateCreator": "KEPT BY RULE", "Action": "Keep"}


class TestPrivate:
    PRIVATE = (
        Private(0x0029, "KEPT BY RULE", 0x01, "LO", "stays"),
        Private(0x0029, "KEPT BY RULE", 0x02, "UI", "1.2.826.0.1.3680043.9.5"),
        Private(0x0029, "KEPT BY RULE", 0x03, "PN", "SOMEBODY^ELSE"),
        Private(0x0029, "GOES", 0x01, "LO", "goes"),
        Private(0x0031, "GOES TOO", 0x01, "LO", "goes"),
    )

    def test_all_go_with_their_creators(self):
        assert [
            e.tag for e in anonymized(make_instance(private=self.PRIVATE)) if e.tag.is_private
        ] == []

    def test_a_creator_stays_exactly_with_what_it_is_for(self):
        data = make_instance(private=self.PRIVATE)
        result = anonymizer(Rules=[RULE]).anonymize(data)
        after = dataset(result.dicom)
        private = {e.tag for e in after if e.tag.is_private}
        assert private == {0x00290010, 0x00291001, 0x00291002, 0x00291003}
        assert after[0x00291001].value == "stays"
        assert after[0x00291002].value.startswith("2.25.")
        assert "SOMEBODY" not in str(after[0x00291003].value)
        assert result.kept_private == tuple(f'(0029,"KEPT BY RULE",{n:02X})' for n in (1, 2, 3))

    @pytest.mark.parametrize("explicit", [True, False])
    def test_sequences_in_un_are_entered(self, explicit):
        data = make_instance(private=[Private(0x0029, "KEPT BY RULE", 0x01, "LO", "x")])
        nested = Dataset()
        nested.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.9.5"
        nested.OperatorsName = "SOMEBODY^ELSE"
        outer = Dataset()
        outer.add(DataElement(0x00291010, "SQ", [nested]))
        out = pydicom.filebase.DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, True
        pydicom.filewriter.write_dataset(out, outer)
        raw = out.getvalue()[8:]
        path = '(0029,"KEPT BY RULE",10)'
        data = apply(data, Edits({parse_path(path): ReplaceEncoded("UN", raw)}))
        if not explicit:
            data = make_instance(
                transfer_syntax=factory.ImplicitVRLittleEndian,
                private=[Private(0x0029, "KEPT BY RULE", 0x10, "SQ", [nested])],
            )
        after = anonymized(data, Rules=[RULE])
        items = (
            pydicom.values.convert_SQ(bytes(after[0x00291010].value), True, True)
            if (after[0x00291010].VR == "UN")
            else after[0x00291010].value
        )
        assert items[0].ReferencedSOPInstanceUID.startswith("2.25.")
        assert items[0].OperatorsName != "SOMEBODY^ELSE"

    def test_without_creator_go_even_where_everything_is_kept(self):
        data = make_instance(private=self.PRIVATE[:1])
        stray = encode_element(0x00330000 | 0x1001, "LO", b"stray ", opened(data).site.encoding)
        meta = read_file_meta(data)
        site = opened(data).site
        data = data[: meta.end] + site.assembled({0x00331001: stray})
        rules = [{"VR": "LO", "Action": "Keep"}, RULE]
        assert 0x00331001 not in anonymized(data, Rules=rules, Residual="Report")


VRS = sorted(vr.decode() for vr in ALL_VRS - {b"SQ"})


@pytest.mark.parametrize("vr", VRS)
def test_an_unknown_element_of_any_vr_goes_with_what_is_in_it(vr):
    raw = NAME.encode("ascii").ljust(24, b" ")
    data = make_instance(PatientName=NAME)
    for tag in (0x00091001, 0x00190FF0, 0x0008FFF1):
        site = opened(data).site
        element = encode_element(tag, vr, raw, site.encoding)
        data = data[: read_file_meta(data).end] + site.assembled({tag: element})
    assert FAMILY in secrets_in(data)
    assert secrets_in(anonymizer().anonymize(data).dicom) == []


def test_group_lengths_go_and_what_they_counted_stays():
    data = load("test_files/MR_small.dcm")
    site = opened(data).site
    length = encode_element(0x00080000, "UL", b"\x01\x02\0\0", site.encoding)
    data = data[: read_file_meta(data).end] + site.assembled({0x00080000: length})
    after = anonymized(data)
    assert all(element.tag.element for element in after)
    assert after.Modality == "MR"


class TestUnknown:
    def test_known_attributes_in_un_are_what_the_dictionary_says(self):
        data = make_instance()
        edits = {
            "OperatorsName": ReplaceEncoded("UN", NAME.encode("ascii")),
            "ReferencedFrameOfReferenceUID": ReplaceEncoded("UN", b"1.2.3.45"),
            "PatientBirthName": ReplaceEncoded("UN", NAME.encode("ascii")),
        }
        data = apply(data, Edits({parse_path(path): edit for path, edit in edits.items()}))
        after = anonymized(data, Rules=[{"Tag": "PatientBirthName", "Action": "Dummy"}])
        assert "OperatorsName" not in after
        assert after.ReferencedFrameOfReferenceUID.startswith("2.25.")
        assert (after["PatientBirthName"].VR, str(after.PatientBirthName)) == ("PN", "Anonymous")


class TestResidual:
    DATA = make_instance(PatientName=NAME, PatientID=PATIENT_ID, ScanOptions="FS")

    def test_a_hit_names_the_element_and_no_value(self):
        data = apply(
            self.DATA,
            Edits({parse_path("ConvolutionKernel"): Replace(f"{PATIENT_ID} {FAMILY}"[:16])}),
        )
        with pytest.raises(ResidualIdentifiers) as refused:
            anonymizer().anonymize(data)
        assert refused.value.paths == ("ConvolutionKernel",)
        assert FAMILY not in str(refused.value)
        assert PATIENT_ID not in str(refused.value)

    def test_a_hit_can_be_reported_instead(self):
        data = apply(self.DATA, Edits({parse_path("ConvolutionKernel"): Replace(PATIENT_ID)}))
        result = anonymizer(Residual="Report").anonymize(data)
        assert len(result.warnings) == 1
        assert "ConvolutionKernel" in result.warnings[0]
        assert PATIENT_ID not in result.warnings[0]

    @pytest.mark.parametrize("transfer_syntax", SYNTAXES)
    @pytest.mark.parametrize("group", [0x0029, 0x7FE1], ids=["before pixels", "behind pixels"])
    def test_a_hit_is_found_wherever_it_stands(self, group, transfer_syntax):
        rules = [{"Tag": f'({group:04X},"KEPT BY RULE",01)', "Action": "Keep"}]
        kept = Private(group, "KEPT BY RULE", 0x01, "LO", PATIENT_ID)
        data = make_instance(transfer_syntax=transfer_syntax, PatientID=PATIENT_ID, private=[kept])
        with pytest.raises(ResidualIdentifiers) as refused:
            anonymizer(Rules=rules).anonymize(data)
        assert f"{group:04X},1001" in str(refused.value)

    def test_what_a_rule_keeps_by_name_is_no_hit(self):
        rules = [{"Tag": "AccessionNumber", "Action": "Keep"}]
        data = apply(self.DATA, Edits({parse_path("AccessionNumber"): Replace("ACX9981234")}))
        assert anonymized(data, Rules=rules).AccessionNumber == "ACX9981234"

    def test_what_a_blanket_rule_keeps_is_a_hit(self):
        rules = [{"VR": "LO", "Action": "Keep"}]
        data = apply(self.DATA, Edits({parse_path("StudyDescription"): Replace(PATIENT_ID)}))
        with pytest.raises(ResidualIdentifiers):
            anonymizer(Rules=rules).anonymize(data)

    def test_a_template_that_brings_an_identifier_back_is_a_hit(self):
        rules = [{"Tag": "StudyDescription", "Action": "Replace", "Value": "of {PatientID}"}]
        with pytest.raises(ResidualIdentifiers):
            anonymizer(Rules=rules).anonymize(self.DATA)


class TestExplanation:
    def test_tells_every_change_with_its_path(self):
        data = make_instance(
            PatientName=NAME,
            RequestAttributesSequence=None,
            ReferencedInstanceSequence=[{"ReferencedSOPInstanceUID": "1.2.3"}] * 2,
            private=[Private(0x0029, "MAKER", 0x10, "LO", "value")],
        )
        result = anonymizer().anonymize(data, explain=True)
        found = {one.path: one for one in result.explained}
        name = found["PatientName"]
        assert (name.action, name.before) == (Action.PSEUDONYM, NAME)
        assert name.after == str(dataset(result.dicom).PatientName)
        nested = found["ReferencedInstanceSequence[1].ReferencedSOPInstanceUID"]
        assert nested.before == "1.2.3"
        assert nested.after.startswith("2.25.")
        assert found["StudyDescription"].after is None
        assert found["StudyDate"].after == ""
        assert found['(0029,"MAKER",10)'].before == "value"
        assert found["PatientIdentityRemoved"].before is None
        assert "Rows" not in found
        assert sum(result.counts.values()) == len(result.explained)

    def test_cuts_long_values_and_shows_no_bytes(self):
        data = make_instance(PatientComments="x" * 500, ICCProfile=None)
        data = apply(data, Edits({parse_path("6000,3000"): ReplaceEncoded("OW", bytes(32))}))
        found = {one.path: one for one in anonymizer().anonymize(data, explain=True).explained}
        assert len(found["PatientComments"].before) == 64
        assert found["6000,3000"].before == "32 bytes"

    def test_changes_nothing(self):
        data = with_secrets(make_instance())
        once = anonymizer()
        assert once.anonymize(data, explain=True).dicom == once.anonymize(data).dicom
        assert once.anonymize(data).explained == ()


class TestConditions:
    def test_are_decided_on_the_original(self):
        rules = [
            {"Tag": "Modality", "Action": "Replace", "Value": "OT"},
            {
                "When": {"Tag": "Modality", "Equals": "CT"},
                "Tag": "BodyPartExamined",
                "Action": "Remove",
            },
        ]
        for modality, kept in (("CT", False), ("MR", True)):
            data = make_instance(Modality=modality, BodyPartExamined="HEAD")
            after = anonymized(data, Rules=rules)
            assert ("BodyPartExamined" in after) == kept


class TestText:
    def test_that_does_not_fit_widens_the_instance(self):
        data = make_instance(SpecificCharacterSet="ISO_IR 100", StationName="Zürich")
        rules = [
            {"Tag": "ClinicalTrialProtocolName", "Action": "Keep"},
            {"Tag": "StudyDescription", "Action": "Replace", "Value": "研究"},
            {"Tag": "StationName", "Action": "Keep"},
        ]
        after = anonymized(data, Rules=rules)
        assert after.SpecificCharacterSet == "ISO_IR 192"
        assert (after.StudyDescription, after.StationName) == ("研究", "Zürich")

    def test_that_nothing_is_left_of_is_not_left_empty(self):
        data = make_instance(PatientName=NAME, StudyDescription=FAMILY)
        after = anonymized(data, Options=["CleanDescriptors"])
        assert after.StudyDescription
        assert FAMILY not in after.StudyDescription

    def test_that_nobody_can_read_is_replaced(self):
        data = apply(
            make_instance(SpecificCharacterSet="ISO_IR 192"),
            Edits({parse_path("StudyDescription"): Replace("x")}),
        )
        site = opened(data).site
        broken = encode_element(0x00081030, "LO", b"\xff\xfe", site.encoding)
        data = data[: read_file_meta(data).end] + site.assembled({0x00081030: broken})
        after = anonymized(data, Options=["CleanDescriptors"])
        assert after.StudyDescription == "Removed"

    def test_in_sequences_that_are_cleaned_is_cleaned_and_codes_stay(self):
        code = {
            "CodeValue": "12345678",
            "CodingSchemeDesignator": "L",
            "CodeMeaning": f"Thorax of {FAMILY}",
        }
        data = make_instance(PatientName=NAME, ReasonForRequestedProcedureCodeSequence=[code])
        after = anonymized(data, Options=["CleanDescriptors"])
        item = after.ReasonForRequestedProcedureCodeSequence[0]
        assert (item.CodeValue, item.CodingSchemeDesignator) == ("12345678", "L")
        assert "Thorax" in item.CodeMeaning
        assert FAMILY not in item.CodeMeaning


def test_a_directory_is_refused():
    with pytest.raises(UnsupportedInstance):
        anonymizer().anonymize(load("test_files/dicomdirtests/DICOMDIR"))


def test_a_uid_in_the_head_alone_does_not_stay_there():
    data = make_instance()
    site = opened(data).site
    old = uid("default", "instance")
    data = data[: read_file_meta(data).end] + site.assembled({0x00080018: b""})
    assert old.encode("ascii") in data
    result = anonymizer().anonymize(data).dicom
    assert old.encode("ascii") not in result
    assert dataset(result).SOPInstanceUID == dataset(result).file_meta.MediaStorageSOPInstanceUID


class PaintedBlack:
    """A cleaner that makes every pixel black; compressed ones have to be decoded for it."""

    def __init__(self, syntax: str | None = None) -> None:
        self.syntax = syntax

    def plan(self, instance, holding):
        return PixelPlan(rules=("$.Rules[0]",), detect=True, cleaned=True, warnings=("a warning",))

    def needs_native(self, instance):
        return instance.site.is_delimited(PIXEL_DATA)

    def changes(self, instance, plan):
        site = instance.site
        black = encode_element(PIXEL_DATA, "OW", bytes(len(site.raw(PIXEL_DATA))), site.encoding)
        return {PIXEL_DATA: black}, self.syntax


def painting(**fields: Any) -> Anonymizer:
    made = profile(**fields)
    resolver = Resolver(made, load_tables())
    values = Values(made, derived(KEY))
    return Anonymizer(made, resolver, values, PaintedBlack(), default_charset="ISO_IR 100")


ICON = {"Rows": 1, "Columns": 2, "BitsAllocated": 8, "PixelData": b"\x01\x02"}


class TestPixels:
    def test_that_change_take_the_icons_along_and_are_said_to_be_clean(self):
        rules = [{"Tag": "IconImageSequence", "Action": "Keep"}]
        image = [{"ReferencedSOPInstanceUID": "1.2.3", "IconImageSequence": [ICON]}]
        data = make_instance(IconImageSequence=[ICON], ReferencedInstanceSequence=image)
        kept = anonymized(data, Rules=rules)
        assert "IconImageSequence" in kept
        result = painting(Rules=rules).anonymize(data)
        after = dataset(result.dicom)
        assert not any(after.PixelData)
        assert "IconImageSequence" not in after
        assert "IconImageSequence" not in after.ReferencedInstanceSequence[0]
        assert after.BurnedInAnnotation == "NO"
        assert result.pixel_rules == ("$.Rules[0]",)
        assert result.warnings == ("a warning",)

    def test_that_are_compressed_are_decoded_by_somebody_else(self):
        arguments = {"PatientName": NAME, "StudyDescription": FAMILY}
        data = make_instance(transfer_syntax=factory.JPEGBaseline8Bit, **arguments)
        after = dataset(painting().anonymize(data, native=lambda: make_instance(**arguments)).dicom)
        assert after.file_meta.TransferSyntaxUID == factory.ExplicitVRLittleEndian
        assert not any(after.PixelData)
        assert secrets_in(painting().anonymize(data, native=lambda: make_instance()).dicom) == []

    def test_that_nobody_decodes_are_refused(self):
        data = make_instance(transfer_syntax=factory.JPEGBaseline8Bit)
        with pytest.raises(Refused):
            painting().anonymize(data)

    @pytest.mark.parametrize(
        "other", [{"SOPInstanceUID": "1.2.3"}, {"StudyDescription": None}, {"Rows": 8}]
    )
    def test_of_another_instance_are_refused(self, other):
        data = make_instance(transfer_syntax=factory.JPEGBaseline8Bit)
        with pytest.raises(Refused):
            painting().anonymize(data, native=lambda: make_instance(**other))

    def test_under_their_old_uid_are_warned_of(self):
        result = painting(Options=["RetainUids"]).anonymize(make_instance())
        assert len(result.warnings) == 2


class TestEncryption:
    def test_brings_the_originals_back_to_who_has_the_key(self):
        nested = [{"ReferencedSOPInstanceUID": "1.2.3"}]
        data = make_instance(
            PatientName=NAME,
            PatientID=PATIENT_ID,
            PatientBirthDate="19320917",
            ReferencedInstanceSequence=nested,
        )
        rules = [
            {"Tag": keyword, "Action": "Encrypt"}
            for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate")
        ]
        rules.append({"Tag": "ReferencedSOPInstanceUID", "Action": "Encrypt"})
        result = anonymizer(Rules=rules, Recipients=[certificate()]).anonymize(data)
        assert secrets_in(result.dicom) == []
        after = dataset(result.dicom)
        assert after.PatientID == anonymized(data).PatientID
        assert after.StudyDate == ""
        assert result.counts[Action.ENCRYPT, "PatientID"] == 1
        back = dataset(reidentified(result.dicom, key_and_certificate()))
        before = dataset(data)
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate"):
            assert back[keyword] == before[keyword]
        assert back.ReferencedInstanceSequence == before.ReferencedInstanceSequence
        assert back.PatientIdentityRemoved == "NO"

    def test_keeps_what_others_have_encrypted(self):
        rules = [{"Tag": "PatientName", "Action": "Encrypt"}]
        data = make_instance(PatientName=NAME)
        once = anonymizer(Rules=rules, Recipients=[certificate("one")]).anonymize(data).dicom
        twice = anonymizer(Rules=rules, Recipients=[certificate("other")]).anonymize(once).dicom
        assert len(dataset(twice).EncryptedAttributesSequence) == 2
        assert dataset(reidentified(twice, key_and_certificate("one"))).PatientName == NAME


def test_several_threads_share_one_anonymizer():
    files = [with_secrets(make_instance(SOPInstanceUID=f"1.2.3.{n % 7}")) for n in range(56)]
    expected = [anonymizer().anonymize(data).dicom for data in files]
    shared = anonymizer()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: shared.anonymize(data).dicom, files))
    assert found == expected
