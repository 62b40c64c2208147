"""The stage index_images on csv files as people have them."""

import dataclasses
import gzip
import zlib

import pytest

from landmark_spark.core.records import HeaderError
from landmark_spark.settings import Config, ConfigError, IndexSettings, InputSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.index_images import csv_digests, index_images
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm

TRAIN = b"""\xef\xbb\xbf"id","url","landmark_id"
"a1","https://h/a1.jpg",30
"a2","https://h/a2.jpg",7
,"https://h/a3.jpg",7
"a4","",7
"a5","https://h/a5.jpg","x"
"a1","https://h/again.jpg",30
"b1","https://h/b1.jpg",7
"a6","https://h/a6.jpg",7
a7,rel.jpg,7
"""
TEST = b"id,url\r\nb1,https://h/b1.jpg\r\nb2,\r\nb3,http://h/b3.jpg\r\n"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, spark):
    folder = tmp_path_factory.mktemp("csv")
    (folder / "train.csv.gz").write_bytes(gzip.compress(TRAIN))
    (folder / "test.csv").write_bytes(TEST)
    (folder / "names.csv").write_bytes(b'landmark_id,name\n7,"The ""Old"" Mill"\n5,Nowhere\nbad\n')
    inputs = InputSettings(
        train_csv=str(folder / "train.csv.gz"),
        test_csv=str(folder / "test.csv"),
        landmarks_csv=str(folder / "names.csv"),
    )
    config = dataclasses.replace(Config(), inputs=inputs, index=IndexSettings(num_shards=3))
    said = []
    context = Context(spark, Store(str(folder)), config, (0, 1, 2), said.append)
    records, landmarks, rejects = (frame.collect() for frame in index_images(context))
    return {row.id: row for row in records}, landmarks, rejects, said


def test_every_row_is_a_record_or_a_reject_with_its_line(indexed):
    records, _, rejects, _ = indexed
    assert sorted(records) == ["a1", "a2", "a6", "b1", "b3"]
    found = {(row.source, row.line_number): row.reason for row in rejects}
    assert found == {
        ("train.csv.gz", 4): "missing_id",
        ("train.csv.gz", 5): "empty_url",
        ("train.csv.gz", 6): "bad_landmark_id",
        ("train.csv.gz", 7): "duplicate_id",
        ("train.csv.gz", 8): "duplicate_id",  # b1 is a test image: the test set is answered for
        ("train.csv.gz", 10): "relative_url",
        ("test.csv", 3): "empty_url",
    }
    assert {row.line_number: row.line for row in rejects}[6] == '"a5","https://h/a5.jpg","x"'


def test_the_first_of_two_equal_ids_stays(indexed):
    records, _, _, _ = indexed
    assert records["a1"].url == "https://h/a1.jpg"
    assert records["b1"].split == "test"


def test_landmarks_are_numbered_by_id_and_counted(indexed):
    _, landmarks, _, said = indexed
    assert [(row.landmark_id, row.class_index, row.num_train_images, row.name) for row in landmarks] == [
        (7, 0, 2, 'The "Old" Mill'),
        (30, 1, 1, ""),
    ]
    assert any("1 line of " in line for line in said)


def test_labels_ranks_and_shards_are_decided_by_hash(indexed):
    records, _, _, _ = indexed
    assert records["b3"].landmark_id == records["b3"].class_index == records["b3"].reference_rank == -1
    assert {records["a2"].reference_rank, records["a6"].reference_rank} == {0, 1}
    assert records["a1"].reference_rank == 0
    assert all(row.shard == zlib.crc32(row.id.encode()) % 3 for row in records.values())
    assert all(0 <= row.holdout < 1 for row in records.values())


def test_a_wrong_header_is_refused_before_any_task_runs(tmp_path, spark):
    (tmp_path / "train.csv").write_text("id,address\n")
    (tmp_path / "test.csv").write_text("id,url\n")
    inputs = InputSettings(train_csv=str(tmp_path / "train.csv"), test_csv=str(tmp_path / "test.csv"))
    config = dataclasses.replace(Config(), inputs=inputs)
    with pytest.raises(HeaderError, match=r"train.csv should have the columns id, url, landmark_id. Received: id,addr"):
        index_images(Context(spark, Store(str(tmp_path)), config, (0,), print))


def test_a_missing_csv_is_a_config_error_that_names_the_setting(tmp_path):
    inputs = InputSettings(train_csv=str(tmp_path / "none.csv"), test_csv=str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match=r"inputs.train_csv should be a readable file. Received: .*none.csv"):
        csv_digests(dataclasses.replace(Config(), inputs=inputs))
