"""Draws what is no landmark: the street behind a building, and photos of fields, seas, rooms, clutter and posters."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.toy.ornaments import Color, draw_sign, shade
from landmark_spark.toy.textures import brick_texture, smooth_noise

__all__ = ["SCENES", "draw_backdrop", "draw_bystanders", "draw_scene"]

Image = NDArray[np.uint8]
_SKIES: tuple[tuple[Color, Color], ...] = (
    ((92, 140, 204), (190, 214, 236)), ((150, 158, 170), (206, 208, 210)), ((70, 92, 150), (244, 190, 140)),
    ((116, 170, 226), (226, 236, 240)), ((40, 48, 84), (120, 110, 130)),
)  # fmt: skip


def draw_scene(kind: str, seed: tuple[int, ...], size: tuple[int, int]) -> Image:
    """Draw a photo without any building: (H, W, 3) uint8, RGB; ``kind`` is one of SCENES, size (width, height)."""
    if kind not in _DRAWERS:
        raise ValueError(f"kind should be one of {', '.join(_DRAWERS)}. Received: {kind!r}")
    return _DRAWERS[kind](np.random.default_rng(seed), size)


def draw_backdrop(random: np.random.Generator, size: tuple[int, int], horizon: float) -> Image:
    """Draw sky, far roofs and street: (H, W, 3) uint8, RGB. horizon: where the street begins, as a share of H."""
    width, height = size
    image = _draw_sky(random, size)
    line = int(np.clip(horizon, 0.05, 0.98) * height)
    for _ in range(int(random.integers(4, 10))):  # roofs far away
        left, wide, high = random.integers(-60, width), random.integers(30, 120), random.integers(10, 90)
        tone = tuple(int(value) for value in random.integers(90, 150) + random.integers(-15, 15, 3))
        cv2.rectangle(image, (int(left), line - int(high)), (int(left + wide), line), tone, -1)
    _lay_ground(
        image, line, tuple(int(value) for value in random.integers(80, 160) + random.integers(-12, 12, 3)), random
    )
    return image


def draw_bystanders(image: Image, random: np.random.Generator, amount: float) -> None:
    """Draw trees, poles, cars and people in front, in place; amount: 0 (none) to 1 (crowded)."""
    height, width = image.shape[:2]
    for _ in range(int(random.poisson(2.2 * amount))):
        _draw_person(image, (int(random.integers(width)), int(height * random.uniform(0.86, 1.05))), random)
    if random.random() < 0.5 * amount:
        x, tone = int(random.integers(width)), shade((60, 62, 66), int(random.integers(-30, 50)))
        cv2.rectangle(
            image, (x, int(height * random.uniform(0, 0.4))), (x + int(random.integers(3, 8)), height), tone, -1
        )
    if random.random() < 0.6 * amount:
        side = 0.08 if random.random() < 0.5 else 0.92
        _draw_tree(
            image,
            (int(width * (side + random.normal(0, 0.05))), height),
            int(height * random.uniform(0.3, 0.7)),
            random,
        )
    if random.random() < 0.4 * amount:
        _draw_car(image, (int(random.integers(width)), int(height * 0.97)), random)


def _draw_sky(random: np.random.Generator, size: tuple[int, int]) -> Image:
    width, height = size
    top, bottom = (np.asarray(color, np.float32) for color in _SKIES[int(random.integers(len(_SKIES)))])
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to(top + share * (bottom - top), (height, width, 3))
    clouds = np.clip(smooth_noise(random, (height, width), cells=int(random.integers(3, 8))), 0, 1)
    white = np.clip(random.uniform(0, 1.2) * clouds, 0, 1)[..., None]
    return np.asarray(sky * (1 - white) + 246 * white, np.uint8)


def _lay_ground(image: Image, line: int, color: Color, random: np.random.Generator) -> None:
    height, width = image.shape[:2]
    if line >= height:
        return
    grain = smooth_noise(random, (height - line, width), cells=40)
    grain += 0.5 * cv2.resize(smooth_noise(random, (height - line, 24), cells=24), (width, height - line))
    ground = np.asarray(color, np.float32) * (1 + 0.22 * grain[..., None])
    image[line:] = np.clip(ground, 0, 255).astype(np.uint8)


def _draw_person(image: Image, foot: tuple[int, int], random: np.random.Generator) -> None:
    x, y = foot
    tall = int(image.shape[0] * random.uniform(0.1, 0.22))
    coat, legs = (tuple(int(value) for value in random.integers(20, 200, 3)) for _ in range(2))
    cv2.rectangle(image, (x - tall // 10, y - tall // 2), (x + tall // 10, y), legs, -1)
    cv2.ellipse(image, (x, y - int(tall * 0.62)), (tall // 7, tall // 4), 0, 0, 360, coat, -1, cv2.LINE_AA)
    cv2.circle(image, (x, y - int(tall * 0.93)), max(2, tall // 11), (206, 164, 136), -1, cv2.LINE_AA)


def _draw_tree(image: Image, foot: tuple[int, int], tall: int, random: np.random.Generator) -> None:
    x, y = foot
    cv2.line(image, (x, y), (x, y - tall), (74, 56, 42), max(4, tall // 22))
    green = random.integers((40, 80, 20), (100, 140, 60))
    for _ in range(90):
        dx, dy = random.normal(0, 0.17, 2) * tall
        leaf = tuple(int(value) for value in np.clip(green + random.integers(-35, 36), 0, 255))
        cv2.circle(image, (int(x + dx), int(y - tall + dy)), int(random.integers(3, 10)), leaf, -1, cv2.LINE_AA)


def _draw_car(image: Image, foot: tuple[int, int], random: np.random.Generator) -> None:
    x, y = foot
    paint = tuple(int(value) for value in random.integers(20, 230, 3))
    cv2.rectangle(image, (x - 46, y - 26), (x + 46, y - 8), paint, -1)
    cv2.ellipse(image, (x, y - 26), (30, 18), 0, 180, 360, shade(paint, -40), -1, cv2.LINE_AA)
    for wheel in (x - 26, x + 26):
        cv2.circle(image, (wheel, y - 7), 8, (26, 26, 28), -1, cv2.LINE_AA)


def _draw_field(random: np.random.Generator, size: tuple[int, int]) -> Image:
    image = draw_backdrop(random, size, 1.0)
    line = int(size[1] * random.uniform(0.35, 0.65))
    hills = line - 40 * np.abs(smooth_noise(random, (2, size[0]), cells=4)[0])
    outline = np.stack([np.arange(size[0]), hills], axis=1).astype(np.int32)
    corners = np.asarray([(size[0], size[1]), (0, size[1])], np.int32)
    cv2.fillPoly(image, [np.concatenate([outline, corners])], (86, 116, 92))
    _lay_ground(image, line, tuple(int(value) for value in random.integers((90, 120, 40), (190, 190, 90))), random)
    for _ in range(int(random.integers(1, 6))):
        foot = (int(random.integers(size[0])), int(random.uniform(line, size[1])))
        _draw_tree(image, foot, int(random.uniform(0.12, 0.4) * size[1]), random)
    return image


def _draw_sea(random: np.random.Generator, size: tuple[int, int]) -> Image:
    image = _draw_sky(random, size)
    line = int(size[1] * random.uniform(0.35, 0.65))
    _lay_ground(image, line, tuple(int(value) for value in random.integers((20, 70, 100), (60, 130, 170))), random)
    for _ in range(80):  # waves
        y = int(random.uniform(line, size[1]))
        x, wide = int(random.integers(size[0])), int(4 + (y - line) * 0.3)
        cv2.ellipse(image, (x, y), (wide, 2), 0, 180, 360, (210, 224, 230), 1, cv2.LINE_AA)
    x = int(random.uniform(0.2, 0.8) * size[0])
    cv2.fillPoly(image, [np.asarray([(x, line), (x, line - 70), (x + 40, line)], np.int32)], (240, 236, 226))
    return image


def _draw_room(random: np.random.Generator, size: tuple[int, int]) -> Image:
    width, height = size
    paper = brick_texture(random, (height, width), brick=(40, 26), contrast=6.0)[..., None]
    wall = np.asarray(random.integers(110, 230, 3), np.float32)
    image = np.clip(wall + paper, 0, 255).astype(np.uint8)
    _lay_ground(image, int(height * 0.72), (130, 96, 66), random)
    for _ in range(int(random.integers(2, 5))):  # pictures on the wall
        x, y = int(random.integers(width - 80)), int(random.integers(int(height * 0.4)))
        frame = (x + int(random.integers(40, 90)), y + int(random.integers(40, 80)))
        inside = np.clip(128 + 90 * smooth_noise(random, (frame[1] - y, frame[0] - x), cells=5), 0, 255)
        visible = image[y : frame[1], x : frame[0]]
        visible[:] = inside[: visible.shape[0], : visible.shape[1], None].astype(np.uint8)
        cv2.rectangle(image, (x, y), frame, (70, 46, 28), 5)
    top = int(height * random.uniform(0.55, 0.7))
    left, right = sorted(int(value) for value in random.uniform(0.05, 0.95, 2) * width)
    cv2.rectangle(image, (left, top), (right + 60, top + 16), (96, 64, 40), -1)
    for x in (left + 6, right + 44):
        cv2.rectangle(image, (x, top + 16), (x + 10, height), (80, 52, 32), -1)
    for _ in range(5):
        spot = (int(random.uniform(left, right + 50)), top - 12)
        tone = tuple(int(value) for value in random.integers(40, 230, 3))
        cv2.ellipse(image, spot, (int(random.integers(6, 14)), 14), 0, 0, 360, tone, -1, cv2.LINE_AA)
    return image


def _draw_clutter(random: np.random.Generator, size: tuple[int, int]) -> Image:
    width, height = size
    ground = np.asarray(random.integers(60, 200, 3), np.float32) * (
        1 + 0.3 * smooth_noise(random, (height, width), cells=6)[..., None]
    )
    image = np.clip(ground, 0, 255).astype(np.uint8)
    for _ in range(int(random.integers(20, 60))):
        centre = (int(random.integers(width)), int(random.integers(height)))
        tone = tuple(int(value) for value in random.integers(20, 240, 3))
        sides = (int(random.integers(8, 60)), int(random.integers(8, 60)))
        if random.random() < 0.5:
            cv2.ellipse(image, centre, sides, float(random.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, sides, float(random.uniform(0, 90))))
            cv2.fillPoly(image, [box.astype(np.int32)], tone, cv2.LINE_AA)
    return image


def _draw_poster(random: np.random.Generator, size: tuple[int, int]) -> Image:
    width, height = size
    image = np.full((height, width, 3), random.integers(150, 250, 3), np.uint8)
    y = int(random.integers(6, 30))
    while y < height - 30:
        high = int(random.integers(16, 60))
        indent = int(random.integers(4, width // 3))
        draw_sign(image, (indent, y, width - int(random.integers(4, width // 3)), y + high), random)
        y += high + int(random.integers(4, 26))
    return image


_DRAWERS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Image]] = {
    "field": _draw_field,
    "sea": _draw_sea,
    "room": _draw_room,
    "clutter": _draw_clutter,
    "poster": _draw_poster,
}
SCENES = tuple(_DRAWERS)
