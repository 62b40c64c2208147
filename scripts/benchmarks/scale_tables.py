"""Writes the tables that accelerators and networks make, with small made-up values, as committed shards of a store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from landmark_spark.commits import WHOLE, Stamp
from landmark_spark.inventory import take_inventory
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.pipeline import expectations, stage_named
from landmark_spark.planning import input_digests
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LANDMARKS,
    LOCAL_FEATURES,
    NO_CLASS,
    PREDICTIONS,
    RECORDS,
    Artifact,
    Table,
)
from landmark_spark.settings import Config
from landmark_spark.store import Store, arrow_schema

__all__ = ["SyntheticShard", "write_tables"]

NUM_PLAYERS = 20_000  # training images that play test images: retrieval.max_calibration_images
MEAN_CANDIDATES = 3.5  # landmarks that retrieval names for an image, as on conf/mini.yaml
NUM_REFERENCES = 4  # of a landmark have features; the plan of verification counts on up to 20
_NUM_KEYPOINTS, _DESCRIPTOR = 2, 16  # too few for a search by RANSAC: millions of comparisons take minutes
_STAGES = (
    "download_images",
    "extract_bottlenecks",
    "train_top_model",
    "fine_tune",
    "predict_landmarks",
    "extract_global_descriptors",
    "train_retrieval",
    "retrieve_neighbours",
    "train_delf",
    "extract_local_features",
)
_RECORD_COLUMNS = [each.name for each in RECORDS.schema]
_PROCESSES = 2


def write_tables(config: Config) -> dict[str, int]:
    """Write what these stages would, from the store's records on; return the rows of each table by its name.

    Their commits say what a run would have said, so that planning finds them up to date.
    """
    store, expected, written = Store(config.store), expectations(config), {}
    sizes = store.read_arrow(LANDMARKS, ["landmark_id", "num_train_images"])
    landmarks = sizes.column("landmark_id").to_numpy()
    chances = sizes.column("num_train_images").to_numpy() / pc.sum(sizes.column("num_train_images")).as_py()
    num_train = int(pc.sum(sizes.column("num_train_images")).as_py())
    maker = SyntheticShard(store.url, landmarks, np.cumsum(chances), min(1.0, NUM_PLAYERS / num_train))
    for name in _STAGES:
        stage = stage_named(name)
        inventory = take_inventory(store, config, [stage])
        (output,) = stage.outputs
        shards = range(config.index.num_shards) if output.sharded else [WHOLE]
        stamps = {shard: expected[name].stamp(input_digests(stage, shard, inventory)) for shard in shards}
        if isinstance(output, Artifact):
            files = (store.write_bytes(f"{output.path}/note.json", b"{}\n"),)
            store.commit_artifact(output, files, stamps[WHOLE])
        else:
            records = dict(store._committed(RECORDS))
            written[output.name] = _write_all(maker, output, records, stamps)
    return written


def _write_all(maker: SyntheticShard, table: Table, records: dict[int, str], stamps: dict[int, Stamp]) -> int:
    write = functools.partial(_write_one, maker, table)
    with ProcessPoolExecutor(_PROCESSES) as pool:
        return sum(pool.map(write, [(shard, records[shard], stamps[shard]) for shard in stamps], chunksize=16))


def _write_one(maker: SyntheticShard, table: Table, place: tuple[int, str, Stamp]) -> int:
    shard, records, stamp = place
    rows = maker.rows(table, shard, records)
    writer = PartitionWriter(maker.store_url, table, {shard: stamp}, {})
    if rows.num_rows:
        list(writer(iter([rows])))
    else:
        writer.write_empty(shard)
    return int(rows.num_rows)


class SyntheticShard:
    """Makes the rows of one shard of a table from those of its records: the same records give the same rows.

    landmark_ids: (C,) int64, by class index. chances: (C,) float64, ascending to 1: how probable it is that one of the
    landmarks so far is named. share_of_players: of the training images, by hash, that play a test image.
    """

    def __init__(self, store_url: str, landmark_ids: np.ndarray, chances: np.ndarray, share_of_players: float) -> None:
        self.store_url = store_url
        self._landmark_ids = landmark_ids
        self._chances = chances
        self._share_of_players = share_of_players

    def rows(self, table: Table, shard: int, records: str) -> pa.RecordBatch:
        """Return the rows of a shard, in the table's order. records: file of the same shard of records."""
        import pyarrow.parquet as pq

        known = pq.read_table(Store(self.store_url).path(records), columns=_RECORD_COLUMNS, partitioning=None)
        makers: dict[str, Callable[[pa.Table, np.random.Generator], dict[str, Any]]] = {
            IMAGES.name: _images,
            BOTTLENECKS.name: _bottlenecks,
            GLOBAL_DESCRIPTORS.name: _global_descriptors,
            PREDICTIONS.name: self._predictions,
            CANDIDATES.name: self._candidates,
            LOCAL_FEATURES.name: self._local_features,
        }
        columns = makers[table.name](known, np.random.default_rng([shard, sorted(makers).index(table.name)]))
        schema = arrow_schema(table)
        columns["shard"] = np.full(len(columns["id"]), shard)
        arrays = [pa.array(columns[each.name], type=each.type, from_pandas=False) for each in schema]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Draw class indices (count,) as often as the landmarks have training images."""
        return np.minimum(np.searchsorted(self._chances, random.random(count)), len(self._chances) - 1)

    def _named(self, count: int, random: np.random.Generator, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each of ``count`` images, ``sizes`` classes, no one twice: places of the images, and classes."""
        images = np.repeat(np.arange(count), sizes)
        classes = self._draw(len(images), random)
        _, first = np.unique(np.stack([images, classes]), axis=1, return_index=True)
        kept = np.sort(first)
        return images[kept], classes[kept]

    def _predictions(self, known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
        tests = known.filter(pc.equal(known["split"], "test"))
        images, classes = self._named(tests.num_rows, random, np.full(tests.num_rows, 5))
        ranks = _ranks(images)
        return {
            "id": tests["id"].take(images).to_pylist(),
            "rank": ranks,
            "landmark_id": self._landmark_ids[classes],
            "class_index": classes,
            "score": (0.5 * random.random(len(images)) / (1 + ranks)).astype(np.float32),
        }

    def _is_player(self, known: pa.Table) -> np.ndarray:
        is_train = pc.equal(known["split"], "train").to_numpy()
        found: np.ndarray = is_train & (known["holdout"].to_numpy() < self._share_of_players)
        return found

    def _candidates(self, known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
        chosen = known.filter(pa.array(self._is_player(known) | pc.equal(known["split"], "test").to_numpy()))
        sizes = random.integers(int(MEAN_CANDIDATES), int(MEAN_CANDIDATES) + 2, chosen.num_rows)
        images, classes = self._named(chosen.num_rows, random, sizes)
        truth = chosen["landmark_id"].to_numpy()[images]
        ranks = _ranks(images)
        true_classes = chosen["class_index"].to_numpy()[images]
        is_found = (ranks == 0) & (true_classes != NO_CLASS) & (random.random(len(images)) < 0.7)
        classes = np.where(is_found, true_classes, classes)
        is_right = self._landmark_ids[classes] == truth
        evidence = {
            name: (0.6 * random.random(len(images)) + 0.2 * is_right).astype(np.float32)
            for name in ("neighbours", "closest", "centroid", "non_landmark", "reference_non_landmark")
        }
        rows = {
            "id": chosen["id"].take(images).to_pylist(),
            "split": chosen["split"].take(images).to_pylist(),
            "true_landmark_id": truth,
            "fold": np.where(truth == NO_CLASS, -1, images % 5),
            "rank": ranks,
            "landmark_id": self._landmark_ids[classes],
            "class_index": classes,
            "head": np.zeros(len(images), np.float32),
            "references": np.ones(len(images), np.float32),
            **evidence,
        }
        return _without_repeats(rows)

    def _local_features(self, known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
        ranks = known["reference_rank"].to_numpy()
        is_reference = (ranks >= 0) & (ranks < NUM_REFERENCES)
        is_test = pc.equal(known["split"], "test").to_numpy()
        chosen = known.filter(pa.array(is_reference | is_test | self._is_player(known)))
        count = chosen.num_rows
        units = random.normal(size=(count, _NUM_KEYPOINTS, _DESCRIPTOR))
        units /= np.linalg.norm(units, axis=2, keepdims=True)
        places = random.uniform(0, 480, (count, _NUM_KEYPOINTS, 2)).astype("<f4")
        return {
            **_taken(chosen, ("id", "split", "landmark_id", "reference_rank")),
            "width": np.full(count, 480),
            "height": np.full(count, 480),
            "num_keypoints": np.full(count, _NUM_KEYPOINTS),
            "keypoints": [each.tobytes() for each in places],
            "descriptors": [each.tobytes() for each in units.astype("<f2")],
        }


_KEYS = ("id", "split", "landmark_id", "class_index", "reference_rank")


def _taken(rows: pa.Table, names: Sequence[str]) -> dict[str, Any]:
    return {name: rows[name].combine_chunks() for name in names}


def _images(known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
    del random
    count = known.num_rows
    picture = _grey_picture()
    return {
        **_taken(known, (*_KEYS, "holdout", "url")),
        "status": ["ok"] * count,
        "image": [picture] * count,
        "large_image": [picture] * count,
        "width": np.full(count, 128),
        "height": np.full(count, 128),
        "num_bytes": np.full(count, len(picture)),
        "sha256": [""] * count,
        "num_attempts": np.full(count, 1),
        "host": ["photos.example"] * count,
        "final_url": known["url"].combine_chunks(),
    }


@functools.cache
def _grey_picture() -> bytes:
    data: bytes = cv2.imencode(".jpg", np.full((128, 128, 3), 128, np.uint8))[1].tobytes()
    return data


def _bottlenecks(known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
    values = np.abs(random.normal(size=(known.num_rows, 16))).astype("<f2")
    return {**_taken(known, (*_KEYS, "holdout")), "features": [each.tobytes() for each in values]}


def _global_descriptors(known: pa.Table, random: np.random.Generator) -> dict[str, Any]:
    values = random.normal(size=(known.num_rows, 4)).astype("<f2")
    return {**_taken(known, _KEYS), "descriptor": [each.tobytes() for each in values]}


def _ranks(images: np.ndarray) -> np.ndarray:
    """Return the place of each row among those of its image; rows of an image lie next to each other."""
    starts = np.flatnonzero(np.diff(images, prepend=-1))
    counts = np.diff(np.append(starts, len(images)))
    found: np.ndarray = np.arange(len(images)) - np.repeat(starts, counts)
    return found


def _without_repeats(rows: dict[str, Any]) -> dict[str, Any]:
    """Leave out rows whose landmark an earlier row of the image has, and number the ranks again."""
    ids = np.array(rows["id"])
    _, images = np.unique(ids, return_inverse=True)
    _, first = np.unique(np.stack([images, rows["landmark_id"]]), axis=1, return_index=True)
    kept = np.sort(first)
    found = {name: np.asarray(values)[kept] for name, values in rows.items()}
    starts = np.flatnonzero(np.r_[True, found["id"][1:] != found["id"][:-1]]) if len(kept) else np.zeros(0, int)
    found["rank"] = np.arange(len(kept)) - np.repeat(starts, np.diff(np.append(starts, len(kept))))
    return found
