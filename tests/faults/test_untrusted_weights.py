"""Files of weights and of DELF from strangers: read whole, or refused in the documented way."""

import io
import json
import random
import zipfile

import h5py
import numpy as np
import pytest
from untrusted import damaged, is_one_line

from landmark_spark.core.delf_export import MEAN, PROJECTION, DelfExportError, digest_export, find_export
from landmark_spark.core.delf_files import DelfFeatures, decode_datum, decode_delf, encode_datum, encode_delf
from landmark_spark.core.official_delf import load_pca
from landmark_spark.core.onnx_weights import convolutions_from_onnx
from landmark_spark.core.published_weights import describe_weights
from landmark_spark.core.weights import WeightsError, check_weights, digest_weights

FEATURES = encode_delf(
    DelfFeatures(
        np.array([[1.5, 2.5], [3.0, 4.0]], np.float32),
        np.array([[0.6, 0.8], [1.0, 0.0]], np.float32),
        np.ones(2, np.float32),
        np.zeros(2, np.float32),
        np.array([9.0, 8.0], np.float32),
    )
)


def test_damaged_delf_files_are_features_or_refused():
    num_read = 0
    for data in damaged(FEATURES):
        try:
            found = decode_delf(data)
        except ValueError as error:
            assert is_one_line(error)
            continue
        num_read += 1
        assert np.isfinite(found.keypoints).all()
        assert len(found.keypoints) == len(found.descriptors) == len(found.strengths)
    assert 500 < num_read < 9500


def test_damaged_datum_files_are_an_array_or_refused():
    num_read = 0
    for data in damaged([encode_datum(np.ones((2, 3))), encode_datum(np.float32(1)), encode_datum(np.ones((0, 5)))]):
        try:
            found = decode_datum(data)
        except ValueError as error:
            assert is_one_line(error)
            continue
        num_read += 1
        assert found.dtype == np.float32
    assert 500 < num_read < 9500


def test_a_pca_of_damaged_files_is_one_or_refused():
    mean, matrix = encode_datum(np.zeros((1, 3))), encode_datum(np.eye(3))
    for first, second in zip(damaged(mean, count=5000), damaged(matrix, seed=1, count=5000), strict=True):
        for pair in ((first, matrix), (mean, second)):
            try:
                assert load_pca(*pair, num_dimensions=2).matrix.shape == (2, 3)
            except ValueError as error:
                assert is_one_line(error)


@pytest.fixture(scope="module")
def weights():
    """A small file of Keras weights, as .h5 and within .keras."""
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for name in ("layers/conv2d", "layers/conv2d_2"):
            h5[f"{name}/vars/0"] = np.ones((3, 3, 1, 2), np.float32)
            h5[f"{name}/vars/1"] = np.ones(2, np.float32)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("model.weights.h5", file.getvalue())
        packed.writestr("config.json", json.dumps({}))
    return {".h5": file.getvalue(), ".keras": archive.getvalue()}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_damaged_weights_have_a_digest_or_are_refused(memory, weights, suffix):
    path = memory / f"weights{suffix}"
    path.write_bytes(weights[suffix])
    assert len(digest_weights(path)) == 64
    for number, data in enumerate(damaged(weights[suffix], count=5000)):
        path.write_bytes(data)
        try:
            assert len(digest_weights(path)) == 64
        except WeightsError as error:
            assert is_one_line(error)
        if number % 5 == 0:
            with pytest.raises(WeightsError) as caught:
                check_weights(path)  # two convolutions are not VGG16's thirteen
            assert is_one_line(caught.value)
    assert len(describe_weights("vgg16", str(path))) == 1


def test_weights_that_lie_in_another_file_are_not_read(tmp_path):
    secret, path = tmp_path / "secret", tmp_path / "w.h5"
    secret.write_bytes(b"x" * 64)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (16,), np.float32, external=[(str(secret), 0, 64)])
    with pytest.raises(WeightsError, match="a lies in another file"):
        digest_weights(path)


def test_weights_that_are_said_to_be_huge_are_not_made_room_for(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (1 << 40,), np.float32, chunks=(1 << 16,))
    with pytest.raises(WeightsError, match="a is said to have 4398046511104 bytes"):
        digest_weights(path)


def onnx_model(edges, *, external=None):
    onnx = pytest.importorskip("onnx")
    nodes = [onnx.helper.make_node("Conv", [given, f"w{number}"], [made]) for number, (given, made) in enumerate(edges)]
    tensors = [
        onnx.numpy_helper.from_array(np.zeros((2, 1, 3, 3), np.float32), f"w{number}") for number in range(len(edges))
    ]
    if external is not None:
        tensors[0].ClearField("raw_data")
        tensors[0].data_location = onnx.TensorProto.EXTERNAL
        tensors[0].external_data.add(key="location", value=external)
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], tensors)).SerializeToString()


CHAIN = [(f"x{number}", f"x{number + 1}") for number in range(13)]


def test_damaged_onnx_files_are_refused(memory):
    path = memory / "m.onnx"
    for data in damaged(onnx_model(CHAIN)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="should") as caught:
            convolutions_from_onnx(path)
        assert type(caught.value) is ValueError
        str(caught.value).encode(errors="backslashreplace")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("edges", [[("x", "x")], [("a", "b"), ("b", "a")], [*CHAIN[:12], ("x13", "x0")], CHAIN * 300])
def test_a_graph_in_a_circle_ends(tmp_path, edges):
    (tmp_path / "m.onnx").write_bytes(onnx_model(edges))
    with pytest.raises(ValueError, match="should be a chain of 13 convolutions|should store"):
        convolutions_from_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "secret"])
def test_an_onnx_file_does_not_fetch_weights_from_elsewhere(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"\x00" * 72)
    (tmp_path / "in" / "m.onnx").write_bytes(onnx_model(CHAIN, external=name))
    with pytest.raises(ValueError, match="should store whole arrays"):
        convolutions_from_onnx(tmp_path / "in" / "m.onnx")


def test_folders_put_together_at_random_are_an_export_or_refused(memory):
    chance = random.Random(0)
    names = ["saved_model.pb", "model/saved_model.pb", "model/variables/variables.index", MEAN, PROJECTION]
    names += ["model/variables/variables.data-00000-of-00001", "model/pca/mean.datum", "variables", "model/assets/../x"]
    for number in range(1000):
        top = memory / f"export{number}"
        top.mkdir()
        for name in chance.sample(names, chance.randrange(6)):
            path = top / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(chance.randbytes(9))
            except OSError:
                continue
        try:
            files = find_export(top)
        except DelfExportError as error:
            assert is_one_line(error)
        else:
            assert all(path.resolve().is_relative_to(top) for path in files.values())
            assert len(digest_export(files)) == 64


@pytest.mark.parametrize("folder", ["", "\x00", "~nobody-has-this-name/x", "x" * 5000, "/etc/hostname"])
def test_what_is_no_folder_is_no_export(folder):
    with pytest.raises(DelfExportError):
        find_export(folder)


def test_damaged_saved_models_are_refused(tmp_path):
    from landmark_spark.core.delf_models import _load

    (tmp_path / "saved_model.pb").write_bytes(b"")
    for data in damaged(b"\x08\x01\x12\x12\x0a\x07\x22\x05serve\x12\x07\x0a\x01x\x12\x02No", count=200):
        (tmp_path / "saved_model.pb").write_bytes(data)
        try:
            _load(tmp_path / "saved_model.pb")
        except DelfExportError as error:
            assert str(error).startswith(f"{tmp_path} should be a whole SavedModel")
