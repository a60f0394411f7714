"""Every row of the table of known devices is understood, and paints its rectangle."""

import pytest

from curator.anonymize.pixels.devices import COLUMNS, Alternatives, Device, Image, parsed
from curator.anonymize.pixels.tables import known_devices
from curator.dicom.tags import tag_text
from factory import encoded
from unit.anonymize.pixels.images import array, cleaned, cleaner, image, planned, read

DEVICES = known_devices().devices
HEAD = ",".join(COLUMNS)


def one_of(wanted: Alternatives) -> str:
    return " ".join(wanted.texts[0]) if wanted.texts else ""


def header(device: Device) -> dict:
    """Return the smallest header that a row is for."""
    elements = {
        "Modality": one_of(device.modality) or "CT",
        "Manufacturer": one_of(device.manufacturer),
        "ManufacturerModelName": one_of(device.model),
    }
    for clause in (*device.all_of, *device.any_of[:1]):
        keyword = str(clause.path)
        elements[keyword] = "\\".join(clause.texts.texts[0])
    return elements


def made_for(device: Device) -> bytes:
    """Return an image that a row is for, large enough for its rectangle."""
    left, top, width, height = device.rectangle
    elements = header(device)
    name = elements.pop("ImplementationVersionName", "CURATOR")
    overlay = elements.pop("6000,0022", None)
    dicom = image(
        allocated=8,
        rows=min(device.rows, default=top + height + 5),
        columns=min(device.columns, default=left + width + 5),
        **elements,
    )
    if overlay is not None:
        dataset = read(dicom)
        dataset.add_new(0x60000022, "LO", overlay)
        dicom = encoded(dataset)
    return dicom.replace(b"PYDICOM", name[:7].ljust(7).encode(), 1)


def test_every_row_is_read():
    assert len(DEVICES) == 179


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_every_row_fits_its_device_and_no_other(device):
    left, top, width, height = device.rectangle
    rows = min(device.rows, default=top + height + 5)
    columns = min(device.columns, default=left + width + 5)
    elements = header(device)
    fitting = Image(
        elements["Modality"], elements["Manufacturer"], elements["ManufacturerModelName"],
        rows, columns,
    )  # fmt: skip

    def texts(path):
        return elements.get(tag_text(path.tag), "")

    assert device in known_devices().matching(fitting, texts)
    if device.rows:
        assert not device.suits(Image(*_texts_of(fitting), 3, columns))
    if device.manufacturer.texts:
        assert not device.suits(Image(fitting.modality, "OTHER", fitting.model, rows, columns))
    if device.all_of or device.any_of:
        assert not device.holds(lambda path: "")


def _texts_of(fitting: Image) -> tuple[str, str, str]:
    return fitting.modality, fitting.manufacturer, fitting.model


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_every_row_paints_its_rectangle(device):
    dicom = made_for(device)
    made = cleaner(options=("CleanPixelData",))
    assert device.name in planned(dicom, made).rules
    left, top, width, height = device.rectangle
    after = array(cleaned(dicom, made))
    assert not after[..., top : top + height, left : left + width].any()
    assert after.any()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("s,US,M,,,,Rows greater 3,0,0,5,5,", "not understood"),
        ("s,US,M,,,,NoSuchKeyword contains X,0,0,5,5,", "NoSuchKeyword"),
        ("s,US,M,,,,Modality contains,0,0,5,5,", "not understood"),
        ("s,US,M,,,,Rows equals 5,0,0,5,5,", "holds no text"),
        ("s,US,M,,many,,,0,0,5,5,", "MANY"),
        ("s,US,M,,,,,0,0,0,5,", "empty"),
        ("s,US,M,,,,,-1,0,5,5,", "empty"),
        ("s,US", "row 1"),
    ],
)
def test_a_row_that_is_not_understood_is_refused_by_its_number(row, problem):
    with pytest.raises(ValueError, match="row 1") as refused:
        parsed(["# comment\n", f"{HEAD}\n", f"{row}\n"])
    assert problem in str(refused.value)


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="columns"):
        parsed(["a,b\n", "1,2\n"])


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        ("Modality contains ct", {"Modality": "CT"}, True),
        ("SeriesDescription contains dose", {"SeriesDescription": "XDOSE REPORT"}, True),
        ("ImageType contains A+B", {"ImageType": "B\\X\\A1A"}, False),
        ("ImageType contains AAA+BBB", {"ImageType": "BBB\\X\\AAA"}, True),
        ("ImageType contains AAA+BBB", {"ImageType": "BBB"}, False),
        ("ImageType contains AAA|BBB", {"ImageType": "BBB"}, True),
        ("WindowWidth equals 1", {"WindowWidth": "1.0"}, True),
        ("WindowWidth equals 1", {"WindowWidth": "10"}, False),
        (
            "any-of:Modality contains MR AND any-of:ImageType contains AAA",
            {"ImageType": "AAA"},
            True,
        ),
        (
            "any-of:Modality contains MR AND any-of:ImageType contains AAA",
            {"ImageType": "B"},
            False,
        ),
        ("Modality contains MRI AND ImageType contains AAA", {"ImageType": "AAA"}, False),
    ],
)
def test_conditions_mean_what_the_table_says(condition, values, holds):
    (device,) = parsed([f"{HEAD}\n", f"s,,,,,,{condition},0,0,5,5,\n"]).devices
    assert device.holds(lambda path: values.get(tag_text(path.tag), "")) is holds


def test_a_short_name_has_to_be_a_word():
    maker = Alternatives((("GE",),))
    assert maker.fit("GE MEDICAL SYSTEMS")
    assert maker.fit("XY/GE")
    assert not maker.fit("IMAGE SYSTEMS")
