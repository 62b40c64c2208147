import json

import numpy as np
import pytest

from landmark_spark.core.augmentation import AugmentationPlan, Draw, load_augmentation
from landmark_spark.core.backbone import NetworkPlan, base_of, build_network
from landmark_spark.core.fine_tuning import FineTuningPlan, build_fine_tuned, fine_tune
from landmark_spark.core.model_files import load_classifier, load_model, save_model
from landmark_spark.core.refitting import Training
from landmark_spark.core.training_loop import Batch, LoopPlan, TrainingData

PLAN = FineTuningPlan(
    network=NetworkPlan(image_size=32, precision="float32"),
    num_frozen_layers=15,
    learning_rate=0.01,
    momentum=0.9,
    label_smoothing=0.1,
    seed=3,
)
LANDMARKS = np.array([70, 8], np.int64)


def images(count=6):
    random = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 2
    return random.integers(0, 128, (count, 32, 32, 3), dtype=np.uint8) + labels[:, None, None, None] * np.uint8(
        128
    ), labels


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A top model file: 512 features, as VGG16 gives of 32 pixels, to 2 classes."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.Input((512,)), keras.layers.Dropout(0.1), keras.layers.Dense(2, activation="softmax")]
    path = tmp_path_factory.mktemp("top") / "model.keras"
    save_model(keras.Sequential(layers, name="top_model"), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, top):
    """What a fine-tuning of two steps leaves."""
    augment = load_augmentation(AugmentationPlan(horizontal_flip=True))

    def train(epoch, first_step):
        pixels, labels = images()
        yield Batch(augment(pixels, Draw(epoch, 0, 6)), labels, np.ones(6, np.float32), 6)

    data = TrainingData(train, lambda: iter([images(2)]))
    folder = tmp_path_factory.mktemp("fine_tuned")
    training = Training(LoopPlan(epochs=2), data)
    fine_tune(PLAN, training, {"measured": top, "kept": top}, landmark_ids=LANDMARKS, folder=folder)
    return folder


def test_layers_0_to_14_stay_bit_for_bit_and_all_others_are_trained(folder, top):
    before = build_fine_tuned(PLAN, load_model(top))
    after = load_model(folder / "model.keras")
    base, trained = base_of(before), base_of(after)
    assert base.layers[14].name == "block4_pool"
    for number, (old, new) in enumerate(zip(base.layers, trained.layers, strict=True)):
        for mine, theirs in zip(old.get_weights(), new.get_weights(), strict=True):
            assert np.array_equal(mine, theirs) == (number <= 14), old.name
    for mine, theirs in zip(load_model(top).get_weights(), after.get_layer("top_model").get_weights(), strict=True):
        assert not np.array_equal(mine, theirs)


def test_before_training_the_model_gives_what_network_and_top_give_one_after_the_other(top):
    pixels, _ = images()
    features = build_network(PLAN.network).predict_on_batch(pixels).reshape(6, -1)
    expected = load_model(top).predict_on_batch(features)
    np.testing.assert_allclose(build_fine_tuned(PLAN, load_model(top)).predict_on_batch(pixels), expected, atol=1e-6)


def test_the_files_are_a_classifier_of_pixels_with_history_and_plan(folder):
    score, landmark_ids = load_classifier(folder, batch_size=4)
    scores = score(images()[0])
    assert (scores.shape, scores.dtype) == ((6, 2), np.float32)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert landmark_ids.tolist() == [70, 8]
    assert set(json.loads((folder / "history.json").read_text())) == {"loss", "val_loss", "val_accuracy", "val_gap"}
    told = json.loads((folder / "fine_tuning.json").read_text())
    assert (told["epochs"], told["num_frozen_layers"], told["network"]["name"]) == (2, 15, "vgg16")


def test_a_top_model_of_another_network_and_too_many_frozen_layers_are_refused(top):
    from dataclasses import replace

    larger = replace(PLAN, network=replace(PLAN.network, image_size=64))
    with pytest.raises(ValueError, match="should take 2048 features of vgg16. Received: one of 512"):
        build_fine_tuned(larger, load_model(top))
    with pytest.raises(ValueError, match="num_frozen_layers should be at most 19 for vgg16. Received: 20"):
        build_fine_tuned(replace(PLAN, num_frozen_layers=20), load_model(top))
