import pytest
from landmark_store import write_table

from landmark_spark.config import load_config
from landmark_spark.core.estimates import Workload
from landmark_spark.core.precision import kind_of_cpu
from landmark_spark.estimating import recipe_of, this_machine, workload_of
from landmark_spark.settings import ConfigError


def csv_files(folder):
    (folder / "train.csv").write_text("id,url,landmark_id\na1,x,7\na2,x,7\na3,x,9\nbad line\n")
    (folder / "test.csv").write_text("id,url\nb1,x\nb2,x\n")
    (folder / "none.csv").write_text("id,url\nc1,x\n")
    return [f"inputs.{name}_csv={folder}/{file}.csv" for name, file in (("train", "train"), ("test", "test"))]


def test_the_valid_rows_of_the_csv_files_are_counted(tmp_path):
    inputs = csv_files(tmp_path)
    assert workload_of(load_config(None, [f"store={tmp_path}/s", *inputs])) == Workload(3, 2, 2, 0)
    others = f"inputs.non_landmark_csv={tmp_path}/none.csv"
    assert workload_of(load_config(None, [f"store={tmp_path}/s", *inputs, others])) == Workload(3, 2, 2, 1)


def test_without_csv_files_the_toy_world_is_counted_and_not_drawn(tmp_path):
    config = load_config(None, [f"store={tmp_path}/s", "toy.num_landmarks=3", "toy.num_test=5"])
    found = workload_of(config)
    assert (found.num_train, found.num_test, found.num_landmarks) == (36, 5, 3)
    assert not (tmp_path / "s").exists()


def test_where_the_csv_files_are_gone_the_store_is_counted(tmp_path):
    from landmark_spark.schemas import LANDMARKS, RECORDS

    rows = [
        {
            "id": f"i{number}",
            "split": split,
            "url": "x",
            "landmark_id": 1,
            "class_index": 0,
            "reference_rank": 0,
            "holdout": 0.5,
            "line_number": 2,
        }
        for number, split in enumerate(["train", "train", "train", "test"])
    ]
    inputs = ["inputs.train_csv=/gone/train.csv", "inputs.test_csv=/gone/test.csv"]
    config = load_config(None, [f"store={tmp_path}", *inputs])
    with pytest.raises(ConfigError, match="give --images-train, --images-test and --landmarks"):
        workload_of(config)
    write_table(str(tmp_path), RECORDS, rows)
    write_table(
        str(tmp_path), LANDMARKS, [{"landmark_id": 1, "class_index": 0, "num_train_images": 3, "name": "Tower"}]
    )
    assert workload_of(config) == Workload(3, 1, 1)


def test_csv_files_without_training_images_are_refused(tmp_path):
    (tmp_path / "train.csv").write_text("id,url,landmark_id\n")
    (tmp_path / "test.csv").write_text("id,url\nb1,x\n")
    inputs = [f"inputs.train_csv={tmp_path}/train.csv", f"inputs.test_csv={tmp_path}/test.csv"]
    with pytest.raises(ConfigError, match="num_train should be at least 1"):
        workload_of(load_config(None, [f"store={tmp_path}/s", *inputs]))


def test_the_views_of_a_descriptor_count_by_their_pixels():
    # 256 x 192 pixels are 3 times 128 x 128; twice the side 12 times; mirrored twice; five crops of 9/16 each
    assert recipe_of(load_config(None)).views == 3.0
    assert recipe_of(load_config(None, ["descriptors.sides=256 512", "descriptors.flip=true"])).views == 30.0
    assert recipe_of(load_config(None, ["descriptors.crops=five"])).views == pytest.approx(3.0 * (1 + 5 * 9 / 16))


def test_pictures_come_over_loopback_where_the_run_serves_them(tmp_path):
    inputs = csv_files(tmp_path)
    assert recipe_of(load_config(None)).is_served_here  # the toy world
    assert recipe_of(load_config(None, [*inputs, f"serve_folder={tmp_path}"])).is_served_here
    assert not recipe_of(load_config(None, inputs)).is_served_here


def test_the_drivers_memory_is_read_as_spark_writes_it():
    for text, size in (("2g", 2**31), ("512m", 2**29), ("1024", 2**30), ("1GB", 2**30)):
        assert this_machine(load_config(None, [f"spark.driver_memory={text}"])).driver_memory == size
    with pytest.raises(ConfigError, match="an amount such as 2g"):
        this_machine(load_config(None, ["spark.driver_memory=much"]))


def test_a_processor_is_known_by_its_units():
    assert kind_of_cpu(frozenset({"avx512f", "amx_bf16"})) == "amx"
    assert kind_of_cpu(frozenset({"avx512f", "avx2"})) == "avx512"
    assert kind_of_cpu(frozenset({"avx2"})) == "avx2"
