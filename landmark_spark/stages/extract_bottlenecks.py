"""Stage: images -> bottlenecks, on GPU executors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landmark_spark.core.backbone import Extract, load_backbone
from landmark_spark.core.images import decode_jpegs
from landmark_spark.core.weights import IMAGENET_DIGEST, WeightsError, WeightsNotFound, digest_weights, resolve_weights
from landmark_spark.core.weights import find_weights as found_weights
from landmark_spark.gpu import claim_device
from landmark_spark.schemas import BOTTLENECKS
from landmark_spark.settings import BackboneSettings, Config
from landmark_spark.stages.context import Context
from landmark_spark.store import Store, conform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["extract_bottlenecks", "find_weights", "weights_digest"]


def weights_digest(config: Config) -> dict[str, str]:
    """Return the digest of the weights that would be used; nothing for random ones.

    Where this machine has no ImageNet weights (yet) it is that of Keras' own: what was made with them stays current.
    """
    named = config.backbone.weights
    try:
        path = found_weights() if named == "imagenet" else resolve_weights(named)
        if path is None:
            return {"weights": IMAGENET_DIGEST} if named == "imagenet" else {}
        return {"weights": digest_weights(path)}
    except (WeightsError, WeightsNotFound):  # an error of the run that needs them: find_weights
        return {"weights": "missing"}


def find_weights(config: Config) -> None:
    """Raise WeightsNotFound or WeightsError where the network's weights cannot be had."""
    resolve_weights(config.backbone.weights)


def extract_bottlenecks(context: Context, images: DataFrame) -> DataFrame:
    """Run the convolutional base over every image that could be fetched."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import pandas_udf

    settings = context.config.backbone
    task = _Backbone(settings, context.config.download.image_size, context.store.url, _ship(context.store, settings))

    def features_of(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        extract = task.load()
        for batch in batches:
            features = extract(decode_jpegs(batch.tolist()))
            yield pd.Series([each.tobytes() for each in np.ascontiguousarray(features, "<f2")])

    make_udf: Any = pandas_udf  # its stubs know no plain function
    features = make_udf(features_of, "binary")
    found = images.where(F.col("status") == "ok").withColumn("features", features("image"))
    return conform(found, BOTTLENECKS)


def _ship(store: Store, settings: BackboneSettings) -> str:
    """Put the weights where every executor reads: into the store, named by what they hold."""
    path = resolve_weights(settings.weights)
    if path is None:
        return ""
    data = path.read_bytes()
    relative = f"_weights/{hashlib.sha256(data).hexdigest()}{path.suffix}"
    shipped = store.path(relative)
    if not store.file_system.exists(shipped) or store.file_system.size(shipped) != len(data):
        store.write_bytes(relative, data)
    return relative


@dataclass(frozen=True)
class _Backbone:
    """Everything a Python worker needs to load the network; small and hashable, so that it is loaded once."""

    settings: BackboneSettings
    image_size: int
    store_url: str
    weights: str

    def load(self) -> Extract:
        return _load(self)


@lru_cache(maxsize=1)
def _load(task: _Backbone) -> Extract:
    """Load the network, once a Python worker, on the GPU of its task where it has one."""
    claim_device(num_threads=task.settings.num_threads)
    with Store(task.store_url).local_file(task.weights) as weights:
        return load_backbone(
            weights,
            image_size=task.image_size,
            preprocessing=task.settings.preprocessing,
            precision=task.settings.precision,
            batch_size=task.settings.batch_size,
        )
