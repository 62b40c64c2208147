"""Writes csv files of the challenge's form and size: random ids, URLs of one photo host, landmarks by Zipf's law."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["NUM_LANDMARKS", "NUM_TEST", "NUM_TRAIN", "write_challenge", "write_solution"]

NUM_TRAIN = 1_225_029  # of Google's Landmark Recognition Challenge, 2018
NUM_TEST = 117_703
NUM_LANDMARKS = 15_000


def write_challenge(folder: Path, *, num_train: int, num_test: int, seed: int = 0) -> tuple[Path, Path]:
    """Write train.csv and test.csv into the folder and return their paths: the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    train_csv, test_csv = folder / "train.csv", folder / "test.csv"
    landmarks = _zipf_landmarks(num_train, seed)
    with train_csv.open("w") as file:
        file.write('"id","url","landmark_id"\n')
        for (image_id, url), landmark in zip(_images(num_train, f"train-{seed}"), landmarks.tolist(), strict=True):
            file.write(f'"{image_id}","{url}",{landmark}\n')
    with test_csv.open("w") as file:
        file.write('"id","url"\n')
        file.writelines(f'"{image_id}","{url}"\n' for image_id, url in _images(num_test, f"test-{seed}"))
    return train_csv, test_csv


def write_solution(folder: Path, *, num_test: int, seed: int = 0) -> Path:
    """Write solution.csv for these test images: one of three shows a landmark, by the same law."""
    path = folder / "solution.csv"
    landmarks = _zipf_landmarks(num_test, seed + 1).tolist()
    with path.open("w") as file:
        file.write("id,landmarks\n")
        for number, (image_id, _) in enumerate(_images(num_test, f"test-{seed}")):
            file.write(f"{image_id},{landmarks[number] if number % 3 == 0 else ''}\n")
    return path


def _zipf_landmarks(count: int, seed: int) -> np.ndarray:
    """Draw landmark ids, (count,) int64: the landmark of rank r with a chance in proportion to 1 / r."""
    chances = 1.0 / np.arange(1, NUM_LANDMARKS + 1)
    return np.random.default_rng(seed).choice(NUM_LANDMARKS, size=count, p=chances / chances.sum())


def _images(count: int, name: str) -> Iterator[tuple[str, str]]:
    """Yield ids of 16 hexadecimal digits and URLs as long as the challenge's."""
    for number in range(count):
        digits = hashlib.sha256(f"{name}-{number}".encode()).hexdigest()
        yield digits[:16], f"https://lh3.googleusercontent.com/-{digits[16:28]}/{digits[28:40]}/{digits[40:60]}/s1600/"
