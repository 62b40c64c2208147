"""Checkpoints and principal components from a damaged store: read whole, or told from what they should be."""

import io
import json

import numpy as np
import pytest
from untrusted import damaged, is_one_line

from landmark_spark.core.checkpoints import Checkpoint
from landmark_spark.core.delf_vgg16 import DelfForm
from landmark_spark.core.pca import Pca

POSITION = Checkpoint(
    [np.arange(3, dtype=np.float32), np.array([[7]], np.uint32)],
    epoch=2,
    step=3,
    num_steps=9,
    history={"loss": [0.5, 0.25]},
    total_loss=0.5,
    num_examples=12,
    best=[np.arange(3, dtype=np.float32), np.array([[8]], np.uint32)],
)


def packed(compressed, **arrays):
    """An .npz of other arrays, and perhaps another way to pack them, than the program writes."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def with_position(**changes):
    values = {"version": 1, "epoch": 0, "step": 0, "num_steps": 0, "history": {}, "total_loss": 0.0, "num_examples": 0}
    values |= {"num_arrays": 1, "has_best": False} | changes
    return packed(False, position=np.array(json.dumps(values)), state_0=np.zeros(2, np.float32))


def test_damaged_checkpoints_are_read_whole_or_are_none():
    valid = [POSITION.to_bytes(), packed(True, **dict(np.load(io.BytesIO(POSITION.to_bytes()))))]
    num_read = 0
    for data in damaged(valid):
        found = Checkpoint.from_bytes(data)
        if found is not None:
            num_read += 1
            assert all(type(getattr(found, name)) is int for name in ("epoch", "step", "num_steps", "num_examples"))
            assert all(isinstance(each, np.ndarray) and each.dtype != object for each in found.state)
            assert isinstance(found.total_loss, float)
    assert num_read < 5000


def test_the_position_that_these_tests_change_is_one():
    assert Checkpoint.from_bytes(with_position()).epoch == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "2"},
        {"epoch": -1},
        {"epoch": 1.5},
        {"step": None},
        {"num_steps": True},
        {"num_examples": [3]},
        {"history": []},
        {"history": {"loss": "x"}},
        {"history": {"loss": ["x"]}},
        {"total_loss": "x"},
        {"total_loss": None},
        {"num_arrays": 10**12},
        {"num_arrays": -1},
        {"num_arrays": "1"},
        {"has_best": True},
        {"version": 2},
        {"unknown": 1},
    ],
)
def test_a_position_of_other_types_is_none(changes):
    assert Checkpoint.from_bytes(with_position(**changes)) is None


@pytest.mark.parametrize("position", ["[]", "3", '"x"', "null", "[" * 100_000, "{", "1e999", ""])
def test_a_position_that_is_no_object_is_none(position):
    assert Checkpoint.from_bytes(packed(False, position=np.array(position), state_0=np.zeros(2))) is None


def test_pickled_objects_are_not_loaded_and_shapes_are_not_believed():
    pickled = packed(False, position=np.array([{"a": 1}], dtype=object))
    assert Checkpoint.from_bytes(pickled) is None
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    assert Checkpoint.from_bytes(plain.getvalue()) is None
    assert Checkpoint.from_bytes(packed(True, **dict(np.load(io.BytesIO(with_position()))))) is None
    huge = with_position().replace(b"'shape': (2,), ", b"'shape': (2" + b"0" * 12 + b",),")
    assert Checkpoint.from_bytes(huge) is None


PCA = Pca(np.zeros(3, np.float32), np.eye(2, 3, dtype=np.float32), np.ones(2, np.float32))


def test_damaged_components_are_read_whole_or_refused():
    num_read = 0
    for data in damaged([PCA.to_bytes(), packed(True, **dict(np.load(io.BytesIO(PCA.to_bytes()))))]):
        try:
            found = Pca.from_bytes(data)
        except ValueError as error:
            assert type(error) is ValueError and is_one_line(error)
            continue
        num_read += 1
        assert found.components.shape == (len(found.variances), len(found.mean))
        assert {found.mean.dtype, found.components.dtype, found.variances.dtype} == {np.dtype(np.float32)}
        assert all(np.isfinite(each).all() for each in (found.mean, found.components, found.variances))
    assert num_read < 5000


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(()), "components": np.zeros((2, 3)), "variances": np.zeros(2)},
        {"mean": np.array(["a", "b"]), "components": np.array([["a", "b"]]), "variances": np.array(["a"])},
        {
            "mean": np.zeros(2, np.float32),
            "components": np.full((1, 2), np.nan, np.float32),
            "variances": np.zeros(1, np.float32),
        },
        {
            "mean": np.zeros((2, 1), np.float32),
            "components": np.zeros((1, 2), np.float32),
            "variances": np.zeros(1, np.float32),
        },
    ],
)
def test_components_of_other_kinds_are_refused(arrays):
    with pytest.raises(ValueError, match="should be"):
        Pca.from_bytes(packed(False, **arrays))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "null",
        "{}",
        '{"layer": [], "scales": [1], "radius": 0, "whiten": true}',
        '{"layer": "block4_conv3", "scales": 1, "radius": 0, "whiten": true}',
        '{"layer": "block4_conv3", "scales": ["x"], "radius": 0, "whiten": true}',
        '{"layer": "block4_conv3", "scales": [1], "radius": NaN, "whiten": true}',
        '{"layer": "block4_conv3", "scales": [1], "radius": ' + "9" * 400 + ', "whiten": true}',
        '{"layer": "block4_conv3", "scales": [1e400], "radius": 1, "whiten": true}',
        '{"layer": "block4_conv3", "scales": [1], "radius": 1, "whiten": "no"}',
    ],
)
def test_a_form_of_other_kinds_is_refused(text):
    with pytest.raises(ValueError, match="should"):
        DelfForm.from_json(json.loads(text))
