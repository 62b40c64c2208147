import json
import os
import zipfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.top_model import (
    TopModelError,
    TrainingData,
    TrainingPlan,
    best_classes,
    load_top_model,
    train_top_model,
)

PLAN = TrainingPlan(
    num_classes=3,
    feature_size=8,
    hidden_units=16,
    dropout=0.1,
    learning_rate=0.02,
    label_smoothing=0.1,
    epochs=20,
    seed=5,
)
LANDMARKS = np.array([70, 8, 900], np.int64)


def examples(count, seed):
    """Three well separated clusters."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    centres = np.eye(3, 8) * 4
    return (centres[labels] + random.normal(0, 0.3, (count, 8))).astype(np.float16), labels


def dataset(count, seed):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(examples(count, seed)).batch(8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train_top_model(PLAN, TrainingData(dataset(48, 0), dataset(12, 1)), landmark_ids=LANDMARKS, folder=folder)
    return folder


def test_separated_clusters_are_told_apart_and_scores_sum_to_one(folder):
    score, landmark_ids = load_top_model(folder, batch_size=7)
    features, labels = examples(30, 2)
    scores = score(features)
    assert scores.shape == (30, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(landmark_ids[best_classes(scores, 1)[:, 0]], LANDMARKS[labels])


def test_history_has_a_value_an_epoch_and_the_seed_is_written(folder):
    history = json.loads((folder / "history.json").read_text())
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [len(values) for values in history.values()] == [20] * 4
    assert json.loads((folder / "training.json").read_text())["seed"] == 5


def test_the_smoothed_loss_is_that_of_the_paper():
    from landmark_spark.core.top_model import _smoothed_cross_entropy

    probabilities = np.array([[0.7, 0.2, 0.1]], np.float32)
    # Target 0.9 + 0.1 / 3 on the right class and 0.1 / 3 on the others:
    # -(0.933333 ln 0.7 + 0.033333 ln 0.2 + 0.033333 ln 0.1) = 0.332896 + 0.053648 + 0.076753
    loss = _smoothed_cross_entropy(3, 0.1)(np.array([0]), probabilities)
    assert float(loss) == pytest.approx(0.463297, abs=1e-5)


def test_the_same_seed_gives_the_same_scores(folder, tmp_path):
    train_top_model(PLAN, TrainingData(dataset(48, 0), dataset(12, 1)), landmark_ids=LANDMARKS, folder=tmp_path)
    features, _ = examples(9, 3)
    one, two = (load_top_model(each, batch_size=9)[0](features) for each in (folder, tmp_path))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_the_same_training_gives_the_same_bytes(folder, tmp_path):
    train_top_model(PLAN, TrainingData(dataset(48, 0), dataset(12, 1)), landmark_ids=LANDMARKS, folder=tmp_path)
    for name in ("model.keras", "classes.json", "history.json", "training.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_kept_model_is_the_one_trained_on_everything(tmp_path):
    data = TrainingData(dataset(48, 0), dataset(12, 1), everything=dataset(48, 9))
    train_top_model(PLAN, data, landmark_ids=LANDMARKS, folder=tmp_path / "a")
    train_top_model(PLAN, TrainingData(dataset(48, 9)), landmark_ids=LANDMARKS, folder=tmp_path / "b")
    features, _ = examples(9, 3)
    one, two = (load_top_model(tmp_path / each, batch_size=9)[0](features) for each in "ab")
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert "val_loss" in json.loads((tmp_path / "a" / "history.json").read_text())


def test_the_model_file_holds_no_code_of_ours(folder):
    with zipfile.ZipFile(folder / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert not config["compile_config"]


def test_equal_scores_are_ordered_by_class_number():
    scores = np.array([[0.2, 0.4, 0.4], [0.1, 0.1, 0.8]], np.float32)
    assert best_classes(scores, 2).tolist() == [[1, 2], [2, 0]]
    assert best_classes(scores, 5).shape == (2, 3)
    with pytest.raises(ValueError, match="top_k should be at least 1. Received: 0"):
        best_classes(scores, 0)


def test_features_of_another_size_are_refused(folder):
    score, _ = load_top_model(folder, batch_size=4)
    with pytest.raises(ValueError, match=r"features should be \(B, 8\). Received: \(2, 5\)"):
        score(np.zeros((2, 5), np.float16))


def test_an_unreadable_model_is_a_clear_error(folder, tmp_path):
    with pytest.raises(TopModelError, match="should hold a trained top model"):
        load_top_model(tmp_path, batch_size=4)
    (tmp_path / "classes.json").write_text((folder / "classes.json").read_text())
    (tmp_path / "model.keras").write_bytes((folder / "model.keras").read_bytes()[:100])
    with pytest.raises(TopModelError, match="should hold a trained top model"):
        load_top_model(tmp_path, batch_size=4)
    (tmp_path / "model.keras").write_bytes((folder / "model.keras").read_bytes())
    (tmp_path / "classes.json").write_text('{"landmark_ids": [1]}')
    with pytest.raises(TopModelError, match="the model should give 1 scores"):
        load_top_model(tmp_path, batch_size=4)
