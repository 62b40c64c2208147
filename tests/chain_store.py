"""A whole small store, from records to metrics, written without Spark, whose tables fit together; or do not."""

import json

import pyarrow as pa

from landmark_spark.commits import WHOLE, Stamp
from landmark_spark.config import load_config
from landmark_spark.core.records import shard_of
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.pipeline import STAGES
from landmark_spark.planning import Inventory, input_digests
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    DELF_MODEL,
    FINE_TUNED_MODEL,
    FUSION,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LANDMARKS,
    LOCAL_FEATURES,
    METRICS,
    PREDICTIONS,
    RECORDS,
    REJECTS,
    RETRIEVAL_MODEL,
    SCORES,
    SUBMISSION,
    TOP_MODEL,
    VERIFICATIONS,
)
from landmark_spark.store import Store, arrow_schema

__all__ = ["NUM_SHARDS", "chain_config", "chain_rows", "make_chain", "put_artifact", "put_table", "stamp_for"]

NUM_SHARDS = 3  # 0 has r1 and r4; 1 has t3 alone; 2 has t0, t1, t2, r0, r2, r3 and r5
_JPEG = b"\xff\xd8\xff"
_TRAIN = {f"r{k}": 70 + k // 3 for k in range(6)}  # landmarks 70 and 71, three photos each
_TESTS = ["t3", "t1", "t0", "t2"]  # in the order of test.csv, from line 2 on
_FAILED = {"t1", "r5"}
_MAKERS = {output.name: stage for stage in STAGES for output in stage.outputs}


def chain_config(folder, *overrides):
    """The configuration of such a store."""
    csv = folder.parent / "train.csv"
    if not csv.exists():
        csv.write_text("id,url,landmark_id\n")
        (folder.parent / "test.csv").write_text("id,url\n")
    inputs = [f"inputs.train_csv={csv}", f"inputs.test_csv={folder.parent / 'test.csv'}"]
    return load_config(None, [f"store={folder}", f"index.num_shards={NUM_SHARDS}", *inputs, *overrides])


def _classes(name):
    landmark = _TRAIN.get(name, -1)
    return {
        "id": name,
        "split": "train" if landmark >= 0 else "test",
        "landmark_id": landmark,
        "class_index": landmark - 70 if landmark >= 0 else -1,
        "reference_rank": int(name[1:]) % 3 if landmark >= 0 else -1,
        "holdout": 0.5,
    }


def _image(name):
    picture = None if name in _FAILED else _JPEG
    return _classes(name) | {
        "status": "ok" if picture else "http_404",
        "image": picture,
        "large_image": picture,
        "width": 8,
        "height": 8,
        "num_bytes": 3,
        "sha256": "",
        "num_attempts": 1,
        "host": "h",
        "url": name,
        "final_url": name,
    }


def _vectors(name):
    row = {each: value for each, value in _classes(name).items() if each in LOCAL_FEATURES.schema.names}
    return row | {
        "width": 8,
        "height": 8,
        "num_keypoints": 2,
        "keypoints": bytes(2 * 8),
        "descriptors": bytes(2 * 2 * 40),
    }


def _descriptor(name):
    row = {each: value for each, value in _classes(name).items() if each in GLOBAL_DESCRIPTORS.schema.names}
    return row | {"descriptor": bytes(32)}


def _candidate(name, landmark):
    row = {"id": name, "split": _classes(name)["split"], "true_landmark_id": _TRAIN.get(name, -1)}
    evidence = {"neighbours": 0.5, "closest": 0.5, "centroid": 0.25, "head": 0.125, "non_landmark": 0.125}
    evidence |= {"reference_non_landmark": 0.125, "references": 1.0}
    return row | {"fold": -1, "rank": landmark - 70, "landmark_id": landmark, "class_index": landmark - 70} | evidence


def _verification(name, landmark=70):
    values = {"num_inliers": 4, "num_comparisons": 2, "num_references": 3, "best_reference_id": "r0"}
    return {"id": name, "landmark_id": landmark, "is_verified": False} | values


def chain_rows():
    """The rows of every table, in order; test.csv has a fifth line that was refused, and a sixth that repeats t0.

    All test images have landmark 70 predicted first and named as candidate, t0 has 71 named besides; r1 plays a test
    image.
    """
    names = [*_TESTS, *_TRAIN]
    fetched = [name for name in names if name not in _FAILED]
    tests = [name for name in fetched if name in _TESTS]
    named = [*((name, 70) for name in tests), ("t0", 71), ("r1", 70)]
    refused = {"source": "test.csv", "split": "test", "line": "x"}
    return {
        RECORDS: [
            _classes(name) | {"url": name, "line_number": _TESTS.index(name) + 2 if name in _TESTS else 0}
            for name in names
        ],
        LANDMARKS: [{"landmark_id": 70 + k, "class_index": k, "num_train_images": 3, "name": ""} for k in range(2)],
        REJECTS: [
            refused | {"line_number": 6, "id": "t9", "reason": "empty_url"},
            refused | {"line_number": 7, "id": "t0", "reason": "duplicate_id"},
        ],
        IMAGES: [_image(name) for name in names],
        BOTTLENECKS: [_classes(name) | {"features": bytes(16)} for name in fetched],
        PREDICTIONS: [
            {"id": name, "rank": rank, "landmark_id": 70 + rank, "class_index": rank, "score": 0.75 - rank / 2}
            for name in tests
            for rank in range(2)
        ],
        GLOBAL_DESCRIPTORS: [_descriptor(name) for name in fetched],
        CANDIDATES: [_candidate(*each) for each in named],
        LOCAL_FEATURES: [_vectors(name) for name in fetched],
        VERIFICATIONS: [_verification(*each) for each in named],
        SCORES: [
            {"id": name, "rank": landmark - 70, "landmark_id": landmark, "num_inliers": 4, "score": 0.5}
            for name, landmark in named
            if name in _TESTS
        ],
    }


def stamp_for(store, output, shard, *, num_shards=NUM_SHARDS):
    """What a run would note now."""
    stage = _MAKERS[output.name]
    inventory = Inventory({each.output.name: store.commits(each.output) for each in stage.reads})
    at = shard if stage.sharded else WHOLE
    return Stamp(stage.name, "f", {}, input_digests(stage, at, inventory), version=1, num_shards=num_shards)


def put_table(store, table, rows, *, order=None, shard_for=shard_of):
    """Write a table's shards from rows in any order; order: of the columns, another than the table's."""
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in order or table.order))
    shards = range(NUM_SHARDS) if table.sharded else [WHOLE]
    for shard in shards:
        mine = [row for row in ordered if shard == WHOLE or shard_for(row["id"], NUM_SHARDS) == shard]
        write = PartitionWriter(store.url, table, {shard: stamp_for(store, table, shard)}, {})
        if not mine:
            write.write_empty(shard)
            continue
        placed = [row | {"shard": shard} if table.sharded else row for row in mine]
        list(write(iter([pa.RecordBatch.from_pylist(placed, schema=arrow_schema(table))])))


def put_artifact(store, artifact, folder, files):
    """Write files of an artifact and commit them; a single name without folder goes to the artifact's path."""
    entries = [store.write_bytes(f"{artifact.path}{folder}{name}", data) for name, data in files.items()]
    store.commit_artifact(artifact, entries, stamp_for(store, artifact, WHOLE))


def make_chain(folder, changed=None, submission=None):
    """Write the store; changed: table -> a function of its rows; submission: its lines."""
    store = Store(str(folder))
    rows = chain_rows()
    for table, change in (changed or {}).items():
        rows[table] = change(rows[table])
    for table in (RECORDS, LANDMARKS, REJECTS, IMAGES, BOTTLENECKS):
        put_table(store, table, rows[table])
    put_artifact(store, TOP_MODEL, "/1/", {"classes.json": b"{}"})
    put_artifact(store, FINE_TUNED_MODEL, "/1/", {"fine_tuning.json": b"{}"})
    put_table(store, PREDICTIONS, rows[PREDICTIONS])
    put_table(store, GLOBAL_DESCRIPTORS, rows[GLOBAL_DESCRIPTORS])
    put_artifact(store, RETRIEVAL_MODEL, "/1/", {"retrieval.json": b"{}"})
    put_table(store, CANDIDATES, rows[CANDIDATES])
    put_artifact(store, DELF_MODEL, "/1/", {"delf.json": b"{}"})
    for table in (LOCAL_FEATURES, VERIFICATIONS):
        put_table(store, table, rows[table])
    put_artifact(store, FUSION, "", {"": b"{}"})
    put_table(store, SCORES, rows[SCORES])
    lines = submission or ["t3,70 0.75", "t1,", "t0,70 0.75", "t2,70 0.75", "t9,"]
    put_artifact(store, SUBMISSION, "", {"": "\n".join(["id,landmarks", *lines, ""]).encode()})
    put_artifact(store, METRICS, "", {"": json.dumps({"modes": {}, "counts": {}}).encode()})
    return store
