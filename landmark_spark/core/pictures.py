"""Makes the pictures that are stored of an image: a small square for the network, a larger copy for verification."""

from __future__ import annotations

from dataclasses import dataclass

from landmark_spark.core.images import decode_scaled, encode_jpeg
from landmark_spark.core.resizing import (
    RESIZE_MODES,
    fit_decoded,
    is_enough_for_square,
    is_enough_to_fit,
    resize_decoded,
)

__all__ = ["PicturePlan", "Pictures", "make_pictures"]

_MAX_SIDE = 65_500  # of a JPEG


@dataclass(frozen=True)
class PicturePlan:
    """What pictures are made: their sides in pixels, and their JPEG qualities, 1 to 100.

    image_size, jpeg_quality: of the square; resize_mode: a word of core.resizing.RESIZE_MODES.
    large_side, large_jpeg_quality: of the larger copy, whose longest side is at most large_side; never enlarged.
    max_pixels: an original with more is refused before it is decoded.
    """

    image_size: int
    resize_mode: str
    jpeg_quality: int
    large_side: int
    large_jpeg_quality: int
    max_pixels: int

    def __post_init__(self) -> None:
        """Check everything, so that a picture can fail by its bytes alone."""
        for name, largest in (
            ("image_size", _MAX_SIDE),
            ("large_side", _MAX_SIDE),
            ("jpeg_quality", 100),
            ("large_jpeg_quality", 100),
        ):
            if not 1 <= getattr(self, name) <= largest:
                raise ValueError(f"{name} should be from 1 to {largest}. Received: {getattr(self, name)}")
        if self.resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode should be one of {', '.join(RESIZE_MODES)}. Received: {self.resize_mode!r}")
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels should be at least 1. Received: {self.max_pixels}")


@dataclass(frozen=True)
class Pictures:
    """The stored pictures of an image, as JPEG.

    image: the square; large_image: the larger copy, None where it was not wanted.
    width, height: of the original, upright, pixels.
    """

    image: bytes
    large_image: bytes | None
    width: int
    height: int


def make_pictures(body: bytes, plan: PicturePlan, *, with_large: bool) -> Pictures:
    """Make the stored pictures from the bytes of an image file; the same bytes give the same pictures.

    A JPEG is decoded at the smallest scale that is enough for all of them.

    Raises:
        ImageError: the bytes give no picture; nothing else is raised.
    """

    def is_enough(width: float, height: float) -> bool:
        for_square = is_enough_for_square(width, height, plan.image_size, mode=plan.resize_mode)
        return for_square and (not with_large or is_enough_to_fit(width, height, plan.large_side))

    decoded = decode_scaled(body, max_pixels=plan.max_pixels, is_enough=is_enough)
    square = resize_decoded(decoded, plan.image_size, mode=plan.resize_mode)
    large = encode_jpeg(fit_decoded(decoded, plan.large_side), plan.large_jpeg_quality) if with_large else None
    return Pictures(encode_jpeg(square, plan.jpeg_quality), large, decoded.width, decoded.height)
