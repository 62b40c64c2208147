"""Takes photos of facades and scenes: viewpoint, light, what stands in the way, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmark_spark.toy.facades import FACADE_HEIGHT, FACADE_WIDTH, Facade
from landmark_spark.toy.scenes import draw_backdrop, draw_bystanders, draw_scene
from landmark_spark.toy.textures import smooth_noise

__all__ = ["photograph", "photograph_scene"]

Image = NDArray[np.uint8]
_SIZES = ((480, 360), (480, 360), (480, 320), (500, 375), (360, 480))  # (width, height), pixels
_OVERSAMPLING = 2  # drawn twice as large and averaged: shrinking without it would give false textures


@dataclass(frozen=True)
class _Viewpoint:
    """Where the camera stands: angles in degrees, extent and offset as shares of the photo's width."""

    yaw: float
    pitch: float
    roll: float
    extent: float
    offset: tuple[float, float]


def photograph(facades: list[Facade], seed: tuple[int, ...]) -> bytes:
    """Take a photo of one building, or of several side by side: a JPEG. The same seed gives the same bytes."""
    random = np.random.default_rng(seed)
    width, height = _SIZES[int(random.integers(len(_SIZES)))] if len(facades) == 1 else _SIZES[0]
    viewpoints = [_choose_viewpoint(random, place, len(facades)) for place in range(len(facades))]
    warps = [_homography(viewpoint, (width, height)) for viewpoint in viewpoints]
    foot = warps[0] @ (FACADE_WIDTH / 2, FACADE_HEIGHT - 2, 1)
    image = draw_backdrop(random, (width, height), float(foot[1] / foot[2]) / height)
    for facade, warp in zip(facades, warps, strict=True):
        image = _place(image, facade, warp)
    draw_bystanders(image, random, amount=0.8)
    return _develop(image, random)


def photograph_scene(kind: str, seed: tuple[int, ...]) -> bytes:
    """Take a photo that shows no building: a JPEG. kind: one of scenes.SCENES."""
    random = np.random.default_rng(seed)
    return _develop(draw_scene(kind, seed, _SIZES[int(random.integers(len(_SIZES)))]), random)


def _choose_viewpoint(random: np.random.Generator, place: int, num_places: int) -> _Viewpoint:
    centre = (place + 0.5) / num_places - 0.5
    yaw = float(np.clip(random.normal(0, 15), -33, 33))
    pitch, roll = float(random.normal(3, 4)), float(random.normal(0, 2))
    extent = float(random.uniform(0.65, 1.4)) if num_places == 1 else 0.94 / num_places
    spread = 0.08 if num_places == 1 else 0.01
    offset = (centre + float(random.normal(0, spread)), float(random.normal(0.02, spread / 2)))
    return _Viewpoint(yaw, pitch, roll, extent, offset)


def _homography(viewpoint: _Viewpoint, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the 3x3 map from pixels of the facade to pixels of the photo: a plane before a pinhole camera."""
    yaw, pitch, roll = np.radians((viewpoint.yaw, viewpoint.pitch, viewpoint.roll))
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn_z @ turn_x @ turn_y
    focal, scale = 1.3 * max(size), viewpoint.extent * size[0] / FACADE_WIDTH
    shift = np.array([viewpoint.offset[0] * size[0] / focal, viewpoint.offset[1] * size[0] / focal, 1.0])
    plane = np.stack([rotation[:, 0] * scale / focal, rotation[:, 1] * scale / focal, shift], axis=1)
    camera = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
    centring = np.array([[1, 0, -FACADE_WIDTH / 2], [0, 1, -FACADE_HEIGHT / 2], [0, 0, 1]])
    homography: NDArray[np.float64] = camera @ plane @ centring
    return homography


def _place(image: Image, facade: Facade, homography: NDArray[np.float64]) -> Image:
    height, width = image.shape[:2]
    large = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    warp = np.diag([_OVERSAMPLING, _OVERSAMPLING, 1.0]) @ homography
    drawn = cv2.resize(cv2.warpPerspective(facade.image, warp, large), (width, height), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(cv2.warpPerspective(facade.mask, warp, large), (width, height), interpolation=cv2.INTER_AREA)
    share = mask[..., None].astype(np.float32) / 255
    return (drawn * share + image * (1 - share)).astype(np.uint8)


def _develop(image: Image, random: np.random.Generator) -> bytes:
    """Light the scene, add the sensor's noise, encode: (H, W, 3) uint8 RGB to JPEG bytes."""
    lit = image.astype(np.float32) / 255
    lit *= _shadow(random, image.shape[:2])[..., None]
    lit = np.power(np.clip(lit, 0, 1), np.float32(random.uniform(0.75, 1.35)))
    cast = (random.uniform(0.8, 1.15) * random.uniform(0.92, 1.08, 3)).astype(np.float32)
    lit = (lit - 0.5) * np.float32(random.uniform(0.8, 1.15)) + 0.5
    lit = lit * cast + np.float32(random.uniform(0.004, 0.02)) * random.standard_normal(lit.shape, dtype=np.float32)
    pixels = (np.clip(lit, 0, 1) * 255).astype(np.uint8)
    if random.random() < 0.25:
        cv2.GaussianBlur(pixels, (0, 0), float(random.uniform(0.5, 0.9)), dst=pixels)
    quality = int(random.integers(68, 94))
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _shadow(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (H, W) float32 in (0, 1]: the shade of clouds and, on some photos, of a house across the street."""
    height, width = shape[0], shape[1]
    light = 1 - 0.12 * np.abs(smooth_noise(random, (height, width), cells=3))
    if random.random() < 0.35:
        left, right = random.uniform(-0.2, 1.2, 2) * width
        dark = np.zeros((height, width), np.float32)
        edge = [(int(left), 0), (int(right), height), (width * 2, height), (width * 2, 0)]
        cv2.fillPoly(dark, [np.asarray(edge, np.int32)], (1.0,))
        light *= 1 - np.float32(random.uniform(0.25, 0.5)) * cv2.GaussianBlur(dark, (0, 0), 4)
    return np.clip(light, 0.05, 1).astype(np.float32)
