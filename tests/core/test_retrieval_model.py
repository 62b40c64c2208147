import dataclasses
import json

import numpy as np
import pytest

from landmark_spark.core.class_centroids import class_centroids
from landmark_spark.core.linear_head import balanced_weights, fit_linear_head
from landmark_spark.core.retrieval import RetrievalPlan, find_candidates, whiten_exactly
from landmark_spark.core.retrieval_model import (
    NO_FOLD,
    Described,
    RetrievalLearning,
    RetrievalModel,
    learn_retrieval,
)

PLAN = RetrievalLearning(dimensions=4, num_folds=2, head_penalty=1e-2)


def described(sizes=(4, 4, 1), num_others=4):
    """Images of landmarks of these sizes, then of none; the descriptors of a landmark are alike."""
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(len(sizes) + 1), [*sizes, num_others])
    centres = random.random((len(sizes) + 1, 6))
    descriptors = (centres[classes] + random.random((len(classes), 6)) / 5).astype(np.float32)
    ranks = np.concatenate([np.arange(size) for size in (*sizes, num_others)])
    return Described([f"{place:02x}" for place in range(len(classes))], descriptors, classes, ranks, len(sizes))


@pytest.fixture(scope="module")
def model():
    return learn_retrieval(described(), PLAN)


def test_all_but_landmarks_of_one_image_play_test_images_each_once(model):
    assert set(model.folds_by_id) == {f"{place:02x}" for place in (*range(8), *range(9, 13))}
    assert sorted(model.folds_by_id.values()) == [0] * 6 + [1] * 6
    assert model.folds.tolist()[8] == NO_FOLD


def test_what_images_of_a_fold_meet_has_not_seen_them(model):
    for fold in (0, 1):
        met = model.references(fold)
        kept = ~met.is_left_out
        assert (kept.sum(), len(met.non_landmarks)) == (5, 2)
        assert not (model.folds[kept] == fold).any()
        alone = class_centroids(met.vectors[kept], met.classes[kept], 3)
        np.testing.assert_array_equal(met.centroids, alone)
    everything = model.references(NO_FOLD)
    assert (len(everything.vectors), len(everything.non_landmarks)) == (9, 4)


def test_the_head_of_a_fold_is_the_one_that_is_fitted_without_it(model):
    kept = model.folds != 0
    vectors = np.concatenate([model.vectors[kept], model.non_landmarks[model.non_landmark_folds != 0]])
    labels = np.concatenate([model.classes[kept], np.full(2, 3)])
    weights = balanced_weights(labels, power=0.5, non_landmark=3, non_landmark_weight=0.2)
    alone = fit_linear_head(vectors, labels, 4, example_weights=weights, penalty=1e-2)
    np.testing.assert_allclose(model.heads[0].weights, alone.weights, atol=1e-3)
    assert set(model.heads) == {NO_FOLD, 0, 1}


def test_heads_that_no_image_is_left_for_are_refused_with_the_setting():
    few = described(sizes=(2,), num_others=2)
    plans = [dataclasses.replace(PLAN, max_training_images=1, seed=seed) for seed in range(20)]
    with pytest.raises(ValueError, match="retrieval.max_training_images should leave some"):
        for plan in plans:  # one image of each kind is learned on: by some seed both are of one fold
            learn_retrieval(few, plan)


def test_fewer_images_than_there_are_learn_and_play_those_of_least_rank_first():
    plan = RetrievalLearning(dimensions=4, num_folds=2, max_calibration_images=2, max_training_images=3)
    found = learn_retrieval(described(), plan)
    assert set(found.folds_by_id) == {"00", "04", "09", "0a"}  # two landmarks play, the first image of each
    assert len(found.vectors) == 9  # all are still references


def test_without_players_or_head_there_is_less_to_learn():
    found = learn_retrieval(described(), RetrievalLearning(dimensions=4, has_head=False, max_calibration_images=0))
    assert (found.heads, found.folds_by_id) == ({}, {})
    assert found.references(NO_FOLD).head is None


def test_without_training_images_it_says_so():
    with pytest.raises(ValueError, match="there should be training images with a larger copy. Received: none"):
        learn_retrieval(described(sizes=(), num_others=4), PLAN)


def test_it_is_written_and_read_and_the_same_again(model, tmp_path):
    again = learn_retrieval(described(), PLAN)
    for name, each in (("one", model), ("two", again)):
        (tmp_path / name).mkdir()
        each.save(tmp_path / name)
    files = {path.name: path for path in (tmp_path / "one").iterdir()}
    assert {name: path.read_bytes() for name, path in files.items()} == {
        path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()
    }
    read = RetrievalModel.load(files)
    for name in ("vectors", "classes", "folds", "non_landmarks", "non_landmark_folds"):
        np.testing.assert_array_equal(getattr(read, name), getattr(model, name))
    assert read.folds_by_id == model.folds_by_id
    assert (read.heads[1].weights == model.heads[1].weights).all()


@pytest.mark.parametrize("damage", ["references.npz", "whitening.npz", "head_0.npz", "retrieval.json", "missing"])
def test_files_that_are_none_are_refused(model, tmp_path, damage):
    model.save(tmp_path)
    files = {path.name: path for path in tmp_path.iterdir()}
    if damage == "missing":
        del files["references.npz"]
    elif damage == "retrieval.json":
        files[damage].write_text(json.dumps([1]))
    else:
        files[damage].write_bytes(b"none")
    with pytest.raises(ValueError, match="a retrieval model should be the files that were written"):
        RetrievalModel.load(files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": np.zeros((9, 3), np.float32)}, r"vectors of \(6,\) values and a fold each"),
        ({"folds": np.zeros(8, np.int64)}, "a fold each"),
        ({"folds": np.zeros(9, np.int32)}, "folds of int64"),
        ({"classes": np.zeros(9, np.int32)}, "a class each, of int64"),
        ({"classes": np.arange(9)}, "class_indices should be from 0 to 2"),
        ({"classes": np.arange(9)[::-1].copy() % 3}, "ascending order of their classes"),
        ({"num_classes": 5}, r"a head should be \(6, 6\)"),
    ],
)
def test_parts_that_are_not_of_one_model_are_refused(model, tmp_path, changes, message):
    dataclasses.replace(model, **changes).save(tmp_path)
    with pytest.raises(ValueError, match=message):
        RetrievalModel.load({path.name: path for path in tmp_path.iterdir()})


def test_flipped_bytes_give_a_model_or_the_error_that_is_documented(model, tmp_path):
    model.save(tmp_path)
    files = {path.name: path for path in tmp_path.iterdir()}
    random = np.random.default_rng(0)
    num_refused = 0
    for _ in range(1000):
        name = random.choice(sorted(files))
        sound = files[name].read_bytes()
        damaged = bytearray(sound)
        for place in random.integers(0, len(sound), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        files[name].write_bytes(damaged)
        try:
            RetrievalModel.load(files)
        except ValueError as error:
            assert "a retrieval model should be the files that were written" in str(error)
            num_refused += 1
        files[name].write_bytes(sound)
    assert num_refused > 500


@pytest.mark.parametrize(
    ("sizes", "num_others", "num_playing"),
    [((1,), 0, 0), ((3,), 0, 3), ((1, 1), 0, 0), ((1, 1), 2, 2), ((1,), 1, 1), ((2, 1), 1, 3)],
)
def test_the_smallest_worlds_give_a_model_that_names_landmarks(tmp_path, sizes, num_others, num_playing):
    images = described(sizes, num_others)
    model = learn_retrieval(images, RetrievalLearning())
    assert len(model.folds_by_id) == num_playing
    model.save(tmp_path)
    read = RetrievalModel.load({each.name: each for each in tmp_path.iterdir()})
    queries = whiten_exactly(images.descriptors, read.whitening)
    for fold in (NO_FOLD, *np.unique(list(read.folds_by_id.values())).tolist()):
        found = find_candidates(queries, read.references(fold), RetrievalPlan())
        assert set(found.classes.tolist()) <= set(range(len(sizes)))
        assert np.isfinite([found.closest, found.centroid, found.head, found.non_landmark, found.neighbours]).all()
        if fold == NO_FOLD:  # each image is nearest to itself
            first = found.classes[found.ranks == 0][: sum(sizes)]
            assert first.tolist() == images.classes[: sum(sizes)].tolist()


def test_what_too_few_images_would_whiten_is_left_as_it_is():
    few, enough = (learn_retrieval(described((8, 8), count), PLAN) for count in (3, 4))
    assert few.vectors.shape == (16, 6)
    np.testing.assert_array_equal(few.whitening.components, np.eye(6))
    assert enough.vectors.shape == (16, 4)


def test_a_single_image_is_not_whitened():
    images = described((1,), 0)
    model = learn_retrieval(images, RetrievalLearning())
    # Of unit length, and otherwise as it was: rounded to the grid of 2^-12.
    expected = images.descriptors / np.linalg.norm(images.descriptors)
    np.testing.assert_allclose(model.vectors, expected, atol=2.0**-13)


def test_images_that_are_all_alike_stay_finite():
    images = described((3,), 0)
    images.descriptors[:] = images.descriptors[0]
    model = learn_retrieval(images, RetrievalLearning())
    assert np.isfinite(model.vectors).all()
