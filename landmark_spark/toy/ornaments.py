"""Draws the parts of a facade that make it one of a kind: windows, ground floor, centrepiece, signs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Color", "draw_centrepiece", "draw_ground_floor", "draw_sign", "draw_window", "shade"]

Color = tuple[int, ...]
Box = tuple[int, ...]
Image = NDArray[np.uint8]

_LETTERS = "ABCDEFGHIKLMNOPRSTUVXZ"


def shade(color: Color, amount: int) -> Color:
    """Return an RGB colour made lighter (positive) or darker, within 0 to 255."""
    return tuple(int(min(255, max(0, value + amount))) for value in color)


def draw_window(image: Image, box: Box, kind: str, colors: tuple[Color, Color], random: np.random.Generator) -> None:
    """Draw one window into a box (left, top, right, bottom), with what its inhabitants made of it.

    kind: arch, pointed, pediment or rectangle. colors: of the frame and of the glass, RGB.
    """
    left, top, right, bottom = box
    frame, glass = colors
    outline = _window_outline(box, kind)
    pane = shade(glass, int(random.integers(-20, 60)))
    cv2.fillPoly(image, [outline], pane)
    _furnish(image, box, random)
    cv2.polylines(image, [outline], True, shade(frame, int(random.integers(-20, 20))), 5, cv2.LINE_AA)
    for share in np.arange(1, random.integers(1, 4)) / 3:
        x = int(left + share * (right - left))
        cv2.line(image, (x, top), (x, bottom), frame, 2)
    y = int(top + random.uniform(0.3, 0.6) * (bottom - top))
    cv2.line(image, (left, y), (right, y), frame, 2)
    cv2.rectangle(image, (left - 6, bottom), (right + 6, bottom + 5), shade(frame, -30), -1)
    if kind == "pediment":
        roof = np.array([(left - 7, top), ((left + right) // 2, top - 14), (right + 7, top)], np.int32)
        cv2.fillPoly(image, [roof], frame)
        cv2.polylines(image, [roof], True, shade(frame, -80), 1, cv2.LINE_AA)


def _window_outline(box: Box, kind: str) -> NDArray[np.int32]:
    left, top, right, bottom = box
    half, middle = (right - left) / 2, (left + right) / 2
    if kind == "arch":
        angles = np.linspace(np.pi, 2 * np.pi, 12)
        arc = np.stack([middle + half * np.cos(angles), top + half * (0.6 + 0.6 * np.sin(angles))], axis=1)
        return np.asarray([*arc, (right, bottom), (left, bottom)]).astype(np.int32)
    if kind == "pointed":
        points = [(left, top + half), (middle, top - 4), (right, top + half), (right, bottom), (left, bottom)]
        return np.asarray(points, np.int32)
    return np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32)


def _furnish(image: Image, box: Box, random: np.random.Generator) -> None:
    """Draw curtains, a blind, shutters, flowers or reflections: what tells this window from its neighbours."""
    left, top, right, bottom = box
    tone = _tone(random, 60, 230)
    height, width = bottom - top, right - left
    what = random.integers(6)
    if what == 0:
        cv2.rectangle(image, (left, top), (right, top + int(height * random.uniform(0.2, 0.8))), tone, -1)
    elif what == 1:
        reach = int(width * random.uniform(0.2, 0.5))
        cv2.rectangle(image, (left, top + 8), (left + reach, bottom), tone, -1)
        cv2.line(image, (left + reach, top + 8), (right, bottom), shade(tone, -40), 3, cv2.LINE_AA)
    elif what == 2:
        for side in (left - width // 3, right):
            cv2.rectangle(image, (side, top + 6), (side + width // 3, bottom), shade(tone, -50), -1)
            for y in range(top + 10, bottom, int(random.integers(6, 11))):
                cv2.line(image, (side, y), (side + width // 3, y), shade(tone, -110), 1)
    elif what == 3:
        for _ in range(14):
            spot = (int(random.integers(left, right + 1)), bottom - int(random.integers(0, 14)))
            cv2.circle(image, spot, int(random.integers(2, 6)), _leaf(random), -1, cv2.LINE_AA)
    elif what == 4:
        glare = [
            (left + 2, bottom),
            (int(random.integers(left, right + 1)), top + 4),
            (right - 2, bottom - height // 2),
        ]
        cv2.fillPoly(image, [np.asarray(glare, np.int32)], shade(tone, 20))
    else:
        centre = (int(random.integers(left, right + 1)), int(random.integers(top, bottom + 1)))
        cv2.ellipse(image, centre, (width // 4, height // 5), float(random.uniform(0, 180)), 0, 360, tone, -1)


def _tone(random: np.random.Generator, low: int, high: int) -> Color:
    """Return a colour of cloth or paint: halfway between a grey and any colour, as most things are."""
    gray, colors = random.uniform(low, high), random.uniform(low, high, 3)
    return tuple(int(value) for value in 0.55 * gray + 0.45 * colors)


def _leaf(random: np.random.Generator) -> Color:
    flower = random.random() < 0.5
    low, high = ((160, 30, 40), (255, 160, 180)) if flower else ((30, 90, 20), (90, 170, 70))
    return tuple(int(value) for value in random.integers(low, high))


def draw_ground_floor(image: Image, box: Box, colors: tuple[Color, Color, Color], random: np.random.Generator) -> None:
    """Draw doors, arches and shops along the foot of the building; colors: wall, trim, glass, RGB."""
    left, top, right, bottom = box
    wall, trim, glass = colors
    cv2.rectangle(image, (left, top), (right, top + 8), shade(trim, -20), -1)
    x = left + int(random.integers(8, 30))
    while x < right - 50:
        width = int(random.integers(50, 120))
        part = (x, top + 20, min(x + width, right - 6), bottom)
        what = random.random()
        if what < 0.4:
            outline = _window_outline(part, "arch")
            cv2.fillPoly(image, [outline], shade(glass, -20))
            cv2.polylines(image, [outline], True, trim, 7, cv2.LINE_AA)
        elif what < 0.75:
            _draw_shop(image, part, glass, random)
        else:
            draw_window(image, (part[0], part[1] + 10, part[2], bottom - 30), "rectangle", (trim, glass), random)
        x += width + int(random.integers(10, 40))
    cv2.rectangle(image, (left, bottom - 10), (right, bottom), shade(wall, -60), -1)


def _draw_shop(image: Image, box: Box, glass: Color, random: np.random.Generator) -> None:
    left, top, right, bottom = box
    cv2.rectangle(image, (left, top + 34), (right, bottom), shade(glass, 30), -1)
    for _ in range(8):
        corner = (int(random.integers(left, right + 1)), int(random.integers(top + 50, bottom)))
        tone = _tone(random, 40, 240)
        far = (min(right, corner[0] + int(random.integers(5, 22))), corner[1] + int(random.integers(5, 22)))
        cv2.rectangle(image, corner, far, tone, -1)
    tone = _tone(random, 40, 210)
    for index, x in enumerate(range(left, right, 12)):  # the awning's stripes
        stripe = tone if index % 2 else (240, 236, 224)
        cv2.fillPoly(
            image, [np.array([(x, top + 26), (x + 12, top + 26), (x + 9, top + 44), (x - 3, top + 44)])], stripe
        )
    draw_sign(image, (left, top - 4, right, top + 24), random)


def draw_sign(image: Image, box: Box, random: np.random.Generator) -> None:
    """Draw a board with letters into a box."""
    left, top, right, bottom = box
    tone = _tone(random, 20, 110)
    cv2.rectangle(image, (left, top), (right, bottom), tone, -1)
    num_letters = max(2, int((right - left) / (0.8 * (bottom - top))))
    text = "".join(_LETTERS[index] for index in random.integers(len(_LETTERS), size=num_letters))
    scale = (bottom - top) / 36
    cv2.putText(image, text, (left + 4, bottom - 6), cv2.FONT_HERSHEY_DUPLEX, scale, shade(tone, 140), 2, cv2.LINE_AA)


def draw_centrepiece(
    image: Image, centre: tuple[int, int], radius: int, color: Color, random: np.random.Generator
) -> None:
    """Draw a rose window, a clock or a coat of arms: rings, spokes and beads in numbers of their own."""
    dark, light = shade(color, -90), shade(color, 40)
    half = radius + 12
    low, high = (centre[0] - half, centre[1] - half), (centre[0] + half, centre[1] + half)
    cv2.rectangle(image, low, high, shade(color, -25), -1)
    cv2.rectangle(image, low, high, shade(color, 30), 5)
    cv2.circle(image, centre, radius, dark, -1, cv2.LINE_AA)
    cv2.circle(image, centre, radius, light, 6, cv2.LINE_AA)
    for angle in np.sort(random.uniform(0, 2 * np.pi, int(random.integers(7, 15)))):
        tip = (int(centre[0] + radius * np.cos(angle)), int(centre[1] + radius * np.sin(angle)))
        cv2.line(image, centre, tip, light, int(random.integers(1, 4)), cv2.LINE_AA)
    for _ in range(int(random.integers(14, 26))):
        angle, share = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.9)
        spot = (int(centre[0] + share * radius * np.cos(angle)), int(centre[1] + share * radius * np.sin(angle)))
        tone = _tone(random, 40, 255)
        cv2.circle(image, spot, int(random.integers(3, 9)), tone, -1, cv2.LINE_AA)
        cv2.circle(image, spot, int(random.integers(2, 9)), light, 1, cv2.LINE_AA)
    cv2.circle(image, centre, radius // 5, light, -1, cv2.LINE_AA)
