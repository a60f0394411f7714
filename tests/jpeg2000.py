"""Images in JPEG 2000 whose pixels are known without decoding them.

Each is a ramp of `ROWS` by `COLUMNS` pixels. They were encoded once by OpenJPEG (lossless, PS3.5
A.4.4), so that the tests need no encoder.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from factory import encoded, make_instance

ROWS, COLUMNS = 32, 40

_RAMPS = {
    "gray8": ("u1", 5, 3, 2, 1),
    "gray8 reversed": ("u1", 250, -3, -2, 1),
    "rgb8": ("u1", 1, 2, 1, 3),
    "rgb8 apart": ("u1", 1, 2, 1, 3),
    "unsigned12": ("u2", 100, 70, 30, 1),
    "signed16": ("i2", -32768, 1000, 700, 1),
    "signed12": ("i2", -2048, 60, 40, 1),
    "rgb16": ("u2", 17, 400, 100, 3),
}
"""Type, first value, steps to the right and down, samples per pixel."""

KINDS = tuple(_RAMPS)
"""Names of the images; of ``apart`` the colors are not transformed."""


def ramp(kind: str) -> NDArray[Any]:
    """Return the pixels of an image, shape (ROWS, COLUMNS) or (ROWS, COLUMNS, 3)."""
    dtype, low, across, down, samples = _RAMPS[kind]
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    planes = [
        low + across * (sample + 1) * x + down * (samples - sample) * y for sample in range(samples)
    ]
    return (planes[0] if samples == 1 else np.stack(planes, -1)).astype(f"<{dtype}")


def codestream(kind: str) -> bytes:
    """Return an image in JPEG 2000."""
    return base64.b64decode(_CODESTREAMS[kind])


def make_jpeg2000(*kinds: str, **elements: Any) -> bytes:
    """Return an instance in JPEG 2000 Lossless with a frame of each kind, alike but for pixels."""
    first = ramp(kinds[0])
    color = first.ndim == 3
    bits = 12 if "12" in kinds[0] else 8 * first.itemsize
    described = {
        "Rows": ROWS,
        "Columns": COLUMNS,
        "SamplesPerPixel": 3 if color else 1,
        "PhotometricInterpretation": "YBR_RCT" if color else "MONOCHROME2",
        "PlanarConfiguration": 0 if color else None,
        "BitsAllocated": 8 * first.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(first.dtype.kind == "i"),
        "NumberOfFrames": len(kinds) if len(kinds) > 1 else None,
    }
    dataset = dcmread(BytesIO(make_instance(pixels=b"", **{**described, **elements})))
    dataset.PixelData = encapsulate([codestream(kind) for kind in kinds])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return encoded(dataset, JPEG2000Lossless)


_CODESTREAMS = {
    "gray8": """
        /0//UQApAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAABBwEB/1IADAAAAAEABQQEAAH/XAATQEBISFBISFBI
        SFBISFBISFD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAABWAAH/k8+0DAZWn8AQw+oC
        AAcCZMA6FB84QA4HCzt338D5AkD5AgAnOXc/A4ABt8B8IkB8IgBA4+wvR+g4PcA6JAOigHQt4E+qcinev//Z
    """,
    "gray8 reversed": """
        /0//UQApAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAABBwEB/1IADAAAAAEABQQEAAH/XAATQEBISFBISFBI
        SFBISFBISFD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAABZAAH/k8+0EAOm/3/AOgw+
        oDADCR1/wDocHzhADP9/DBa/78D5AkD5AgAmjXU/AM/5t8B8IkB8IgBAN+ovSKSkk8A6JAOigHOB3k+qXKmev//Z
    """,
    "rgb8": """
        /0//UQAvAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAADBwEBBwEBBwEB/1IADAAAAAEBBQQEAAH/XAATQEBI
        SFBISFBISFBISFBISFD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAFbAAH/k8+0DAY2
        S8fUBgrw78fUBgv0I8AQw+oCgBCABwJmA8AQwfOCAAcJHMAQwfOCAAMCZMA6FB84SAEIDgcLO3ffDsAQwPkBwB0IDQwWHA+v
        wBDA+QGADAs7d8HzhYHyBIA6GCcqg9sWA4ABpynv18D5AsD5AsD5wgAnMPv/fynaWiTyKe07r8D5AkB8IYAmjwbfA4Afw+oK
        gPhIgfOHdtMKs/ZanQKCL0foKzZRPeJ/dcXcK7K7hc/ALgfIJh9oSHbSXOeD8nnK8WIPcd2IC+TEadw/dcXcKx08Dtu/wHwi
        QDoYQDgEj0foN8faHwfOMg+oHKlaiTDvUjKbNGJrdRzBn74DO7U2pOHbSZzPB6l/e2+VgbffmJx9oZH4A4CpWokw71IykzfU
        I0k+y35HY7fnvgM7tTap6tKJPDtfqX97b5WBt8A6JAEYc4Hee6pyKf/Z
    """,
    "rgb8 apart": """
        /0//UQAvAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAADBwEBBwEBBwEB/1IADAAAAAEABQQEAAH/XAATQEBI
        SFBISFBISFBISFBISFD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAEzAAH/k8+0DAXP
        r8+0DAY2U8+0DAlqy8AQw+oCAAcBu8A6DD6gIAcCZMB8IMHzgoAQgAcCZQPAEMHzhAANCzmFn8A6FB84QA4HCzt338A6FA+Q
        JAHQgA4DCyrdrw+vwPkCQPkCACc7CN8DgT0/wfOEgfIEACc7CN8DgAG3wfOFgPhFgPkCgCcqZtrFA3rLogkpxh8Gf8B8IkB8
        IgBA5AXfR+gwd8D5A0B8IgBA5AaFti9H6Dg9z8AyB8gqH2hIdtJct2/f3MDvJm/bcdz4V4F2Hnitf3XF3CsdPA7bv8A6JAOi
        AHQt4HuqcinTwHwiwDoodC3ge9+qcinev9+YnH2hkfgDgKlaiTDvUjKTN9P5wd+jDAeOg3++Azu1Nqnq0ohHvmupf3tvlYG3
        /9k=
    """,
    "unsigned12": """
        /0//UQApAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAABCwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBo
        aHBoaHBoaHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAB+AAH/k8/kEAV3Aj/APqAo
        fsCABX8Cc6Q/wD6gSD8wUA4JZT8LO5qlh8H5gsD8AcAnOsnl5wOACj2bmX/A/AKgPtCQQOQGhbYyRly0n0foOCfOjwEQz8B9
        obAHzix0LeB76pbIAwkCIMB/qnIp1Avqk4AAGD//2Q==
    """,
    "signed16": """
        /0//UQApAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAABjwEB/1IADAAAAAEABQQEAAH/XAATQICIiJCIiJCI
        iJCIiJCIiJD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAACdAAH/k8/8MBQGNh0yu8A/
        YDh/4MCAByA/Acexv8A/YFg/8ABwDgsAN38LOSmOlhIiwf9AAiB/gJAnOxEyasJbYQOBWH6JQLCFF8D/APgP5DRA5AaVJOgP
        3dNKFjvHOt9H6DCOt6vAADf5ZSAwwD9g6AfsJHQt4FA0JNwBgiMg/boRqnIp3sn/SADCBp2CXzB4AYSD/9k=
    """,
    "signed12": """
        /0//UQApAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAABiwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBo
        aHBoaHBoaHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAB7AAH/k8/kEAY2gr/APqAo
        fsBgBy8CS6jAPqA4PzBQDgsDCzw92e/B+YNA/AHAJzsRLysDA4AhuZv/f8D8AmA+0LBA5AaYgZgH099H6Dg+oumAiD8Bf8A+
        oKgH1BZ0LeBQMjpQAwkHqnIp3sn/SADCQl//2Q==
    """,
    "rgb16": """
        /0//UQAvAAAAAAAoAAAAIAAAAAAAAAAAAAAAKAAAACAAAAAAAAAAAAADDwEBDwEBDwEB/1IADAAAAAEBBQQEAAH/XAATQICI
        iJCIiJCIiJCIiJCIiJD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAAGKAAH/k8/8MBQG
        PdD358f+DAoLXuIdT8f+DAoMNeSdU8AfmBQP8AoJbAGZQpe/wA/ACgP5BAAJawhRVpfAD8AKA/kEAAAHAZlCk8AfmCwH8gwO
        BQB8fws5ha3j88APwBIB+wMADgUAewwVxtbx98APwBIB+wMADPb49ws5ha3j78D/AIgH7BAnOXdBUt6pfwOBPUK4HIhvwH8g
        8AfmDic5d0FS3qgA0TVCuByfwH8g8AfmDiaNdUFS3qgDgT1CuByfwH8hcAfmGEDj7ClIUkZctKQtR+gwd17OCKi2y2I3wD9g
        uAH4BYBA4+wpSFJGXLSkJ0ikoLuvZwRUW2WvwD9guAH4BYBAN+opSFJGXLSkJ0foMHdezgiotstfwD9gyAH4BwB0LeBQ3kjI
        AwVD/JeqcinUIWjVgAAYOcFgl8AfmGQAfaHAdC3gUN5IyAMFQ/yXqlyplCFo1YAAGDnBYI/AH5hkAH2hwHOB3lDeSMgDBUP8
        l6pyKdQhaNWAABg5wWCP/9k=
    """,
}
