"""Attributes of the modules that patients, studies and series share.

Source: DICOM PS3.3 2026d, © NEMA (C.7.1.1, C.7.1.3, C.7.2.1 to C.7.2.3, C.7.3.1, C.7.3.2, C.7.5.1).
"""

from curator.dicom.tags import Tag

PATIENT = frozenset(
    {
        Tag(0x00081120),  # ReferencedPatientSequence
        Tag(0x00100010),  # PatientName
        Tag(0x00100020),  # PatientID
        Tag(0x00100021),  # IssuerOfPatientID
        Tag(0x00100022),  # TypeOfPatientID
        Tag(0x00100024),  # IssuerOfPatientIDQualifiersSequence
        Tag(0x00100026),  # SourcePatientGroupIdentificationSequence
        Tag(0x00100027),  # GroupOfPatientsIdentificationSequence
        Tag(0x00100030),  # PatientBirthDate
        Tag(0x00100032),  # PatientBirthTime
        Tag(0x00100033),  # PatientBirthDateInAlternativeCalendar
        Tag(0x00100034),  # PatientDeathDateInAlternativeCalendar
        Tag(0x00100035),  # PatientAlternativeCalendar
        Tag(0x00100040),  # PatientSex
        Tag(0x00100200),  # QualityControlSubject
        Tag(0x00100212),  # StrainDescription
        Tag(0x00100213),  # StrainNomenclature
        Tag(0x00100216),  # StrainStockSequence
        Tag(0x00100218),  # StrainAdditionalInformation
        Tag(0x00100219),  # StrainCodeSequence
        Tag(0x00100221),  # GeneticModificationsSequence
        Tag(0x00101001),  # OtherPatientNames
        Tag(0x00101002),  # OtherPatientIDsSequence
        Tag(0x00101100),  # ReferencedPatientPhotoSequence
        Tag(0x00102161),  # EthnicGroupCodeSequence
        Tag(0x00102201),  # PatientSpeciesDescription
        Tag(0x00102202),  # PatientSpeciesCodeSequence
        Tag(0x00102292),  # PatientBreedDescription
        Tag(0x00102293),  # PatientBreedCodeSequence
        Tag(0x00102294),  # BreedRegistrationSequence
        Tag(0x00102297),  # ResponsiblePerson
        Tag(0x00102298),  # ResponsiblePersonRole
        Tag(0x00102299),  # ResponsibleOrganization
        Tag(0x00104000),  # PatientComments
        Tag(0x00120062),  # PatientIdentityRemoved
        Tag(0x00120063),  # DeidentificationMethod
        Tag(0x00120064),  # DeidentificationMethodCodeSequence
    }
)
CLINICAL_TRIAL_SUBJECT = frozenset(
    {
        Tag(0x00120010),  # ClinicalTrialSponsorName
        Tag(0x00120020),  # ClinicalTrialProtocolID
        Tag(0x00120021),  # ClinicalTrialProtocolName
        Tag(0x00120022),  # IssuerOfClinicalTrialProtocolID
        Tag(0x00120023),  # OtherClinicalTrialProtocolIDsSequence
        Tag(0x00120030),  # ClinicalTrialSiteID
        Tag(0x00120031),  # ClinicalTrialSiteName
        Tag(0x00120032),  # IssuerOfClinicalTrialSiteID
        Tag(0x00120040),  # ClinicalTrialSubjectID
        Tag(0x00120041),  # IssuerOfClinicalTrialSubjectID
        Tag(0x00120042),  # ClinicalTrialSubjectReadingID
        Tag(0x00120043),  # IssuerOfClinicalTrialSubjectReadingID
        Tag(0x00120081),  # ClinicalTrialProtocolEthicsCommitteeName
        Tag(0x00120082),  # ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    }
)
GENERAL_STUDY = frozenset(
    {
        Tag(0x00080020),  # StudyDate
        Tag(0x00080030),  # StudyTime
        Tag(0x00080050),  # AccessionNumber
        Tag(0x00080051),  # IssuerOfAccessionNumberSequence
        Tag(0x00080090),  # ReferringPhysicianName
        Tag(0x00080096),  # ReferringPhysicianIdentificationSequence
        Tag(0x0008009C),  # ConsultingPhysicianName
        Tag(0x0008009D),  # ConsultingPhysicianIdentificationSequence
        Tag(0x00081030),  # StudyDescription
        Tag(0x00081032),  # ProcedureCodeSequence
        Tag(0x00081048),  # PhysiciansOfRecord
        Tag(0x00081049),  # PhysiciansOfRecordIdentificationSequence
        Tag(0x00081060),  # NameOfPhysiciansReadingStudy
        Tag(0x00081062),  # PhysiciansReadingStudyIdentificationSequence
        Tag(0x00081110),  # ReferencedStudySequence
        Tag(0x0020000D),  # StudyInstanceUID
        Tag(0x00200010),  # StudyID
        Tag(0x00321033),  # RequestingService
        Tag(0x00321034),  # RequestingServiceCodeSequence
        Tag(0x00401012),  # ReasonForPerformedProcedureCodeSequence
    }
)
PATIENT_STUDY = frozenset(
    {
        Tag(0x00081080),  # AdmittingDiagnosesDescription
        Tag(0x00081084),  # AdmittingDiagnosesCodeSequence
        Tag(0x00101010),  # PatientAge
        Tag(0x00101020),  # PatientSize
        Tag(0x00101021),  # PatientSizeCodeSequence
        Tag(0x00101022),  # PatientBodyMassIndex
        Tag(0x00101023),  # MeasuredAPDimension
        Tag(0x00101024),  # MeasuredLateralDimension
        Tag(0x00101030),  # PatientWeight
        Tag(0x00102000),  # MedicalAlerts
        Tag(0x00102110),  # Allergies
        Tag(0x00102180),  # Occupation
        Tag(0x001021A0),  # SmokingStatus
        Tag(0x001021B0),  # AdditionalPatientHistory
        Tag(0x001021C0),  # PregnancyStatus
        Tag(0x001021D0),  # LastMenstrualDate
        Tag(0x00102203),  # PatientSexNeutered
        Tag(0x00321066),  # ReasonForVisit
        Tag(0x00321067),  # ReasonForVisitCodeSequence
        Tag(0x00380010),  # AdmissionID
        Tag(0x00380014),  # IssuerOfAdmissionIDSequence
        Tag(0x00380060),  # ServiceEpisodeID
        Tag(0x00380062),  # ServiceEpisodeDescription
        Tag(0x00380064),  # IssuerOfServiceEpisodeIDSequence
        Tag(0x00380500),  # PatientState
    }
)
CLINICAL_TRIAL_STUDY = frozenset(
    {
        Tag(0x00120050),  # ClinicalTrialTimePointID
        Tag(0x00120051),  # ClinicalTrialTimePointDescription
        Tag(0x00120052),  # LongitudinalTemporalOffsetFromEvent
        Tag(0x00120053),  # LongitudinalTemporalEventType
        Tag(0x00120054),  # ClinicalTrialTimePointTypeCodeSequence
        Tag(0x00120055),  # IssuerOfClinicalTrialTimePointID
        Tag(0x00120083),  # ConsentForClinicalTrialUseSequence
    }
)
GENERAL_SERIES = frozenset(
    {
        Tag(0x00080021),  # SeriesDate
        Tag(0x00080031),  # SeriesTime
        Tag(0x00080060),  # Modality
        Tag(0x0008103E),  # SeriesDescription
        Tag(0x0008103F),  # SeriesDescriptionCodeSequence
        Tag(0x00081050),  # PerformingPhysicianName
        Tag(0x00081052),  # PerformingPhysicianIdentificationSequence
        Tag(0x00081070),  # OperatorsName
        Tag(0x00081072),  # OperatorIdentificationSequence
        Tag(0x00081111),  # ReferencedPerformedProcedureStepSequence
        Tag(0x00081250),  # RelatedSeriesSequence
        Tag(0x00102210),  # AnatomicalOrientationType
        Tag(0x00180015),  # BodyPartExamined
        Tag(0x00181030),  # ProtocolName
        Tag(0x00185100),  # PatientPosition
        Tag(0x0020000E),  # SeriesInstanceUID
        Tag(0x00200011),  # SeriesNumber
        Tag(0x00200060),  # Laterality
        Tag(0x00280108),  # SmallestPixelValueInSeries
        Tag(0x00280109),  # LargestPixelValueInSeries
        Tag(0x00400244),  # PerformedProcedureStepStartDate
        Tag(0x00400245),  # PerformedProcedureStepStartTime
        Tag(0x00400250),  # PerformedProcedureStepEndDate
        Tag(0x00400251),  # PerformedProcedureStepEndTime
        Tag(0x00400253),  # PerformedProcedureStepID
        Tag(0x00400254),  # PerformedProcedureStepDescription
        Tag(0x00400260),  # PerformedProtocolCodeSequence
        Tag(0x00400275),  # RequestAttributesSequence
        Tag(0x00400280),  # CommentsOnThePerformedProcedureStep
        Tag(0x300A0700),  # TreatmentSessionUID
    }
)
CLINICAL_TRIAL_SERIES = frozenset(
    {
        Tag(0x00120060),  # ClinicalTrialCoordinatingCenterName
        Tag(0x00120071),  # ClinicalTrialSeriesID
        Tag(0x00120072),  # ClinicalTrialSeriesDescription
        Tag(0x00120073),  # IssuerOfClinicalTrialSeriesID
    }
)
GENERAL_EQUIPMENT = frozenset(
    {
        Tag(0x00080070),  # Manufacturer
        Tag(0x00080080),  # InstitutionName
        Tag(0x00080081),  # InstitutionAddress
        Tag(0x00081010),  # StationName
        Tag(0x00081040),  # InstitutionalDepartmentName
        Tag(0x00081041),  # InstitutionalDepartmentTypeCodeSequence
        Tag(0x00081090),  # ManufacturerModelName
        Tag(0x00181000),  # DeviceSerialNumber
        Tag(0x00181002),  # DeviceUID
        Tag(0x00181008),  # GantryID
        Tag(0x0018100A),  # UDISequence
        Tag(0x0018100B),  # ManufacturerDeviceClassUID
        Tag(0x00181020),  # SoftwareVersions
        Tag(0x00181050),  # SpatialResolution
        Tag(0x00181200),  # DateOfLastCalibration
        Tag(0x00181201),  # TimeOfLastCalibration
        Tag(0x00181204),  # DateOfManufacture
        Tag(0x00181205),  # DateOfInstallation
        Tag(0x00280120),  # PixelPaddingValue
    }
)

#: What a study's instances have in common: the patient's and the study's attributes.
STUDY_LEVEL = (
    PATIENT | CLINICAL_TRIAL_SUBJECT | GENERAL_STUDY | PATIENT_STUDY | CLINICAL_TRIAL_STUDY
)

#: What a series' instances have in common, beyond that.
SERIES_LEVEL = GENERAL_SERIES | CLINICAL_TRIAL_SERIES | GENERAL_EQUIPMENT

#: What tells patients apart, by keyword; merging studies in which it differs makes one of two.
IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")

#: What also belongs to the identity, but is spelled differently too often to be decisive.
IDENTITY_WARNING = ("PatientName",)
