"""Stage: images -> global_descriptors, on GPU executors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.dense_features import compile_dense
from landmark_spark.core.descriptor_network import DescriptorPlan, build_descriptor_network, parse_networks
from landmark_spark.core.descriptor_views import ViewPlan, describe_scaled, join_descriptors, parse_sides, scale_image
from landmark_spark.core.images import ImageError, RgbImage, decode_jpeg
from landmark_spark.core.jpeg_batches import DamagedImageError
from landmark_spark.core.model_runner import ModelRunner
from landmark_spark.core.network_probe import probe_network
from landmark_spark.core.networks import NETWORKS, check_network
from landmark_spark.core.prefetching import run_ahead
from landmark_spark.core.published_weights import describe_weights, resolve_network_weights
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.messages import teller
from landmark_spark.retrieval_settings import DescriptorSettings
from landmark_spark.schemas import GLOBAL_DESCRIPTORS
from landmark_spark.settings import BackboneSettings, Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.extract_bottlenecks import default_decode_threads, regroup, ship_weights
from landmark_spark.store import Store, arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "DescriptorError",
    "DescriptorTask",
    "descriptor_task",
    "descriptors_also",
    "extract_global_descriptors",
    "find_descriptor_networks",
]

_BATCHES_TOGETHER = 4
"""Images of so many batches are sorted by shape: pictures upright and across, of 4:3 and 3:2, come in any order."""

Scales = list[RgbImage]


class DescriptorError(ValueError):
    """A descriptor with numbers that are none; the message names the image."""


def descriptors_also(config: Config) -> dict[str, str]:
    """Return what global_descriptors depends on besides its section: each network's weights; none of random ones."""
    found: dict[str, str] = {}
    for each in _with_weights(config, config.descriptors.networks.split() if config.descriptors.is_wanted else ()):
        digests = describe_weights(each.name, each.weights)
        found |= {f"{each.name} {key}": digest for key, digest in digests.items()}
    return found


def find_descriptor_networks(config: Config) -> None:
    """Raise ConfigError for networks and sides that there are not, WeightsNotFound or WeightsError for their weights.

    Each network is built once in a process of its own, but for VGG16, whose weights are checked without.
    """
    settings = config.descriptors
    if not settings.is_wanted:
        if config.submission.mode == "learned":
            raise ConfigError(
                "submission.mode should be fused, decision or classifier where descriptors.networks is none. "
                "Received: learned"
            )
        return
    try:
        networks, sides = parse_networks(settings.networks), parse_sides(settings.sides)
        for name in networks:
            check_network(name, min(sides))
    except ValueError as error:
        raise ConfigError(f"descriptors.networks, descriptors.sides: {error}") from error
    for each in _with_weights(config, networks):
        weights = resolve_network_weights(each.name, each.weights)
        if weights is not None:
            probe_network(each.name, image_size=min(sides), weights=weights)


def extract_global_descriptors(context: Context, images: DataFrame) -> DataFrame:
    """Describe every image that keeps a larger copy by one vector, of convolutional networks and GeM pooling."""
    if not context.config.descriptors.is_wanted:
        return _of_none(images)
    task = descriptor_task(context.config, context.store)
    wanted = [name for name in arrow_schema(GLOBAL_DESCRIPTORS).names if name != "descriptor"]
    found = images.where("status = 'ok' and large_image is not null").select(*wanted, "large_image")
    rows = found.mapInArrow(task, spark_schema(GLOBAL_DESCRIPTORS), profile=context.accelerator_profile)
    return conform(rows, GLOBAL_DESCRIPTORS)


def descriptor_task(config: Config, store: Store) -> DescriptorTask:
    """Return what describes images, its weights put where every executor reads: into the store."""
    networks = _with_weights(config, parse_networks(config.descriptors.networks))
    weights = tuple(ship_weights(store, each) for each in networks)
    return DescriptorTask(config.descriptors, store.url, weights)


def _of_none(images: DataFrame) -> DataFrame:
    """Return the table without a row."""
    from pyspark.sql import functions as F

    rows = images.where(F.lit(False)).withColumn("descriptor", F.lit(b""))
    return conform(rows, GLOBAL_DESCRIPTORS)


def _with_weights(config: Config, networks: Iterable[str]) -> list[BackboneSettings]:
    """Return each network with the weights meant for it: those of the section backbone, or ImageNet's."""
    backbone = config.backbone
    return [
        dataclasses.replace(backbone, name=name, weights=backbone.weights if name == backbone.name else "imagenet")
        for name in networks
    ]


@dataclass(frozen=True)
class DescriptorTask:
    """Describes the images of one partition inside a Spark task.

    Small and hashable, so that a Python worker loads the networks once. weights: of each network, of the store, below
    ``store_url``; empty for random ones.
    """

    settings: DescriptorSettings
    store_url: str
    weights: tuple[str, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn the rows of images into those of global_descriptors, in their order; the next are decoded meanwhile."""
        settings = self.settings
        claim_device(num_threads=settings.num_threads)
        runners, plan = _load(self), _view_plan(settings)
        with ThreadPoolExecutor(default_decode_threads(), thread_name_prefix="decode") as pool:
            groups = regroup(batches, _BATCHES_TOGETHER * settings.batch_size)
            for batch, scaled in run_ahead(groups, lambda group: _start_decoding(group, plan, pool), ahead=1):
                parts = [describe_scaled(scaled, plan, run, batch_size=settings.batch_size) for run in runners]
                yield _rows(batch, join_descriptors(parts))


def _view_plan(settings: DescriptorSettings) -> ViewPlan:
    min_side = max(NETWORKS[name].min_side for name in parse_networks(settings.networks))
    return ViewPlan(parse_sides(settings.sides), settings.flip, settings.crops, min_side)


@lru_cache(maxsize=1)
def _load(task: DescriptorTask) -> tuple[ModelRunner, ...]:
    """Load the networks, once a Python worker."""
    limit_native_threads()
    names = parse_networks(task.settings.networks)
    return tuple(_load_network(task, *each) for each in zip(names, task.weights, strict=True))


def _load_network(task: DescriptorTask, name: str, shipped: str) -> ModelRunner:
    settings = task.settings
    with Store(task.store_url).local_file(shipped) as weights:
        plan = DescriptorPlan(
            name=name,
            weights=weights,
            preprocessing=settings.preprocessing,
            gem_power=settings.gem_power,
            precision=settings.precision,
        )
        model = build_descriptor_network(plan)
    tell = teller(task.store_url, extract_global_descriptors.__name__)
    return compile_dense(model, batch_size=settings.batch_size, tell=tell)


def _start_decoding(batch: pa.RecordBatch, plan: ViewPlan, pool: Executor) -> Callable[[], list[Scales]]:
    scaled = pool.map(
        lambda name, data: scale_image(_decode(name, data), plan),
        batch["id"].to_pylist(),
        batch["large_image"].to_pylist(),
    )
    return lambda: list(scaled)


def _decode(name: str, data: bytes) -> RgbImage:
    try:
        return decode_jpeg(data)
    except ImageError as error:
        raise DamagedImageError(f"the stored picture {name} should be a JPEG. Received: {error}") from error


def _rows(batch: pa.RecordBatch, descriptors: npt.NDArray[np.float32]) -> pa.RecordBatch:
    _check_finite(batch["id"].to_pylist(), descriptors)
    vectors = pa.array([row.tobytes() for row in descriptors.astype("<f2")], pa.binary())
    schema = arrow_schema(GLOBAL_DESCRIPTORS)
    columns = [vectors if each.name == "descriptor" else batch[each.name] for each in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _check_finite(names: Sequence[str], descriptors: npt.NDArray[np.float32]) -> None:
    """Raise DescriptorError where a map overflowed, as those of VGG can in float16."""
    wrong = np.flatnonzero(~np.isfinite(descriptors).all(axis=1))
    if len(wrong):
        raise DescriptorError(
            f"the descriptor of {names[wrong[0]]} should be of finite numbers; float16 overflows: set "
            "descriptors.precision to float32 or bfloat16. Received: others"
        )
