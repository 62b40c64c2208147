"""Verification: what a task does with its rows; the plan of partitions changes nothing but the work of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from landmark_spark.core.local_features import pack_array
from landmark_spark.core.partitioning import partition_keys
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.schemas import BOTTLENECKS, CANDIDATES, LOCAL_FEATURES, NO_CLASS, PREDICTIONS
from landmark_spark.settings import Config, VerifySettings
from landmark_spark.stages.verification_task import VerificationTask
from landmark_spark.stages.verify_landmarks import VerificationTables, verify_candidates
from landmark_spark.store import arrow_schema, spark_schema

NUM_POINTS = 50
NUM_LANDMARKS = 6
QUERIES_OF = [24, 12, 8, 6, 1, 3]  # of each landmark as the best predicted: 54 images; the last has no reference


def photo(landmark: int, seed: int, num_same: int = NUM_POINTS) -> dict[str, object]:
    """Local features of a photo: the landmark's points in a frame of the photo's own, all but num_same displaced."""
    draw = np.random.default_rng(landmark)
    points = draw.uniform(0, 400, (NUM_POINTS, 2))
    descriptors = draw.normal(size=(NUM_POINTS, 16))
    mine = np.random.default_rng([landmark, seed])
    points = points @ (np.eye(2) + mine.uniform(-0.1, 0.1, (2, 2))) + 20
    points[num_same:] = mine.uniform(0, 400, (NUM_POINTS - num_same, 2))
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    packed = {
        "keypoints": pack_array(points.astype(np.float32)),
        "descriptors": pack_array(unit.astype(np.float16)),
    }
    return packed | {"num_keypoints": NUM_POINTS, "width": 480, "height": 480}


def bottleneck(degrees: float) -> bytes:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], "<f2").tobytes()


def sent(landmark: int, image_id: str, rank: int, *, angle: float, num_same: int = NUM_POINTS, is_query=False):
    """The two rows that are sent of an image."""
    head = {"landmark_id": landmark, "is_query": is_query, "id": image_id, "shard": 0, "reference_rank": rank}
    seed = sum(image_id.encode())
    return [head | {"bottleneck": bottleneck(angle)}, head | photo(landmark, seed, num_same)]


SENT = pa.schema(
    [
        ("landmark_id", pa.int64()),
        ("is_query", pa.bool_()),
        ("id", pa.string()),
        ("shard", pa.int32()),
        ("reference_rank", pa.int32()),
        ("bottleneck", pa.binary()),
        ("keypoints", pa.binary()),
        ("descriptors", pa.binary()),
        ("num_keypoints", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)


def verified(rows, settings, size=1000):
    batch = pa.RecordBatch.from_pylist(rows, schema=SENT)
    batches = [batch.slice(start, size) for start in range(0, batch.num_rows, size)]
    return [row for made in VerificationTask(settings)(batches) for row in made.to_pylist()]


# References in the order of their ids; only c shows the landmark, and it is the most similar.
THREE = [
    *sent(7, "a", 2, angle=80, num_same=10),
    *sent(7, "b", 0, angle=40, num_same=10),
    *sent(7, "c", 1, angle=12),
    *sent(7, "q", NO_CLASS, angle=10, is_query=True),
]


def test_the_most_similar_reference_is_compared_first():
    (row,) = verified(THREE, VerifySettings())
    assert (row["num_comparisons"], row["num_references"], row["best_reference_id"]) == (1, 3, "c")
    assert row["is_verified"]
    (row,) = verified(THREE, VerifySettings(reference_order="hash"))
    assert (row["num_comparisons"], row["best_reference_id"]) == (2, "c")  # b, of rank 0, came first


def test_references_are_those_of_least_rank_whatever_their_similarity():
    (row,) = verified(THREE, VerifySettings(max_comparisons=1))
    assert (row["num_comparisons"], row["num_references"], row["is_verified"]) == (1, 3, False)
    (row,) = verified(THREE, VerifySettings(max_comparisons=2))
    assert (row["num_comparisons"], row["best_reference_id"]) == (1, "c")


def test_rows_stream_in_batches_of_any_size_and_landmarks_do_not_mix():
    rows = THREE + sent(8, "r", NO_CLASS, angle=0, is_query=True) + sent(9, "d", 0, angle=0)
    rows += sent(9, "s", NO_CLASS, angle=0, is_query=True) + sent(9, "t", NO_CLASS, angle=5, is_query=True)
    expected = verified(rows, VerifySettings())
    assert [(row["id"], row["num_references"]) for row in expected] == [("q", 3), ("r", 0), ("s", 1), ("t", 1)]
    for size in (1, 2, 5):
        assert verified(rows, VerifySettings(), size) == expected


def test_image_without_bottleneck_is_compared_in_order_of_ids():
    rows = [row for row in THREE if row["id"] != "q" or "keypoints" in row]
    (row,) = verified(rows, VerifySettings())
    assert (row["num_comparisons"], row["best_reference_id"]) == (3, "c")


def test_an_image_that_is_a_reference_itself_is_compared_with_the_others_alone():
    rows = [*THREE[:6], *sent(7, "c", 1, angle=12, is_query=True), *THREE[6:]]
    found = verified(rows, VerifySettings())
    assert [(row["id"], row["num_comparisons"], row["num_references"]) for row in found] == [("c", 2, 2), ("q", 1, 3)]
    assert not found[0]["is_verified"]  # a and b show nothing of it
    assert found[1] == verified(THREE, VerifySettings())[0]
    (found, _) = verified(rows, VerifySettings(reference_order="hash"))
    assert (found["num_comparisons"], found["num_references"]) == (2, 2)


def test_the_place_of_an_image_among_the_references_is_not_filled_by_one_of_a_higher_rank():
    rows = [*THREE[:6], *sent(7, "b", 0, angle=40, is_query=True)]
    (row,) = verified(rows, VerifySettings(max_comparisons=1))
    assert (row["num_comparisons"], row["num_references"], row["best_reference_id"]) == (0, 2, None)
    (row,) = verified(rows, VerifySettings(max_comparisons=2))
    assert (row["num_comparisons"], row["num_references"]) == (1, 2)  # with c; a has rank 2


def test_a_training_image_without_bottleneck_is_compared_in_order_of_ids():
    rows = [*THREE[:6], sent(7, "d", 25, angle=0, is_query=True)[1]]
    (row,) = verified(rows, VerifySettings())
    assert (row["num_comparisons"], row["num_references"], row["best_reference_id"]) == (3, 3, "c")


def in_frame(spark, table, rows):
    names = arrow_schema(table).names
    batch = [{"holdout": 0.0} | row for row in rows]
    values = [tuple(row.get(name, 0) for name in names) for row in batch]
    return spark.createDataFrame(values, spark_schema(table))


@pytest.fixture(scope="module")
def world(spark):
    """Six landmarks, the first most popular: 54 test images, of which every other shows what was predicted first."""
    references, queries, predictions = [], [], []
    for landmark in range(NUM_LANDMARKS - 1):
        for rank in range(4):
            row = {"id": f"r{landmark}{rank}", "split": "train", "landmark_id": landmark, "reference_rank": rank}
            references.append(row | {"shard": rank % 3, "features": bottleneck(10 * rank)} | photo(landmark, rank))
    for landmark, count in enumerate(QUERIES_OF):
        for number in range(count):
            name = f"q{landmark}{number:02d}"
            shown = landmark if number % 2 else NUM_LANDMARKS + number
            row = {"id": name, "split": "test", "landmark_id": NO_CLASS, "reference_rank": NO_CLASS}
            queries.append(row | {"shard": number % 3, "features": bottleneck(7 * number)} | photo(shown, number + 9))
            for rank in range(3):
                guess = {"landmark_id": (landmark + rank) % NUM_LANDMARKS, "rank": rank, "score": 0.5}
                predictions.append({"id": name, "shard": number % 3} | guess)
    landmarks = [{"landmark_id": number, "num_train_images": 4, "name": ""} for number in range(NUM_LANDMARKS)]
    images = queries + references
    return VerificationTables(
        in_frame(spark, PREDICTIONS, predictions),
        in_frame(spark, CANDIDATES, []),
        spark.createDataFrame(
            [(row["landmark_id"], 0, row["num_train_images"], "") for row in landmarks], LANDMARKS_TYPE
        ),
        in_frame(spark, LOCAL_FEATURES, images),
        in_frame(spark, BOTTLENECKS, images),
    )


LANDMARKS_TYPE = "landmark_id long, class_index int, num_train_images long, name string"


def run(world, **settings):
    from pyspark.sql import functions as F

    config = replace(Config(), verify=VerifySettings(**settings))
    rows = verify_candidates(config, world).withColumn("task", F.spark_partition_id()).collect()
    return sorted((row.asDict() for row in rows), key=lambda row: (row["id"], row["landmark_id"]))


def answers(rows):
    return [{name: value for name, value in row.items() if name != "task"} for row in rows]


@pytest.mark.jvm
def test_result_is_the_same_in_any_partitions_and_no_task_has_much_more_than_the_median(world):
    one = run(world)
    assert len(one) == 54
    assert sum(row["is_verified"] for row in one) == 12 + 6 + 4 + 3 + 0  # the odd numbers; the last has no reference
    many = run(replace(world, local_features=world.local_features.repartition(5)), comparisons_per_task=40)
    assert answers(many) == answers(one)
    assert len({row["task"] for row in one}) == 6  # three for each of two cores
    # 51 x 4.3 for those with references, 3 x 0.3 for those without, 20 x 0.3 for references: 226 = 6 x 40 nearly.
    work = Counter()
    for row in one:
        work[row["task"]] += row["num_references"] + 0.3
    assert max(work.values()) <= 1.5 * np.median(list(work.values()))
    assert len({row["task"] for row in one if row["landmark_id"] == 0}) >= 3  # 24 of 54 images: spread over tasks


@pytest.mark.jvm
def test_candidates_are_verified_each_with_its_own_references(world):
    rows = run(world, candidates=2, reference_order="hash")
    assert len(rows) == 2 * 54
    first = {row["id"]: row for row in answers(run(world, reference_order="hash"))}
    for row in answers(rows):
        best = int(row["id"][1])
        assert row["landmark_id"] in (best, (best + 1) % NUM_LANDMARKS)
        if row["landmark_id"] == best:
            assert row == first[row["id"]]


def candidate(image_id, split, landmark, shard):
    evidence = dict.fromkeys(EVIDENCE[:-1], 0.0)
    return {"id": image_id, "split": split, "landmark_id": landmark, "shard": shard} | evidence


@pytest.mark.jvm
@pytest.mark.parametrize("reference_order", ["similarity", "hash"])
def test_all_candidates_are_verified_besides_the_predictions_which_stay_as_they_were(spark, world, reference_order):
    candidates = [
        candidate("q000", "test", 0, 0),  # which is predicted too
        candidate("q000", "test", 3, 0),
        candidate("r01", "train", 0, 1),  # its own landmark's reference of rank 1
        candidate("r01", "train", 1, 1),
        candidate("far", "train", 2, 2),
        candidate("sky", "non_landmark", 3, 1),
        candidate("sky", "non_landmark", 5, 1),  # which has no reference
    ]
    far = {"id": "far", "split": "train", "landmark_id": 2, "reference_rank": 20, "shard": 2} | photo(2, 20)
    sky = {"id": "sky", "split": "non_landmark", "landmark_id": -1, "reference_rank": -1, "shard": 1} | photo(99, 0)
    more = replace(
        world,
        candidates=in_frame(spark, CANDIDATES, candidates),
        local_features=world.local_features.unionByName(in_frame(spark, LOCAL_FEATURES, [far, sky])),
        bottlenecks=world.bottlenecks.unionByName(
            in_frame(spark, BOTTLENECKS, [sky | {"class_index": NO_CLASS, "features": bottleneck(3)}])
        ),
    )
    found = {(row["id"], row["landmark_id"]): row for row in answers(run(more, reference_order=reference_order))}
    before = answers(run(world, reference_order=reference_order))
    assert [found.pop((row["id"], row["landmark_id"])) for row in before] == before
    columns = ("shard", "num_references", "num_comparisons", "is_verified")
    assert {key: tuple(row[each] for each in columns) for key, row in found.items()} == {
        ("q000", 3): (0, 4, 4, False),
        ("r01", 0): (1, 3, 1, True),
        ("r01", 1): (1, 4, 4, False),
        ("far", 2): (2, 4, 1, True),  # no reference: those have ranks 0 to 3 here, and 19 at most
        ("sky", 3): (1, 4, 4, False),
        ("sky", 5): (1, 0, 0, False),
    }
    assert found["r01", 0]["best_reference_id"] in {"r00", "r02"}
    many = answers(run(more, reference_order=reference_order, comparisons_per_task=40))
    assert many == answers(run(more, reference_order=reference_order))


@pytest.mark.jvm
def test_candidates_count_in_the_plan(spark, world):
    rows = [candidate(f"far{number:03d}", "train", 1, number % 3) for number in range(200)]
    features = [row | {"reference_rank": 20 + number} | photo(1, number + 50) for number, row in enumerate(rows)]
    more = replace(
        world,
        candidates=in_frame(spark, CANDIDATES, rows),
        local_features=world.local_features.unionByName(in_frame(spark, LOCAL_FEATURES, features)),
    )
    found = run(more)
    assert len(found) == 54 + 200
    per_task = Counter(row["task"] for row in found if row["landmark_id"] == 1)
    assert len(per_task) == 6  # 212 of 254 queries: no task can have all of them
    assert max(per_task.values()) <= 1.5 * 212 / 6


@pytest.mark.jvm
def test_sparks_hash_sends_every_key_to_the_partition_it_is_the_key_of(spark):
    from pyspark.sql import functions as F

    keys = partition_keys(23)
    frame = spark.createDataFrame([(key,) for key in keys], "key int").repartition(23, "key")
    found = {row.key: row.place for row in frame.withColumn("place", F.spark_partition_id()).collect()}
    assert [found[key] for key in keys] == list(range(23))
