"""Boxes stay within the image, take in what they touch, and leave nothing uncovered around them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curator.anonymize.pixels.geometry import Box, area, clipped, outside

ROWS, COLUMNS = 17, 23

edges = st.integers(-5, 30)
boxes = st.builds(
    lambda left, top, width, height: clipped(left, top, left + width, top + height, ROWS, COLUMNS),
    st.integers(0, COLUMNS - 1),
    st.integers(0, ROWS - 1),
    st.integers(1, 30),
    st.integers(1, 30),
)


@given(st.lists(boxes, max_size=5))
def test_every_pixel_is_either_in_a_box_or_once_outside(found):
    count = np.zeros((ROWS, COLUMNS), int)
    for box in found:
        count[box.top : box.bottom, box.left : box.right] = 1
    for box in outside(found, ROWS, COLUMNS):
        count[box.top : box.bottom, box.left : box.right] += 1
    assert (count == 1).all()


@given(edges, edges, edges, edges)
def test_a_rectangle_becomes_the_pixels_it_shares_with_the_image(left, top, width, height):
    box = area((left, top, width, height)).box(ROWS, COLUMNS)
    expected = {
        (row, column)
        for row in range(ROWS)
        for column in range(COLUMNS)
        if top <= row < top + height and left <= column < left + width
    }
    got = set()
    if box is not None:
        got = {
            (row, column)
            for row in range(box.top, box.bottom)
            for column in range(box.left, box.right)
        }
    assert got == expected


def test_fractions_take_in_every_pixel_they_touch():
    assert area(("Columns / 2", "Rows / 2", 1, "1/2")).box(17, 23) == Box(11, 8, 13, 9)


def test_expressions_follow_the_image():
    strip = area((0, "Rows - 60", "Columns", 60))
    assert strip.box(480, 640) == Box(0, 420, 640, 480)
    assert strip.box(40, 64) == Box(0, 0, 64, 40)
