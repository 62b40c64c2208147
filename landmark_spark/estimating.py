"""Gathers what an estimate needs: how many images there are, what the settings ask for, what this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterable

from landmark_spark.commits import StoreError
from landmark_spark.core.estimates import Cluster, Recipe, Workload
from landmark_spark.core.precision import kind_of_cpu
from landmark_spark.core.records import Row, parse_rows
from landmark_spark.schemas import LANDMARKS, RECORDS
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.input_files import input_lines
from landmark_spark.store import Store
from landmark_spark.toy_inputs import described_inputs

__all__ = ["this_machine", "recipe_of", "workload_of"]

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SQUARE = 128 * 128  # pixels that GFLOP are counted for
_ASPECT = 0.75  # of a photo: 4:3


def workload_of(config: Config) -> Workload:
    """Count the images and landmarks: of the csv files, or of the store where they cannot be read.

    Raises ConfigError where neither is there.
    """
    try:
        with described_inputs(config) as (described, _):
            return _count_csv(described)
    except ConfigError as error:
        found = _count_store(config)
        if found is None:
            raise ConfigError(f"{error}; give --images-train, --images-test and --landmarks") from error
        return found


def _count_csv(config: Config) -> Workload:
    inputs = config.inputs
    train = list(_landmarks_in("inputs.train_csv", inputs.train_csv, with_landmark=True))
    tests = sum(1 for _ in _landmarks_in("inputs.test_csv", inputs.test_csv, with_landmark=False))
    others = inputs.non_landmark_csv
    num_others = sum(1 for _ in _landmarks_in("inputs.non_landmark_csv", others, with_landmark=False)) if others else 0
    try:
        return Workload(len(train), tests, len(set(train)), num_others)
    except ValueError as error:
        raise ConfigError(f"the csv files should have images: {error}") from error


def _landmarks_in(setting: str, path: str, *, with_landmark: bool) -> Iterable[int | None]:
    """Yield the landmark of every valid row."""
    rows = parse_rows(input_lines(setting, path), with_landmark=with_landmark, allow_relative=True, source=path)
    return (each.landmark_id for each in rows if isinstance(each, Row))


def _count_store(config: Config) -> Workload | None:
    store = Store(config.store)
    try:
        splits = store.read_arrow(RECORDS, ["split"]).column("split").to_pylist()
        landmarks = store.read_arrow(LANDMARKS, ["landmark_id"]).num_rows
        return Workload(splits.count("train"), splits.count("test"), landmarks, splits.count("non_landmark"))
    except (StoreError, ValueError):
        return None


def recipe_of(config: Config) -> Recipe:
    """Return what the settings ask for."""
    descriptors, retrieval, train = config.descriptors, config.retrieval, config.train
    crops = 1.0 + (5 * 0.75 * 0.75 if descriptors.crops == "five" else 0.0)
    views = sum(float(side) ** 2 * _ASPECT / _SQUARE for side in descriptors.sides.split())
    return Recipe(
        num_shards=config.index.num_shards,
        has_all_large_images=config.download.large_images == "all",
        references_per_landmark=config.download.references_per_landmark,
        is_served_here=bool(config.serve_folder) or not config.inputs.train_csv,
        num_threads=config.download.num_threads,
        connections_per_host=config.download.max_connections_per_host,
        epochs=train.epochs,
        validation_fraction=train.validation_fraction,
        has_refit=train.refit,
        fine_tune_epochs=config.fine_tune.epochs,
        num_workers=train.num_workers,
        top_k=config.predict.top_k,
        num_networks=len(descriptors.networks.split()),
        views=views * crops * (2 if descriptors.flip else 1),
        dimensions=retrieval.dimensions,
        candidates=retrieval.candidates,
        has_head=retrieval.head == "linear",
        max_training_images=retrieval.max_training_images,
        max_calibration_images=retrieval.max_calibration_images,
        num_folds=retrieval.num_folds,
        feature_kind=config.local_features.kind,
        delf_epochs=config.delf.epochs,
        delf_max_images=config.delf.max_images,
        max_comparisons=config.verify.max_comparisons,
    )


def this_machine(config: Config) -> Cluster:
    """Return a cluster of this machine alone: its cores, its memory, its kind of processor, no GPU."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Cluster(
        cores_per_node=len(os.sched_getaffinity(0)),
        cpu=kind_of_cpu(),
        memory=float(memory),
        driver_memory=_bytes_of(config.spark.driver_memory),
    )


def _bytes_of(text: str) -> float:
    """Read an amount of memory as Spark writes it: 2g, 512m, 1024 (MiB)."""
    digits, unit = text.rstrip("bB").rstrip("kmgtKMGT"), text.rstrip("bB")[-1:].lower()
    if not (digits.isascii() and digits.isdigit() and int(digits) > 0):
        raise ConfigError(f"spark.driver_memory should be an amount such as 2g. Received: {text}")
    return float(digits) * _UNITS.get(unit, _UNITS["m"])
