import json
from dataclasses import replace

import numpy as np
import pytest

from landmark_spark.core.delf_network import DelfNetworkPlan, build_dense
from landmark_spark.core.delf_training import DelfTrainingPlan, train_delf
from landmark_spark.core.delf_vgg16 import DelfForm, load_delf_vgg16
from landmark_spark.core.model_files import ModelFileError, load_model
from landmark_spark.core.refitting import Training
from landmark_spark.core.training_loop import Batch, LoopPlan, TrainingData

PLAN = DelfTrainingPlan(
    network=DelfNetworkPlan(layer="block3_conv3", attention_units=32, precision="float32", seed=1),
    form=DelfForm("block3_conv3", (1.0, 0.5), radius=0.0, whiten=True),
    learning_rate=0.01,
    dimensions=8,
    keypoints_for_pca=20,
)


def scenes(count, seed):
    """Images whose left half tells the class, by stripes along or across; the right half is grey noise in all."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 2
    pixels = random.integers(110, 146, (count, 64, 64, 3), dtype=np.uint8)
    stripes = np.where((np.arange(64) // 4) % 2, 250, 5).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, :32] = stripes[:, None, None] if label else stripes[None, :32, None]
    return pixels, labels


def train_batches(epoch, first_step):
    for step in range(first_step, 3):
        pixels, labels = scenes(8, 10 * epoch + step)
        yield Batch(pixels, labels, np.ones(8, np.float32), 8)


def train(folder, plan=PLAN, epochs=8):
    training = Training(LoopPlan(epochs=epochs), TrainingData(train_batches, lambda: iter([scenes(8, 999)])))
    whole = [list(scenes(4, seed)[0]) for seed in (50, 51)]
    return train_delf(plan, training, whole, num_classes=2, folder=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("delf")
    return folder, train(folder)


def test_it_learns_the_classes_and_looks_where_they_differ(trained):
    folder, history = trained
    assert history["val_accuracy"][-1] == 1.0
    scores = load_model(folder / "delf.keras").predict_on_batch(scenes(6, 77)[0])[..., -1]
    assert scores[:, 2:-2, 2:6].mean() > 1.5 * scores[:, 2:-2, 10:14].mean()


def test_the_base_is_bit_for_bit_as_it_was(trained):
    before = build_dense(PLAN.network).get_layer("base").get_weights()
    after = load_model(trained[0] / "delf.keras").get_layer("base").get_weights()
    assert len(before) == len(after) == 14  # kernels and biases of 7 convolutions
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(before, after, strict=True))


def test_the_files_say_how_they_were_made(trained):
    told = json.loads((trained[0] / "delf.json").read_text())
    assert (told["layer"], told["scales"], told["dimensions"], told["epochs"]) == ("block3_conv3", [1.0, 0.5], 8, 8)
    assert told["network"]["weights"] is None


def test_the_extractor_finds_a_moved_pattern_at_the_moved_place(trained):
    extract = load_delf_vgg16(trained[0], max_keypoints=40)
    still, moved = np.full((2, 128, 128, 3), 128, np.uint8)
    pattern = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    still[24:64, 40:80] = pattern
    moved[32:72, 56:96] = pattern  # 16 to the right, 8 down: whole cells at both scales
    first, second = extract([still, moved])
    order = np.lexsort(first.keypoints.T), np.lexsort(second.keypoints.T)
    np.testing.assert_allclose(second.keypoints[order[1]] - first.keypoints[order[0]], [[16, 8]] * 40, atol=1e-3)
    np.testing.assert_allclose(
        first.descriptors[order[0]].astype(float), second.descriptors[order[1]].astype(float), atol=5e-3
    )


def test_the_features_are_as_the_table_wants_them_whatever_the_images_sizes(trained):
    extract = load_delf_vgg16(trained[0], max_keypoints=30, batch_size=2)
    random = np.random.default_rng(6)
    sizes = [(64, 80), (100, 64), (20, 200), (64, 80)]
    found = extract([random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes])
    assert [(each.height, each.width) for each in found] == sizes
    assert [each.descriptors.shape for each in found] == [(30, 8), (30, 8), (0, 8), (30, 8)]
    for each in found:
        assert (each.keypoints.dtype, each.descriptors.dtype) == (np.float32, np.float16)
        np.testing.assert_allclose(np.linalg.norm(each.descriptors.astype(float), axis=1), 1, atol=1e-3)
        assert (each.keypoints >= 0).all() and (each.keypoints < [each.width, each.height]).all()


def test_an_image_has_the_same_features_twice_and_alone_or_in_company(trained):
    extract = load_delf_vgg16(trained[0], max_keypoints=50)
    images = list(scenes(3, 8)[0])
    together, again = extract(images), extract(images)
    (alone,) = extract(images[1:2])
    for mine, theirs in zip(together, again, strict=True):
        assert mine.keypoints.tobytes() == theirs.keypoints.tobytes()
        assert mine.descriptors.tobytes() == theirs.descriptors.tobytes()
    shared = {tuple(each) for each in together[1].keypoints} & {tuple(each) for each in alone.keypoints}
    assert len(shared) >= 48  # sums may be rounded in another order


def test_the_same_training_gives_the_same_model_and_another_seed_another(tmp_path):
    made = {}
    for name, seed in (("a", 2), ("b", 2), ("c", 3)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, replace(PLAN, network=replace(PLAN.network, seed=seed)), epochs=1)
        made[name] = (tmp_path / name / "pca.npz").read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_what_cannot_be_used_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="both plans should name one layer"):
        train(tmp_path, replace(PLAN, form=DelfForm("block4_conv3", (1.0,), 0.0, True)))
    with pytest.raises(ModelFileError, match="should hold a trained DELF"):
        load_delf_vgg16(tmp_path, max_keypoints=10)
    with pytest.raises(ValueError, match="max_keypoints and batch_size should be at least 1"):
        load_delf_vgg16(trained[0], max_keypoints=0)
    with pytest.raises(ValueError, match=r"image should be \(H, W, 3\) uint8"):
        load_delf_vgg16(trained[0], max_keypoints=5)([np.zeros((64, 64), np.uint8)])
    with pytest.raises(ValueError, match="scales should be above 0"):
        DelfForm("block4_conv3", (), 0.0, True)
    with pytest.raises(ValueError, match="should have layer, scales, radius and whiten"):
        DelfForm.from_json({"trained": False})
