import hashlib
import os
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import requests

from landmark_spark.core import weights as weights_module
from landmark_spark.core.onnx_weights import convolutions_from_onnx, save_notop_h5
from landmark_spark.core.weights import (
    CONVOLUTIONS,
    FILE_NAME,
    IMAGENET_DIGEST,
    WeightsError,
    WeightsNotFound,
    check_weights,
    digest_weights,
    find_weights,
    resolve_weights,
)

SHARED = Path(__file__).parents[3] / "shared" / "weights" / FILE_NAME


@pytest.fixture(scope="session")
def valid_file(tmp_path_factory):
    """A file of the right shapes, 59 MB of zeros, made once."""
    path = tmp_path_factory.mktemp("weights") / FILE_NAME
    save_notop_h5(
        [(np.zeros(shape, np.float32), np.zeros(shape[3], np.float32)) for shape in CONVOLUTIONS.values()], path
    )
    return path


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without weights and without network: an empty home, no variable set."""
    for name in ("LANDMARK_SPARK_WEIGHTS", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def refuse(*_, **__):
        raise requests.exceptions.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", refuse)
    return tmp_path


def put(source, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, path)
    return path


def test_vgg16_without_top_has_the_published_number_of_parameters():
    # Keras' documentation of VGG16: 14,714,688 without the fully connected layers.
    assert sum(int(np.prod(shape)) + shape[3] for shape in CONVOLUTIONS.values()) == 14_714_688
    assert list(CONVOLUTIONS)[6] == "block3_conv3"
    assert CONVOLUTIONS["block4_conv1"] == (3, 3, 256, 512)


def test_random_means_no_file_and_looks_for_none(machine, monkeypatch):
    monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", "/nowhere")
    assert resolve_weights("random") is None


def test_the_places_are_asked_in_order(machine, valid_file, monkeypatch):
    keras = put(valid_file, machine / ".keras" / "models" / FILE_NAME)
    assert resolve_weights("imagenet") == keras
    own = put(valid_file, machine / ".cache" / "landmark_spark" / FILE_NAME)
    assert resolve_weights("imagenet") == own
    named = put(valid_file, machine / "mine" / FILE_NAME)
    monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", str(named.parent))
    assert resolve_weights("imagenet") == named
    explicit = put(valid_file, machine / "other.h5")
    assert resolve_weights(str(explicit)) == explicit


def test_xdg_cache_home_and_keras_home_move_the_caches(machine, valid_file, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(machine / "k"))
    keras = put(valid_file, machine / "k" / "models" / FILE_NAME)
    assert find_weights() == keras
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "x"))
    own = put(valid_file, machine / "x" / "landmark_spark" / FILE_NAME)
    assert find_weights() == own
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    assert find_weights() == keras


def test_the_variable_may_name_a_file_or_a_folder_with_one_candidate(machine, valid_file, monkeypatch):
    own = put(valid_file, machine / "mine" / "vgg16_of_ours_notop.weights.h5")
    for value in (own, own.parent):
        monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", str(value))
        assert find_weights() == own


@pytest.mark.parametrize(
    ("names", "found"),
    [([], "nothing there"), (["readme.txt"], "0 files"), (["vgg16_a_notop.h5", "vgg16_b_notop.h5"], "2 files")],
)
def test_a_variable_that_names_no_single_file_is_an_error_though_a_cache_has_one(
    machine, valid_file, monkeypatch, names, found
):
    put(valid_file, machine / ".cache" / "landmark_spark" / FILE_NAME)
    for name in names:
        put(valid_file, machine / "mine" / name)
    monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", str(machine / "mine"))
    with pytest.raises(WeightsNotFound, match=rf"\$LANDMARK_SPARK_WEIGHTS .* Received: {machine}/mine \({found}"):
        resolve_weights("imagenet")


def test_a_missing_explicit_file_is_refused_by_name(machine, valid_file):
    put(valid_file, machine / ".cache" / "landmark_spark" / FILE_NAME)
    with pytest.raises(WeightsNotFound, match="imagenet, random or a file. Received: /nowhere/w.h5"):
        resolve_weights("/nowhere/w.h5")


def test_without_any_the_message_names_every_place_and_the_remedy(machine):
    with pytest.raises(WeightsNotFound) as caught:
        resolve_weights("imagenet")
    told = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    for place in (
        "$LANDMARK_SPARK_WEIGHTS (not set)",
        f"{machine}/.cache/landmark_spark/{FILE_NAME}",
        f"{machine}/.keras/models/{FILE_NAME}",
        f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME} (ConnectionError)",
        "Run scripts/fetch_weights",
    ):
        assert place in told


class Answer:
    def __init__(self, body, status=200):
        self.body, self.status = body, status

    def raise_for_status(self):
        if self.status != 200:
            raise requests.exceptions.HTTPError(str(self.status))

    def iter_content(self, _):
        yield self.body[:1000]
        yield self.body[1000:]


def test_keras_own_file_is_fetched_into_keras_cache_with_short_timeouts(machine, valid_file, monkeypatch):
    body, asked = valid_file.read_bytes(), {}
    monkeypatch.setattr(weights_module, "_MD5", hashlib.md5(body).hexdigest())
    monkeypatch.setattr(requests, "get", lambda url, **options: asked.update(options, url=url) or Answer(body))
    path = resolve_weights("imagenet")
    assert path == machine / ".keras" / "models" / FILE_NAME
    assert path.read_bytes() == body
    assert asked["timeout"] == (5.0, 20.0)
    assert asked["url"].endswith(FILE_NAME)


@pytest.mark.parametrize(
    ("answer", "reason"), [(Answer(b"x" * 2000), "should have the MD5 sum 6d6bbae1"), (Answer(b"", 404), "(HTTPError)")]
)
def test_a_download_that_is_not_keras_file_leaves_nothing_behind(machine, monkeypatch, answer, reason):
    monkeypatch.setattr(requests, "get", lambda *_, **__: answer)
    with pytest.raises(WeightsNotFound, match=re.escape(reason)):
        resolve_weights("imagenet")
    assert [path for path in (machine / ".keras").rglob("*") if path.is_file()] == []


def test_a_found_file_that_is_something_else_is_an_error_and_no_reason_to_look_on(machine, valid_file):
    put(valid_file, machine / ".keras" / "models" / FILE_NAME)
    bad = machine / ".cache" / "landmark_spark" / FILE_NAME
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match="should be a Keras weights file of VGG16 without top"):
        resolve_weights("imagenet")


def write_h5(path, shapes):
    with h5py.File(path, "w") as file:
        for index, shape in enumerate(shapes):
            file.create_dataset(f"layer{index}/array", shape, np.float32)  # no data: shapes are what is read
    return path


ALL_SHAPES = [shape for kernel in CONVOLUTIONS.values() for shape in (kernel, kernel[3:])]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (ALL_SHAPES[:-2], "Received: 24 arrays, 12 of them convolution kernels and 0 matrices"),
        (
            [*ALL_SHAPES, (25088, 4096), (4096,)],
            "13 of them convolution kernels and 1 matrices (is it the file with top?)",
        ),
        ([(5, 5, 3, 64), *ALL_SHAPES[1:]], "Received: 26 arrays, 13 of them convolution kernels"),
        ([], "Received: 0 arrays"),
    ],
)
def test_files_of_other_networks_are_refused(tmp_path, shapes, message):
    with pytest.raises(WeightsError, match=re.escape(message)):
        check_weights(write_h5(tmp_path / "w.h5", shapes))


def test_every_kind_of_keras_file_is_read_and_no_other(tmp_path):
    plain = write_h5(tmp_path / "w.weights.h5", ALL_SHAPES)
    check_weights(plain)
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.write(plain, "model.weights.h5")
    check_weights(tmp_path / "w.keras")
    (tmp_path / "bad.keras").write_bytes(b"no zip")
    with pytest.raises(WeightsError, match="cannot be read as one"):
        check_weights(tmp_path / "bad.keras")
    with pytest.raises(WeightsError, match=r"Received: a file \*\.npz"):
        check_weights(tmp_path / "w.npz")


def make_onnx(path, *, shuffled=False, num_convolutions=13):
    """Write a chain of VGG16's convolutions whose kernels hold their own indices; return the kernels, HWIO."""
    import onnx
    from onnx import helper, numpy_helper

    nodes, stored, kernels, data = [], [], [], "pixels"
    for index, (name, shape) in enumerate(list(CONVOLUTIONS.items())[:num_convolutions]):
        kernel = (np.arange(np.prod(shape)) % 9973 + index).astype(np.float32).reshape(shape)
        kernels.append(kernel)
        stored.append(numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), f"{name}/k"))
        stored.append(numpy_helper.from_array(np.full(shape[3], index, np.float32), f"{name}/b"))
        nodes.append(helper.make_node("Conv", [data, f"{name}/k", f"{name}/b"], [f"{name}/out"]))
        nodes.append(helper.make_node("Relu", [f"{name}/out"], [f"{name}/relu"]))
        data = f"{name}/relu"
    if shuffled:
        nodes, stored = nodes[::-1], stored[::-1]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "vgg16", [value("pixels", 1, None)], [value(data, 1, None)], initializer=stored)
    onnx.save(helper.make_model(graph), str(path))
    return kernels


@pytest.mark.parametrize("shuffled", [False, True])
def test_onnx_kernels_come_as_keras_has_them_in_the_order_of_the_data(tmp_path, shuffled):
    kernels = make_onnx(tmp_path / "net.onnx", shuffled=shuffled)
    convolutions = convolutions_from_onnx(tmp_path / "net.onnx")
    assert len(convolutions) == 13
    for index, ((kernel, bias), expected) in enumerate(zip(convolutions, kernels, strict=True)):
        assert kernel.dtype == np.float32 and kernel.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(kernel, expected)
        assert (bias == index).all()
    # By hand: block1_conv1 counts up in C order, so row 1, column 2, input 0, output 5 is (1*3 + 2)*3*64 + 5 = 965.
    assert convolutions[0][0][1, 2, 0, 5] == 965


def test_a_network_with_fewer_convolutions_is_refused(tmp_path):
    make_onnx(tmp_path / "net.onnx", num_convolutions=12)
    with pytest.raises(ValueError, match="should be a chain of 13 convolutions. Received: 12"):
        convolutions_from_onnx(tmp_path / "net.onnx")


def test_saving_other_shapes_is_refused_before_a_file_is_made(tmp_path):
    convolutions = [(np.zeros((3, 3, 3, 64), np.float32), np.zeros(64, np.float32))]
    with pytest.raises(ValueError, match="convolutions should have VGG16's shapes"):
        save_notop_h5(convolutions, tmp_path / "w.h5")
    assert list(tmp_path.iterdir()) == []


def test_keras_loads_what_was_saved_array_by_array(tmp_path):
    import keras

    make_onnx(tmp_path / "net.onnx")
    convolutions = convolutions_from_onnx(tmp_path / "net.onnx")
    save_notop_h5(convolutions, tmp_path / "w.h5")
    check_weights(tmp_path / "w.h5")
    model = keras.applications.VGG16(weights=str(tmp_path / "w.h5"), include_top=False)
    for loaded, saved in zip(model.get_weights(), (each for pair in convolutions for each in pair), strict=True):
        np.testing.assert_array_equal(loaded, saved)


@pytest.mark.skipif(not SHARED.is_file(), reason="no shared/weights beside the project")
def test_the_fetched_copy_equals_the_shared_file_array_by_array():
    from landmark_spark.core.weights import cache_path

    check_weights(SHARED)
    if not cache_path().is_file():
        pytest.skip("scripts/fetch_weights has not been run on this machine")
    with h5py.File(SHARED) as shared, h5py.File(cache_path()) as fetched:
        for layer in CONVOLUTIONS:
            for kind in ("W", "b"):
                name = f"{layer}/{layer}_{kind}_1:0"
                np.testing.assert_array_equal(fetched[name][()], shared[name][()])


@pytest.mark.skipif(not SHARED.is_file(), reason="no shared/weights beside the project")
def test_the_digest_of_keras_weights_is_the_one_that_stands_for_them():
    assert digest_weights(SHARED) == IMAGENET_DIGEST


def test_equal_arrays_have_equal_digests_whatever_their_names_and_other_values_have_others(tmp_path):
    layers = [(np.full((3, 3, 2, 4), number, "f4"), np.full(4, -number, "f4")) for number in range(13)]
    legacy = [f"block{1 + number // 3}_conv{1 + number % 3}" for number in range(13)]
    keras3 = ["layers/conv2d/vars"] + [f"layers/conv2d_{number}/vars" for number in range(1, 13)]  # 10 after 2
    other = [*layers[:-1], (layers[-1][0], layers[-1][1] + 1)]
    files = {
        "legacy": (legacy, ("W_1:0", "b_1:0"), layers),
        "keras3": (keras3, ("0", "1"), layers),
        "other": (legacy, ("kernel:0", "bias:0"), other),
    }
    for name, (groups, keys, values) in files.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for group, arrays in zip(groups, values, strict=True):
                for key, array in zip(keys, arrays, strict=True):
                    file[f"{group}/{key}"] = array
    one, two, three = (digest_weights(tmp_path / f"{name}.h5") for name in files)
    assert one == two != three
