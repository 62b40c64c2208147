"""The stages that train, and prediction with what they leave, on a handful of pictures; Spark's part is played."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from played_spark import PlayedSpark
from store_rows import STAMP

from landmark_spark.commits import WHOLE, FileEntry
from landmark_spark.config import load_config
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.network_probe import NetworkFacts
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import BOTTLENECKS, FINE_TUNED_MODEL, IMAGES, LANDMARKS, TOP_MODEL
from landmark_spark.settings import ConfigError
from landmark_spark.stages import predict_landmarks as stage
from landmark_spark.stages.context import Context
from landmark_spark.stages.fine_tune import check_fine_tuning, fine_tune
from landmark_spark.stages.predict_landmarks import predict_landmarks
from landmark_spark.stages.train_top_model import train_top_model
from landmark_spark.stages.training_process import check_workers
from landmark_spark.store import Store, arrow_schema

SETTINGS = [
    "index.num_shards=1",
    "download.image_size=32",
    "backbone.weights=random",
    "backbone.precision=float32",
    "train.epochs=2",
    "train.checkpoint_steps=1",
    "train.validation_fraction=0.5",
    "fine_tune.batch_size=4",
    "fine_tune.checkpoint_steps=1",
]


def rows():
    """Eight training and two test pictures of two landmarks, one dark and one light, and a training one that failed."""
    random = np.random.default_rng(0)
    for number in range(11):
        label = number % 2
        pixels = random.integers(0, 128, (32, 32, 3), dtype=np.uint8) + np.uint8(128 * label)
        split = "train" if number < 9 else "test"
        yield {
            "id": f"i{number:02d}",
            "split": split,
            "landmark_id": (70, 8)[label] if split == "train" else -1,
            "class_index": label if split == "train" else -1,
            "reference_rank": number // 2 if split == "train" else -1,
            "holdout": (number // 2) / 5,
            "status": "ok" if number != 8 else "timeout",
            "image": encode_jpeg(pixels, 95) if number != 8 else None,
            "features": random.normal(label, 0.1, 512).astype(np.float16).tobytes(),
            "num_train_images": 4,
        }


def filled(row, schema):
    empty = {pa.string(): "", pa.int32(): 0, pa.int64(): 0, pa.float32(): 0.0}
    return {each.name: row.get(each.name, None if each.nullable else empty.get(each.type)) for each in schema}


def write(store, table, found):
    schema = arrow_schema(table)
    shards = (0,) if table.sharded else (WHOLE,)
    batch = pa.RecordBatch.from_pylist([filled({**row, "shard": 0}, schema) for row in found], schema=schema)
    list(PartitionWriter(store.url, table, dict.fromkeys(shards, STAMP), {})(iter([batch])))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with both models, and a context to go on with."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    every = list(rows())
    write(store, IMAGES, every)
    write(store, BOTTLENECKS, [row for row in every if row["status"] == "ok"])
    write(store, LANDMARKS, every[:2])
    context = Context(PlayedSpark(), store, load_config(None, [*SETTINGS, "fine_tune.epochs=1"]), (WHOLE,), print)
    top = store.commit_artifact(TOP_MODEL, train_top_model(context, None, None), STAMP)
    fine = store.commit_artifact(FINE_TUNED_MODEL, fine_tune(context, None, None, top), STAMP)
    return SimpleNamespace(store=store, context=context, top=top, fine=fine)


def store_folder(store):
    return Path(store.path(""))


def names(commit):
    return {each.path.rpartition("/")[2] for each in commit.files}


def test_both_stages_leave_models_classes_histories_and_logs(made):
    both = {"model.keras", "classes.json", "history.json", "events.out.tfevents.history"}
    assert names(made.top) == both | {"training.json", "measured_model.keras"}
    assert names(made.fine) == both | {"fine_tuning.json"}
    with made.store.local_files(made.fine) as files:
        assert set(json.loads(files["history.json"].read_text())) == {"loss", "val_loss", "val_accuracy", "val_gap"}
        assert json.loads(files["classes.json"].read_text()) == {"landmark_ids": [70, 8]}


def test_the_checkpoints_of_both_trainings_are_in_the_store_until_the_model_is_committed(made):
    folder = store_folder(made.store) / "_checkpoints"
    assert sorted(path.name for path in (folder / "fine_tune").rglob("*.npz")) == ["kept.npz", "measured.npz"]


class PlayedFrame:
    """A table of which a stage takes what it wants; ``task`` is what the stage would have run on it."""

    task = None

    def where(self, condition):
        return self

    def select(self, *columns):
        return self

    def mapInArrow(self, task, schema, profile=None):
        self.task = task
        return self


def predict(made, monkeypatch, fine_tuned):
    """Return the rows that the stage makes of the pictures, or None where it reads bottlenecks."""
    monkeypatch.setattr(stage, "conform", lambda frame, table: frame)
    images, bottlenecks = PlayedFrame(), PlayedFrame()
    predict_landmarks(made.context, images, bottlenecks, made.top, fine_tuned)
    if images.task is None:
        assert bottlenecks.task.model == made.top.to_json()
        assert bottlenecks.task.batch_size == made.context.config.predict.batch_size
        return None
    assert bottlenecks.task is None
    assert images.task.batch_size == made.context.config.backbone.batch_size  # not the top model's hundreds
    tests = [row for row in rows() if row["split"] == "test"]
    batch = pa.RecordBatch.from_pydict(
        {
            "id": [row["id"] for row in tests],
            "shard": pa.array([0] * len(tests), pa.int32()),
            "image": [row["image"] for row in tests],
        }
    )
    (found,) = images.task(iter([batch]))
    return found.to_pandas()


def test_where_there_is_a_fine_tuned_model_it_predicts_from_pictures(made, monkeypatch):
    found = predict(made, monkeypatch, made.fine)
    assert found["id"].tolist() == ["i09", "i09", "i10", "i10"]
    assert found["rank"].tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(found.groupby("id")["score"].sum(), 1, atol=1e-5)
    assert set(found["landmark_id"]) == {70, 8}


def test_where_there_is_none_the_top_model_predicts_from_bottlenecks(made, monkeypatch):
    note = replace(made.fine, files=(FileEntry("fine_tuned_model/x/fine_tuning.json", 1, ""),))
    assert predict(made, monkeypatch, note) is None


def test_without_epochs_there_is_a_note_and_no_model(made):
    context = Context(PlayedSpark(), made.store, load_config(None, SETTINGS), (WHOLE,), print)
    (file,) = fine_tune(context, None, None, made.top)
    assert json.loads(made.store.read_bytes(file.path)) == {"epochs": 0}
    assert file.path.endswith("/fine_tuning.json")


def test_more_frozen_layers_than_the_base_has_are_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="num_frozen_layers should be at most 19 for vgg16. Received: 20"):
        check_fine_tuning(load_config(None, ["fine_tune.epochs=1", "fine_tune.num_frozen_layers=20"]))
    check_fine_tuning(load_config(None, ["fine_tune.epochs=1", "fine_tune.num_frozen_layers=19"]))
    check_fine_tuning(load_config(None, ["fine_tune.epochs=0", "fine_tune.num_frozen_layers=20"]))


def test_normalisation_is_not_trained_by_several_workers(monkeypatch):
    facts = NetworkFacts(10, normalising=(2, 6))
    monkeypatch.setattr("landmark_spark.stages.fine_tune.probe_network", lambda *_, **__: facts)
    settings = ["fine_tune.epochs=1", "backbone.name=mobilenet"]
    with pytest.raises(ConfigError, match="should be at least 7 for mobilenet where train.num_workers is above 1"):
        check_fine_tuning(load_config(None, [*settings, "train.num_workers=2", "fine_tune.num_frozen_layers=6"]))
    check_fine_tuning(load_config(None, [*settings, "train.num_workers=2", "fine_tune.num_frozen_layers=7"]))
    check_fine_tuning(load_config(None, [*settings, "fine_tune.num_frozen_layers=0"]))


def test_several_workers_on_another_backend_are_refused_before_anything_runs(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ConfigError, match="KERAS_BACKEND should be tensorflow .* Received: jax"):
        check_workers(load_config(None, ["train.num_workers=2"]))
    check_workers(load_config(None, ["train.num_workers=1"]))
