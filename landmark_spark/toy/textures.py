"""Makes textures of random numbers: brickwork and smooth noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["brick_texture", "smooth_noise"]


def smooth_noise(random: np.random.Generator, shape: tuple[int, int], *, cells: int) -> NDArray[np.float32]:
    """Return (H, W) float32 noise, mostly within [-1, 1]: two octaves, the coarse one ``cells`` bumps wide."""
    height, width = shape
    noise = np.zeros(shape, np.float32)
    for octave, weight in ((cells, 0.45), (cells * 4, 0.25)):
        rows = max(2, octave * height // max(width, 1))
        grid = random.standard_normal((rows, octave), dtype=np.float32)
        noise += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return noise


def brick_texture(
    random: np.random.Generator, shape: tuple[int, int], *, brick: tuple[int, int], contrast: float
) -> NDArray[np.float32]:
    """Return (H, W) float32 tones to add to a colour: courses of bricks, each of its own tone, with dark joints.

    brick: height and width of one, pixels. contrast: standard deviation of the tones, of 255.
    """
    height, width = shape
    rows, columns = height // brick[0] + 1, width // brick[1] + 2
    tones = contrast * random.standard_normal((rows, columns), dtype=np.float32)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    shifted = x + (y // brick[0] % 2) * (brick[1] // 2)
    texture: NDArray[np.float32] = tones[y // brick[0], shifted // brick[1]]
    joints = (y % brick[0] < 1) | (shifted % brick[1] < 1)
    texture[joints] -= 1.6 * contrast
    return texture
