"""Draws the elevations of buildings: what the landmarks of the toy world look like, straight on.

A style (colours, brickwork, kind of windows, roof) can be shared by buildings that differ in layout (storeys, bays,
ornaments, stains), which makes them look-alikes: alike as a whole, different in every detail.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.toy.ornaments import Color, draw_centrepiece, draw_ground_floor, draw_window, shade
from landmark_spark.toy.textures import brick_texture, smooth_noise

__all__ = ["FACADE_HEIGHT", "FACADE_WIDTH", "Facade", "Style", "draw_facade", "make_style"]

FACADE_WIDTH = 760
FACADE_HEIGHT = 600
_LEFT, _RIGHT = 30, FACADE_WIDTH - 30

_WALLS: tuple[Color, ...] = (
    (176, 92, 70), (214, 190, 148), (196, 196, 190), (226, 208, 172), (150, 110, 84), (222, 170, 96),
    (168, 176, 150), (198, 140, 120), (140, 146, 158), (232, 226, 212), (120, 78, 66), (206, 160, 150),
)  # fmt: skip
_ROOFS: tuple[Color, ...] = ((96, 60, 52), (70, 78, 88), (84, 120, 104), (128, 72, 54), (60, 56, 60))
_SILHOUETTES = ("flat", "gable", "towers", "dome", "stepped", "mansard")


@dataclass(frozen=True)
class Style:
    """What look-alikes share; colours are RGB."""

    wall: Color
    trim: Color
    roof: Color
    glass: Color
    brick: tuple[int, int]
    window: str
    silhouette: str


@dataclass(frozen=True)
class Facade:
    """A building, straight on.

    image: (FACADE_HEIGHT, FACADE_WIDTH, 3) uint8, RGB. mask: (FACADE_HEIGHT, FACADE_WIDTH) uint8, 255 on the building.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def make_style(index: int, seed: int) -> Style:
    """Return a style; numbers that follow one another give colours and outlines that differ."""
    random = np.random.default_rng((seed, index))
    wall = _WALLS[(index * 5 + seed) % len(_WALLS)]
    return Style(
        wall=wall,
        trim=shade(wall, int(random.choice((-60, 45, 60)))),
        roof=_ROOFS[int(random.integers(len(_ROOFS)))],
        glass=tuple(int(value) for value in random.integers((25, 35, 50), (75, 90, 115))),
        brick=((12, 26), (22, 44), (16, 16), (30, 70))[int(random.integers(4))],
        window=("arch", "rectangle", "pointed", "pediment")[int(random.integers(4))],
        silhouette=_SILHOUETTES[(index + seed) % len(_SILHOUETTES)],
    )


def draw_facade(style: Style, seed: tuple[int, ...]) -> Facade:
    """Draw one building of a style; the same style and seed give the same pixels."""
    random = np.random.default_rng(seed)
    eaves = int(random.integers(120, 180))
    mask = np.zeros((FACADE_HEIGHT, FACADE_WIDTH), np.uint8)
    image = _draw_wall(style, random)
    _draw_roof(image, mask, style, eaves, random)
    _draw_storeys(image, style, eaves, random)
    stains = smooth_noise(random, (FACADE_HEIGHT, FACADE_WIDTH), cells=14)
    stained = image.astype(np.float32) * (1 + 0.22 * stains[..., None])
    return Facade(np.clip(stained, 0, 255).astype(np.uint8), mask)


def _draw_wall(style: Style, random: np.random.Generator) -> NDArray[np.uint8]:
    tones = brick_texture(random, (FACADE_HEIGHT, FACADE_WIDTH), brick=style.brick, contrast=18.0)
    wall = np.asarray(style.wall, np.float32) + tones[..., None]
    return np.clip(wall, 0, 255).astype(np.uint8)


def _draw_roof(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], style: Style, eaves: int, random: np.random.Generator
) -> None:
    """Draw the roof above the eaves and fill the mask: the outline is what the sky is seen around."""
    cv2.rectangle(mask, (_LEFT, eaves), (_RIGHT, FACADE_HEIGHT), 255, -1)
    pieces = _roof_pieces(style.silhouette, eaves, random)
    roof = np.zeros_like(mask)
    for piece, is_roofed in pieces:
        points = np.asarray(piece, np.int32)
        cv2.fillPoly(mask, [points], (255,))
        if is_roofed:
            cv2.fillPoly(roof, [points], (255,))
    tiles = brick_texture(random, (FACADE_HEIGHT, FACADE_WIDTH), brick=(9, 14), contrast=22.0)
    tiled = np.clip(np.asarray(style.roof, np.float32) + tiles[..., None], 0, 255).astype(np.uint8)
    image[roof > 0] = tiled[roof > 0]
    for piece, _ in pieces:
        cv2.polylines(image, [np.asarray(piece, np.int32)], True, style.trim, 4, cv2.LINE_AA)


def _roof_pieces(silhouette: str, eaves: int, random: np.random.Generator) -> list[tuple[list[tuple[int, int]], bool]]:
    """Return the outlines above the eaves, and whether each is tiled (else it goes on as wall)."""
    middle = FACADE_WIDTH // 2 + int(random.integers(-70, 71))
    half = int(random.integers(110, 200))
    top = int(random.integers(10, 50))
    if silhouette == "gable":
        return [([(_LEFT - 16, eaves), (_RIGHT + 16, eaves), (middle + 40, top), (middle - 40, top)], True)]
    if silhouette == "towers":
        width = int(random.integers(70, 120))
        towers: list[tuple[list[tuple[int, int]], bool]] = []
        for left in (_LEFT, _RIGHT - width):
            towers.append(([(left, eaves), (left, 70), (left + width, 70), (left + width, eaves)], False))
            towers.append(([(left - 8, 70), (left + width // 2, 6), (left + width + 8, 70)], True))
        return towers
    if silhouette == "dome":
        angles = np.linspace(np.pi, 2 * np.pi, 24)
        arc = [(int(middle + half * np.cos(a)), int(eaves + (eaves - top) * np.sin(a))) for a in angles]
        return [(arc, True), ([(middle - 14, top + 8), (middle, 0), (middle + 14, top + 8)], True)]
    if silhouette == "stepped":
        steps: list[tuple[list[tuple[int, int]], bool]] = []
        for level in range(4):
            width, y = half * (4 - level) // 3, eaves - level * (eaves - top) // 4
            box = [(middle - width, y), (middle - width, y - 36), (middle + width, y - 36), (middle + width, y)]
            steps.append((box, False))
        return steps
    if silhouette == "mansard":
        return [([(_LEFT, eaves), (_LEFT + 60, top + 30), (_RIGHT - 60, top + 30), (_RIGHT, eaves)], True)]
    return [([(_LEFT, eaves), (_LEFT, eaves - 26), (_RIGHT, eaves - 26), (_RIGHT, eaves)], False)]


def _draw_storeys(image: NDArray[np.uint8], style: Style, eaves: int, random: np.random.Generator) -> None:
    """Draw the windows bay by bay, no two quite alike; then the ground floor, the cornices and the centrepiece."""
    num_storeys = int(random.integers(2, 5))
    ground = int(random.integers(440, 490))
    levels = np.linspace(eaves, ground, num_storeys + 1)
    levels[1:-1] += random.uniform(-14, 14, num_storeys - 1)
    bays = _bay_edges(random)
    for top, bottom in itertools.pairwise(levels):
        for left, right in itertools.pairwise(bays):
            margin = (right - left) * random.uniform(0.16, 0.26)
            box = (left + margin, top + 0.2 * (bottom - top), right - margin, bottom - 0.1 * (bottom - top))
            if random.random() < 0.93:
                draw_window(image, tuple(int(value) for value in box), style.window, (style.trim, style.glass), random)
        _draw_cornice(image, int(top), style.trim, random)
    _draw_pilasters(image, style, bays, (eaves, ground), random)
    draw_ground_floor(image, (_LEFT, ground, _RIGHT, FACADE_HEIGHT), (style.wall, style.trim, style.glass), random)
    centre = (int(random.uniform(0.3, 0.7) * FACADE_WIDTH), int(random.uniform(levels[0], levels[1])) + 40)
    draw_centrepiece(image, centre, int(random.integers(56, 84)), style.trim, random)


def _bay_edges(random: np.random.Generator) -> NDArray[np.float64]:
    """Return the edges of 4 to 8 bays of uneven width, from left to right, pixels."""
    widths = random.uniform(0.7, 1.5, int(random.integers(4, 9)))
    edges: NDArray[np.float64] = (
        _LEFT + 14 + (_RIGHT - _LEFT - 28) * np.concatenate([[0], np.cumsum(widths / widths.sum())])
    )
    return edges


def _draw_cornice(image: NDArray[np.uint8], y: int, color: Color, random: np.random.Generator) -> None:
    height = int(random.integers(7, 14))
    cv2.rectangle(image, (_LEFT, y), (_RIGHT, y + height), color, -1)
    cv2.line(image, (_LEFT, y + height), (_RIGHT, y + height), shade(color, -70), 2)
    x = _LEFT
    while x < _RIGHT:  # dentils of uneven width, as weather leaves them
        cv2.rectangle(image, (x, y + height), (x + 6, y + height + 5), shade(color, int(random.integers(-60, 20))), -1)
        x += int(random.integers(11, 22))


def _draw_pilasters(
    image: NDArray[np.uint8],
    style: Style,
    bays: NDArray[np.float64],
    span: tuple[int, int],
    random: np.random.Generator,
) -> None:
    if random.random() < 0.4:
        return
    half = int(random.integers(4, 9))
    for x in bays.astype(int)[:: int(random.integers(1, 3))]:
        tone = shade(style.trim, int(random.integers(-25, 25)))
        cv2.rectangle(image, (x - half, span[0]), (x + half, span[1]), tone, -1)
        cv2.line(image, (x + half, span[0]), (x + half, span[1]), shade(tone, -60), 2)
        cv2.rectangle(image, (x - half - 5, span[0] + 12), (x + half + 5, span[0] + 26), shade(tone, 25), -1)
