"""A small store of images, features, predictions and verifications, written without Spark, and what it holds."""

import numpy as np
import pyarrow as pa

from landmark_spark.commits import Stamp
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.local_features import load_extractor, pack_array
from landmark_spark.core.records import shard_of
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import IMAGES, LANDMARKS, LOCAL_FEATURES, PREDICTIONS, VERIFICATIONS
from landmark_spark.store import Store, arrow_schema

__all__ = ["NUM_SHARDS", "make_store", "scene", "write_table"]

NUM_SHARDS = 3
_STAMP = Stamp("test", "f", {"local_features.kind": "sift"})


def scene(landmark, shift=0):
    """A picture of random blocks that are a landmark's own, moved to the right, (240, 320, 3) uint8."""
    random = np.random.default_rng(landmark)
    blocks = random.integers(0, 256, (30, 60), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    return np.repeat(blocks[:, shift : shift + 320, None], 3, axis=2)


def write_table(url, table, rows):
    """Write whole rows, by shard of their id where the table is sharded."""
    schema = arrow_schema(table)
    if not table.sharded:
        write = PartitionWriter(url, table, {-1: _STAMP}, {})
        list(write(iter([pa.RecordBatch.from_pylist(rows, schema=schema)])))
        return
    placed = sorted((each | {"shard": shard_of(each["id"], NUM_SHARDS)} for each in rows), key=lambda row: row["shard"])
    write = PartitionWriter(url, table, dict.fromkeys(range(NUM_SHARDS), _STAMP), {})
    list(write(iter([pa.RecordBatch.from_pylist(placed, schema=schema)])))
    for shard in set(range(NUM_SHARDS)) - {row["shard"] for row in placed}:
        write.write_empty(shard)


def make_store(folder, *, num_landmarks=3, num_references=4):
    """Landmark k has references r<k>_0, ...; test images t<k> show it, ``gone`` was not fetched."""
    url = str(folder)
    extract = load_extractor("sift", max_keypoints=150)
    pictures = {f"t{k}": ("test", -1, scene(k, 40)) for k in range(num_landmarks)}
    pictures |= {
        f"r{k}_{n}": ("train", k, scene(k, 12 * n)) for k in range(num_landmarks) for n in range(num_references)
    }
    images = [_image(name, split, landmark, picture) for name, (split, landmark, picture) in pictures.items()]
    images.append(_image("gone", "test", -1, None))
    write_table(url, IMAGES, images)
    found = {name: extract(picture) for name, (_, _, picture) in pictures.items()}
    write_table(url, LOCAL_FEATURES, [_features(name, *pictures[name][:2], each) for name, each in found.items()])
    tests = range(num_landmarks)
    write_table(
        url,
        PREDICTIONS,
        [
            {"id": f"t{k}", "rank": rank, "landmark_id": (k + rank) % num_landmarks, "class_index": 0, "score": score}
            for k in tests
            for rank, score in enumerate((0.75, 0.25))
        ],
    )
    write_table(
        url,
        VERIFICATIONS,
        [
            {
                "id": f"t{k}",
                "landmark_id": k,
                "num_inliers": 90,
                "num_comparisons": 2,
                "num_references": num_references,
                "best_reference_id": f"r{k}_1",
                "is_verified": True,
            }
            for k in tests
        ],
    )
    names = [{"landmark_id": k, "class_index": k, "num_train_images": 9, "name": f"Tower {k}"} for k in tests]
    write_table(url, LANDMARKS, names)
    return Store(url)


def _image(name, split, landmark, picture):
    large = None if picture is None else encode_jpeg(picture, 95)
    return {
        "id": name,
        "split": split,
        "landmark_id": landmark,
        "class_index": landmark,
        "reference_rank": _rank(name),
        "holdout": 0.5,
        "status": "ok" if large else "http_404",
        "image": large,
        "large_image": large,
        "width": 320,
        "height": 240,
        "num_bytes": 1,
        "sha256": "",
        "num_attempts": 1,
        "host": "h",
        "url": name,
        "final_url": name,
    }


def _features(name, split, landmark, found):
    return {
        "id": name,
        "split": split,
        "landmark_id": landmark,
        "reference_rank": _rank(name),
        "width": found.width,
        "height": found.height,
        "num_keypoints": len(found.keypoints),
        "keypoints": pack_array(found.keypoints),
        "descriptors": pack_array(found.descriptors),
    }


def _rank(name):
    return int(name.rpartition("_")[2]) if name.startswith("r") else -1
