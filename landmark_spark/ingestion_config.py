"""Writes the configuration of a run over a collection that ingest has listed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from landmark_spark.photo_places import Places

__all__ = ["describe_run"]

_FEW_LANDMARKS = 5_000
_PHOTOS_A_SHARD = 1_000
_LEAST_SHARDS = 4
_INPUTS = ("train", "test", "non_landmark", "landmarks", "solution")


def describe_run(places: Places, counts: tuple[int, int, int, int], files: Sequence[str]) -> str:
    """Return the YAML of a run over a collection.

    counts: of landmarks, training, non-landmark and test photos. files: names of the csv files beside the YAML.
    """
    import yaml

    num_landmarks, num_train, num_others, num_test = counts
    served = os.path.relpath(places.served, places.output)
    settings: dict[str, Any] = {
        "store": "store",
        "serve_folder": served,
        "inputs": {f"{name}_csv": f"{name}.csv" for name in _INPUTS if f"{name}.csv" in files},
        "index": {"num_shards": max(_LEAST_SHARDS, math.ceil((num_train + num_others + num_test) / _PHOTOS_A_SHARD))},
        "local_features": {"kind": "sift"},
    }
    if num_landmarks > _FEW_LANDMARKS:
        settings["retrieval"] = {"head": "none"}
    return (
        "# landmark-spark run --config own.yaml\n"
        f"# Written by landmark-spark ingest: landmarks {num_landmarks}, training photos {num_train}, photos of no "
        f"landmark {num_others}, test photos {num_test}.\n"
        "# sift finds local features in minutes without a GPU; delf_vgg16, the default, takes half an hour for 1,800\n"
        "# photos on two cores and finds twice as many true pairs. docs/how-to/own_photos.md has more.\n"
        + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=1000)
    )
