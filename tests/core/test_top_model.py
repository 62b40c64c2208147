import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from small_training import LANDMARKS, LOOP, PLAN, data, examples, train

from landmark_spark.core.model_files import ModelFileError, best_classes, load_classifier, load_model
from landmark_spark.core.refitting import Training
from landmark_spark.core.top_model import margin_cross_entropy, smoothed_cross_entropy, train_top_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    return folder


def test_separated_clusters_are_told_apart_and_scores_sum_to_one(folder):
    score, landmark_ids = load_classifier(folder, batch_size=7)
    features, labels = examples(30, 2)
    scores = score(features)
    assert scores.shape == (30, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(landmark_ids[best_classes(scores, 1)[:, 0]], LANDMARKS[labels])


def test_with_the_cosine_head_class_vectors_have_unit_length_and_scores_still_sum_to_one(tmp_path):
    plan = dataclasses.replace(PLAN, head="cosine", scale=8.0)
    train_top_model(plan, Training(LOOP, data()), landmark_ids=LANDMARKS, folder=tmp_path)
    score, landmark_ids = load_classifier(tmp_path, batch_size=7)
    features, labels = examples(30, 2)
    scores = score(features)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(landmark_ids[best_classes(scores, 1)[:, 0]], LANDMARKS[labels])
    assert scores.max() / scores.min() <= np.exp(2 * 8.0) * 1.01  # cosines lie between -1 and 1
    weights = load_model(tmp_path / "model.keras").get_layer("landmarks").get_weights()
    np.testing.assert_allclose(np.linalg.norm(weights[0], axis=0), 1, atol=1e-4)


def test_the_margin_lowers_the_logit_of_the_right_class():
    probabilities = np.array([[0.5, 0.25, 0.25]], np.float32)
    # The right class by ln 4 lower: 0.125, 0.25, 0.25, that is 0.2, 0.4, 0.4 of their sum.
    loss = margin_cross_entropy(3, 0.0, penalty=float(np.log(4)))(np.array([0]), probabilities)
    np.testing.assert_allclose(loss, [-np.log(0.2)], rtol=1e-5)
    # Targets 0.9 + 0.1 / 3 and 0.1 / 3 twice.
    smoothed = margin_cross_entropy(3, 0.1, penalty=float(np.log(4)))(np.array([0]), probabilities)
    np.testing.assert_allclose(smoothed, [-(0.28 / 0.3 * np.log(0.2) + 0.02 / 0.3 * np.log(0.4))], rtol=1e-5)
    same = margin_cross_entropy(3, 0.1, penalty=0.0)(np.array([0]), probabilities)
    np.testing.assert_allclose(same, smoothed_cross_entropy(3, 0.1)(np.array([0]), probabilities))


def test_a_head_that_there_is_not_is_refused(tmp_path):
    plan = dataclasses.replace(PLAN, head="arc")
    with pytest.raises(ValueError, match="head should be one of softmax, cosine. Received: 'arc'"):
        train_top_model(plan, Training(LOOP, data()), landmark_ids=LANDMARKS, folder=tmp_path)


def test_history_has_a_value_an_epoch_and_the_seed_is_written(folder):
    history = json.loads((folder / "history.json").read_text())
    assert set(history) == {"loss", "val_loss", "val_accuracy", "val_gap"}
    assert [len(values) for values in history.values()] == [20] * 4
    assert history["val_accuracy"][-1] == history["val_gap"][-1] == 1.0
    assert json.loads((folder / "training.json").read_text())["seed"] == 5


def test_the_log_for_tensorboard_has_the_history_and_no_times(folder):
    from tensorflow.compat.v1.train import summary_iterator

    events = list(summary_iterator(str(folder / "logs" / "events.out.tfevents.history")))
    told = {(event.step, value.tag): value.simple_value for event in events for value in event.summary.value}
    history = json.loads((folder / "history.json").read_text())
    expected = {(epoch + 1, name): value for name in history for epoch, value in enumerate(history[name])}
    assert told == pytest.approx(expected, rel=1e-6)
    assert {event.wall_time for event in events} == {0}


def test_the_smoothed_loss_is_that_of_the_paper():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], np.float32)
    # Target 0.9 + 0.1 / 3 on the right class and 0.1 / 3 on the others:
    # -(0.933333 ln 0.7 + 0.033333 ln 0.2 + 0.033333 ln 0.1) = 0.332896 + 0.053648 + 0.076753
    # -(0.033333 ln 0.7 + 0.933333 ln 0.2 + 0.033333 ln 0.1) = 0.011889 + 1.502142 + 0.076753
    losses = smoothed_cross_entropy(3, 0.1)(np.array([0, 1]), probabilities)
    np.testing.assert_allclose(losses, [0.463297, 1.590784], atol=1e-5)


def test_the_same_training_gives_the_same_bytes_in_another_process(folder, tmp_path):
    code = "import sys; from pathlib import Path; import small_training; small_training.train(Path(sys.argv[1]))"
    tests, root = Path(__file__).parents[1], Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, tests)))}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
    names = {each.relative_to(folder) for each in folder.rglob("*") if each.is_file()}
    assert len(names) == 5
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_kept_model_is_the_one_trained_on_everything_and_the_measured_one_stays_beside_it(folder, tmp_path):
    train(tmp_path / "both", everything=data(seed=9, validation=None))
    alone = Training(LOOP, data(seed=9, validation=None))
    train_top_model(PLAN, alone, landmark_ids=LANDMARKS, folder=tmp_path / "alone")
    assert (tmp_path / "both" / "model.keras").read_bytes() == (tmp_path / "alone" / "model.keras").read_bytes()
    assert (tmp_path / "both" / "measured_model.keras").read_bytes() == (folder / "model.keras").read_bytes()
    assert "val_loss" in json.loads((tmp_path / "both" / "history.json").read_text())


def test_an_example_of_weight_0_changes_nothing():
    import keras

    from landmark_spark.core.top_model import _build
    from landmark_spark.core.training_loop import build_trainee

    features, labels = examples(6, 0)
    keras.utils.set_random_seed(0)
    trainee = build_trainee(lambda: _build(PLAN), lambda: keras.optimizers.SGD(0.1), smoothed_cross_entropy(3, 0.0))
    before = trainee.model.get_weights()
    assert trainee.step(features, labels, np.zeros(6, np.float32)) == 0.0
    for mine, theirs in zip(before, trainee.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


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
    score, _ = load_classifier(folder, batch_size=4)
    with pytest.raises(ValueError, match=r"the examples should be \(B, 8\). Received: \(2, 5\)"):
        score(np.zeros((2, 5), np.float16))


def test_an_unreadable_model_is_a_clear_error(folder, tmp_path):
    with pytest.raises(ModelFileError, match="should (hold|be) a trained model"):
        load_classifier(tmp_path, batch_size=4)
    (tmp_path / "classes.json").write_text((folder / "classes.json").read_text())
    (tmp_path / "model.keras").write_bytes((folder / "model.keras").read_bytes()[:100])
    with pytest.raises(ModelFileError, match="should (hold|be) a trained model"):
        load_classifier(tmp_path, batch_size=4)
    flipped = bytearray((folder / "model.keras").read_bytes())
    flipped[len(flipped) // 2] ^= 1  # within the weights, which are most of the file
    (tmp_path / "model.keras").write_bytes(flipped)
    with pytest.raises(ModelFileError, match="model.keras should be a trained model. Received: Bad CRC-32"):
        load_classifier(tmp_path, batch_size=4)
    (tmp_path / "model.keras").write_bytes((folder / "model.keras").read_bytes())
    (tmp_path / "classes.json").write_text('{"landmark_ids": [1]}')
    with pytest.raises(ModelFileError, match="the model should give 1 scores"):
        load_classifier(tmp_path, batch_size=4)
