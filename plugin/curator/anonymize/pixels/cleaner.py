"""Clean the pixels of instances by the rules of a profile and the table of known devices.

Rules of the profile always apply; the table of devices, and the refusal of risky kinds that no rule
covers, belong to the option CleanPixelData (PS3.15 E.3.1). A rule with ``Keep`` takes back what the
table and earlier rules ask for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from curator.anonymize.decision import Action, Place
from curator.anonymize.errors import PixelsNotCovered, Refused
from curator.anonymize.pixels.devices import Device, Devices, Image
from curator.anonymize.pixels.geometry import Area, Box, area, clipped, outside
from curator.anonymize.pixels.layout import (
    COLUMNS,
    NUMBER_OF_FRAMES,
    ROWS,
    Layout,
    layout_of,
    number,
    pixels_tag,
    text,
)
from curator.anonymize.pixels.paint import Canvas
from curator.anonymize.pixels.palette import Palette, palette_of
from curator.anonymize.pixels.plan import UNTOUCHED, PixelPlan
from curator.anonymize.pixels.regions import ultrasound_regions
from curator.anonymize.pixels.risk import (
    IMAGE_TYPE,
    MODALITY,
    PIXEL_DATA_PROVIDER_URL,
    are_elsewhere,
    is_video,
    risk_of,
)
from curator.anonymize.pixels.rle import encapsulated, encoded_frame
from curator.anonymize.pixels.screen import screened
from curator.anonymize.pixels.syntax import RLE_LOSSLESS, is_native
from curator.anonymize.profile import Option, PixelRule, Pixels, PixelSyntax
from curator.dicom.encode import encode_element
from curator.dicom.instance import Instance
from curator.dicom.reader import header_of
from curator.dicom.site import Changes, Site
from curator.dicom.tags import PIXEL_DATA, Path, Tag

if TYPE_CHECKING:
    from curator.anonymize.resolve import Resolver

MANUFACTURER: Final = Tag(0x00080070)
MANUFACTURER_MODEL_NAME: Final = Tag(0x00081090)
TOTAL_PIXEL_MATRIX_COLUMNS: Final = Tag(0x00480006)
SHARED_FUNCTIONAL_GROUPS_SEQUENCE: Final = Tag(0x52009229)
ENCAPSULATED_DOCUMENT: Final = Tag(0x00420011)

OVERLAY_BIT_POSITION: Final = 0x60000102
"""In any of the groups 6000 to 60FE."""

FILE_META_GROUP: Final = 0x0002

_OUTDATED: Final = tuple(
    Tag(tag)
    for tag in (
        *range(0x00280106, 0x0028010A),  # smallest and largest value in image and series
        *range(0x00280110, 0x00280112),  # smallest and largest value in image plane
        *range(0x7FE00001, 0x7FE00004),  # extended offset table, its lengths, total length
    )
)
"""What would no longer be true of painted pixels."""


class TextDetector(Protocol):
    """Finds text in images."""

    def __call__(self, frame: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
        """Return boxes around text as left, top, width and height.

        Parameters
        ----------
        frame : array of uint8, shape (rows, columns) or (rows, columns, 3)
            Gray or red, green, blue; black is 0.
        """


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of the profile on pixels, compiled."""

    index: int
    unconditional: bool
    pixels: PixelRule
    fill: tuple[Area, ...]
    blur: tuple[Area, ...]

    @property
    def name(self) -> str:
        return f"$.Rules[{self.index}]"


@dataclass(slots=True)
class _Draft:
    """A plan while the rules are gone through."""

    rows: int
    columns: int
    rules: list[str] = field(default_factory=list)
    fill: list[Box] = field(default_factory=list)
    blur: list[Box] = field(default_factory=list)
    detect: bool = False
    warnings: list[str] = field(default_factory=list)

    def keep(self) -> None:
        """Take back what earlier rules ask for."""
        self.rules, self.fill, self.blur, self.detect = [], [], [], False

    def boxes(self, areas: Iterable[Area], name: str) -> list[Box]:
        """Return the areas of a rule as boxes of this image."""
        found: list[Box] = []
        for one in areas:
            try:
                box = one.box(self.rows, self.columns)
            except ValueError as error:
                raise Refused(name, str(error)) from None
            if box is None:
                self.warnings.append(f"{name}: a rectangle lies outside an image")
            else:
                found.append(box)
        return found


class PixelCleaner:
    """Cleans the pixels of instances by one profile.

    Parameters
    ----------
    resolver : Resolver
        The profile's options and rules on pixels.
    pixels : Pixels
        How changed pixels are written.
    devices : Devices
        The table of known devices.
    detector : TextDetector, optional
        Finds text; without one, ``Detect`` is refused.
    """

    def __init__(
        self,
        resolver: Resolver,
        pixels: Pixels,
        *,
        devices: Devices,
        detector: TextDetector | None = None,
    ) -> None:
        self._resolver = resolver
        self._asked = Option.CLEAN_PIXEL_DATA in resolver.options
        self._rules = tuple(
            _Rule(
                index,
                rule.when is None,
                rule.pixels,
                tuple(area(rectangle) for rectangle in rule.pixels.fill),
                tuple(area(rectangle) for rectangle in rule.pixels.blur),
            )
            for index, rule in resolver.pixel_rules
            if rule.pixels is not None
        )
        self._syntax = pixels.transfer_syntax
        self._devices = devices
        self._detector = detector

    def plan(self, instance: Instance, holding: frozenset[int]) -> PixelPlan:
        """Decide what happens to the pixels of an instance; only its header is read.

        Parameters
        ----------
        instance : Instance
            The original.
        holding : frozenset of int
            Indices of the rules whose condition holds.

        Raises
        ------
        PixelsNotCovered
            If clean pixels are asked for, and no rule covers an image of a risky kind.
        Refused
            If a rule asks for what cannot be done with this image.
        """
        rules = [rule for rule in self._rules if rule.unconditional or rule.index in holding]
        if not rules and not self._asked:
            return UNTOUCHED
        if self._asked:
            self._check_document(instance.site)
        if pixels_tag(instance.site) is None and PIXEL_DATA_PROVIDER_URL not in instance.site.tags:
            return UNTOUCHED
        plan = self._drafted(instance, rules)
        if not plan.rules and self._asked and (risk := risk_of(instance)):
            raise PixelsNotCovered(
                "PixelData", f"no rule says what to do with {risk}, and CleanPixelData is asked for"
            )
        if self._asked and _has_overlay_in_pixels(instance.site):
            plan = replace(plan, clear=True, rules=(*plan.rules, "Overlay in unused bits"))
        if plan.changes_pixels:
            _check_paintable(instance)
        return plan

    def needs_native(self, instance: Instance) -> bool:
        """Tell whether `changes` needs the instance decoded first, by the server or pydicom."""
        if self._syntax == PixelSyntax.RLE_LOSSLESS and not instance.site.encoding.explicit:
            return True
        return not is_native(instance)

    def changes(self, instance: Instance, plan: PixelPlan) -> tuple[Changes, str | None]:
        """Carry a plan out.

        Parameters
        ----------
        instance : Instance
            The original with native pixel data, little endian.
        plan : PixelPlan
            The plan for it.

        Returns
        -------
        changes : Changes
            New encoded elements at top level; they go before what else changes there.
        transfer_syntax : str or None
            UID of the transfer syntax of the result, None where it is the one of `instance`.

        Raises
        ------
        Refused
            If the pixels are not laid out as the header says, or in a way that is not painted.
        """
        if not is_native(instance):
            raise Refused("PixelData", "the pixels are not decoded")
        site = instance.site
        layout = layout_of(site)
        palette = palette_of(site, layout.signed) if layout.photometric == "PALETTE COLOR" else None
        canvas = _canvas(site, layout, palette.darkest if palette else 0)
        fill = [*plan.fill, *(self._found(canvas, palette) if plan.detect else ())]
        if not fill and not plan.blur and not plan.clear:
            return {}, None
        if plan.clear:
            canvas.clear()
        for box in plan.blur:
            canvas.blur(box)
        for box in fill:
            canvas.fill(box)
        return self._written(site, canvas)

    def _drafted(self, instance: Instance, rules: list[_Rule]) -> PixelPlan:
        site = instance.site
        draft = _Draft(number(site, ROWS), number(site, COLUMNS))
        if self._asked:
            for device in self._known(instance, draft):
                box = device.box(draft.rows, draft.columns)
                if box is not None:
                    draft.rules.append(device.name)
                    draft.fill.append(box)
        for rule in rules:
            _apply(rule, site, draft)
        if draft.detect and self._detector is None:
            raise Refused("", "the profile asks for Detect, and Tesseract is not installed")
        return PixelPlan(
            rules=tuple(draft.rules),
            fill=tuple(dict.fromkeys(draft.fill)),
            blur=tuple(dict.fromkeys(draft.blur)),
            detect=draft.detect,
            cleaned=True if draft.rules else None,
            warnings=tuple(draft.warnings),
        )

    def _known(self, instance: Instance, draft: _Draft) -> tuple[Device, ...]:
        site = instance.site
        image = Image(
            modality=text(site, MODALITY),
            manufacturer=text(site, MANUFACTURER),
            model=text(site, MANUFACTURER_MODEL_NAME),
            rows=draft.rows,
            columns=draft.columns,
        )
        return self._devices.matching(image, cache(lambda path: _text_at(instance, path)))

    def _check_document(self, site: Site) -> None:
        tag = ENCAPSULATED_DOCUMENT
        if tag not in site.tags:
            return
        if self._resolver.decide(Place(tag, site.vr(tag))).action == Action.KEEP:
            raise Refused("EncapsulatedDocument", "a document cannot be painted over, but is kept")

    def _found(self, canvas: Canvas, palette: Palette | None) -> Iterable[Box]:
        """Yield boxes around the text of every frame."""
        if self._detector is None:
            raise Refused("", "there is nothing to detect text with")
        layout = canvas.layout
        for index in range(layout.frames):
            frame = screened(canvas.frame(index), layout, palette)
            for left, top, width, height in self._detector(frame):
                box = clipped(left, top, left + width, top + height, layout.rows, layout.columns)
                if box is not None:
                    yield box

    def _written(self, site: Site, canvas: Canvas) -> tuple[Changes, str | None]:
        changes: dict[int, bytes] = {tag: b"" for tag in _OUTDATED if tag in site.tags}
        if (image_type := _derived(site)) is not None:
            changes[IMAGE_TYPE] = image_type
        if self._syntax == PixelSyntax.RLE_LOSSLESS and canvas.layout.tag == PIXEL_DATA:
            changes[PIXEL_DATA] = _as_rle(site, canvas)
            return changes, RLE_LOSSLESS
        changes[canvas.layout.tag] = canvas.encoded()
        return changes, None


def _apply(rule: _Rule, site: Site, draft: _Draft) -> None:
    pixels, name = rule.pixels, rule.name
    if pixels.keep:
        draft.keep()
    fill, blur = draft.boxes(rule.fill, name), draft.boxes(rule.blur, name)
    if pixels.regions is not None:
        fill += _around_regions(site, draft, name)
    if pixels.keep or pixels.detect is not None or fill or blur:
        draft.rules.append(name)
    draft.fill += fill
    draft.blur += blur
    draft.detect |= pixels.detect is not None


def _around_regions(site: Site, draft: _Draft, name: str) -> tuple[Box, ...]:
    """Return what is outside the ultrasound regions; nothing where they are no use."""
    regions = ultrasound_regions(site, draft.rows, draft.columns)
    if not regions:
        draft.warnings.append(f"{name}: an image has no ultrasound regions")
        return ()
    around = outside(regions, draft.rows, draft.columns)
    if not around:
        draft.warnings.append(f"{name}: the ultrasound regions of an image are all of it")
    return around


def _has_overlay_in_pixels(site: Site) -> bool:
    """Tell whether an overlay has no data of its own (PS3.3 C.9.2, retired)."""
    return any(
        tag & 0xFF00FFFF == OVERLAY_BIT_POSITION and number(site, Tag(tag), 0) != 0
        for tag in site.tags
    )


def _check_paintable(instance: Instance) -> None:
    if is_video(instance.meta.transfer_syntax_uid):
        raise Refused("PixelData", "a video cannot be painted over")
    if are_elsewhere(instance):
        raise Refused("PixelData", "the pixels are not in the file")
    site = instance.site
    if TOTAL_PIXEL_MATRIX_COLUMNS in site.tags and number(site, NUMBER_OF_FRAMES, 1) > 1:
        raise Refused("PixelData", "the tiles of a larger image cannot be painted over")


def _text_at(instance: Instance, path: Path) -> str:
    """Return the values at a path in capitals, several joined by backslashes."""
    tag = path.tag
    if not path.steps and isinstance(tag, int) and tag >> 16 != FILE_META_GROUP:
        return text(instance.site, tag)
    return "\\".join(header_of(instance, [path]).strings(path)).upper()


def _canvas(site: Site, layout: Layout, black: int) -> Canvas:
    """Return the pixels with the header of their element, whose length is in its last bytes."""
    value = site.raw(layout.tag)
    header = encode_element(layout.tag, site.vr(layout.tag), b"", site.encoding)
    return Canvas(layout, header[:-4] + struct.pack("<I", len(value)), value, black)


def _derived(site: Site) -> bytes | None:
    """Return Image Type of an image whose pixels have been changed, None where it says so already.

    That of an enhanced image stays, with its frame types (PS3.3 C.8.16.1).
    """
    if IMAGE_TYPE not in site.tags or SHARED_FUNCTIONAL_GROUPS_SEQUENCE in site.tags:
        return None
    raw = site.raw(IMAGE_TYPE)
    first, *others = raw.rstrip(b" \0").split(b"\\")
    if first.strip() != b"ORIGINAL":
        return None
    new = b"\\".join([b"DERIVED", *others])
    return encode_element(IMAGE_TYPE, "CS", new + b" " * (len(new) % 2), site.encoding)


def _as_rle(site: Site, canvas: Canvas) -> bytes:
    layout = canvas.layout
    if not site.encoding.explicit or layout.subsampled or layout.allocated == 1:
        raise Refused("PixelData", "such pixels cannot be written in RLE Lossless")
    return encapsulated(encoded_frame(canvas.cells(index)) for index in range(layout.frames))
