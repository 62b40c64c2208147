"""Official exports in each published form, and the post-processing by its definition."""

import numpy as np
import pytest
from delf_exports import fill_official_export, write_boxes_export, write_hub_export, write_pca

from landmark_spark.core.delf_export import DelfExportError
from landmark_spark.core.delf_files import encode_datum
from landmark_spark.core.official_delf import PUBLISHED_SCALES, Pca, load_official_delf, load_pca, reduce_descriptors


def picture(height=64, width=48, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def official(delf_fixtures, tmp_path_factory):
    """The official DELF v1 graph with seeded variables."""
    return fill_official_export(delf_fixtures / "delf_v1_20171026", tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return write_boxes_export(tmp_path_factory.mktemp("boxes"))


def test_descriptors_are_normalised_centred_projected_and_normalised_again():
    # (3, 4) has length 5: (0.6, 0.8); minus the mean (0.1, 0.2): (0.5, 0.6); onto the rows (2, 0) and (0, 1): (1, 0.6).
    pca = Pca(np.array([0.1, 0.2], np.float32), np.array([[2, 0], [0, 1]], np.float32))
    reduced = reduce_descriptors(np.array([[3, 4]], np.float32), pca)
    np.testing.assert_allclose(reduced, [np.array([1, 0.6]) / np.sqrt(1.36)], rtol=1e-6)
    assert reduced.dtype == np.float32


def test_without_a_pca_descriptors_are_normalised_and_zeros_stay():
    reduced = reduce_descriptors(np.array([[3, 4], [0, 0]], np.float32), None)
    np.testing.assert_allclose(reduced, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_long_descriptors_without_a_pca_and_a_pca_of_another_length_are_refused():
    with pytest.raises(DelfExportError, match=r"should have its PCA, .*Received: 1024 values and no PCA"):
        reduce_descriptors(np.ones((2, 1024), np.float32), None)
    pca = Pca(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    with pytest.raises(DelfExportError, match=r"descriptors of 3 values, as its PCA takes\. Received: 2"):
        reduce_descriptors(np.ones((1, 2), np.float32), pca)


def test_the_first_components_of_the_files_are_kept():
    matrix = np.arange(12).reshape(3, 4)
    pca = load_pca(encode_datum(np.ones((1, 4))), encode_datum(matrix), num_dimensions=2)
    np.testing.assert_array_equal(pca.matrix, matrix[:2])
    np.testing.assert_array_equal(pca.mean, np.ones(4))
    with pytest.raises(ValueError, match="num_dimensions should be at most 3, as the PCA. Received: 4"):
        load_pca(encode_datum(np.ones(4)), encode_datum(matrix), num_dimensions=4)
    with pytest.raises(ValueError, match=r"a PCA should have a mean of shape \(D,\) .* \(5,\) and \(3, 4\)"):
        load_pca(encode_datum(np.ones(5)), encode_datum(matrix), num_dimensions=2)
    with pytest.raises(ValueError, match="DatumProto should be a protocol buffer"):
        load_pca(b"damaged", encode_datum(matrix), num_dimensions=2)


def test_the_official_graph_gives_its_boxes_centres_and_40_dimensions(official):
    import tensorflow as tf

    image = picture(96, 128)
    features = load_official_delf(official)(image)
    # The graph by the names of its tensors, and the published arithmetic in float64.
    loaded = tf.saved_model.load(str(official / "model"), tags=["serve"])
    raw = loaded.prune(
        [f"{name}:0" for name in ("input_image", "input_scales", "input_max_feature_num", "input_abs_thres")],
        [f"{name}:0" for name in ("boxes", "features", "scores")],
    )(tf.constant(image), tf.constant(PUBLISHED_SCALES), tf.constant(1000), tf.constant(100.0))
    found, vectors, scores = (each.numpy().astype(np.float64) for each in raw)
    pca = load_pca(
        *((official / "pca" / f"{name}.datum").read_bytes() for name in ("mean", "pca_proj_mat")), num_dimensions=40
    )
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    projected = (unit - pca.mean) @ pca.matrix.T.astype(np.float64)
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    assert len(scores) == len(features.keypoints) > 20
    assert scores.min() >= 100
    centres = np.stack([found[:, 1] + found[:, 3], found[:, 0] + found[:, 2]], axis=1) / 2
    np.testing.assert_allclose(features.keypoints, centres, atol=1e-3)
    np.testing.assert_allclose(features.descriptors, expected, atol=1e-3)
    assert (features.descriptors.dtype, features.descriptors.shape[1]) == (np.float16, 40)
    assert (features.width, features.height) == (128, 96)
    assert (features.keypoints <= (128, 96)).all()


def test_the_official_graph_follows_scales_and_threshold(official):
    one = load_official_delf(official, scales=[1.0], score_threshold=0.0, max_keypoints=1000, num_dimensions=8)(
        picture()
    )
    # Four strides of 2 and one more after block 3: 64 x 48 pixels are 2 x 2 places, 32 pixels apart.
    assert sorted(one.keypoints.tolist()) == [[0, 0], [0, 32], [32, 0], [32, 32]]
    assert one.descriptors.shape == (4, 8)
    none = load_official_delf(official, score_threshold=1e9)(picture())
    assert (none.keypoints.shape, none.descriptors.shape) == ((0, 2), (0, 40))


def test_the_same_picture_gives_the_same_bytes_after_another(official):
    extract = load_official_delf(official, scales=[0.5, 1.0])
    first = extract(picture())
    extract(picture(40, 90, seed=1))
    again = extract(picture())
    assert first.descriptors.tobytes() == again.descriptors.tobytes()
    assert first.keypoints.tobytes() == again.keypoints.tobytes()


def test_a_graph_without_a_signature_is_taken_by_its_tensors(official, tmp_path):
    import shutil

    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(official, tmp_path / "bare")
    path = tmp_path / "bare" / "model" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def.clear()
    path.write_bytes(saved.SerializeToString())
    bare = load_official_delf(tmp_path / "bare", scales=[1.0])(picture())
    signed = load_official_delf(official, scales=[1.0])(picture())
    np.testing.assert_array_equal(bare.descriptors, signed.descriptors)
    np.testing.assert_array_equal(bare.keypoints, signed.keypoints)


def test_exports_of_tensorflow_2_give_box_centres_and_short_descriptors_as_they_are(boxes):
    image = np.full((20, 30, 3), 14, np.uint8)
    features = load_official_delf(boxes, scales=[0.5, 2.0, 1.0], score_threshold=0.6, max_keypoints=2)(image)
    assert features.keypoints.tolist() == [[1, 2], [21, 12]]  # (x, y) of (ymin, xmin, ymax, xmax) = (10, 20, 14, 22)
    np.testing.assert_allclose(features.descriptors[0], np.array([1] * 7 + [14]) / np.sqrt(7 + 14**2), rtol=1e-3)
    one = load_official_delf(boxes, scales=[0.5, 2.0, 1.0], score_threshold=1.5)(image)
    assert one.keypoints.tolist() == [[1, 2]]


def test_the_default_settings_are_the_published_ones(boxes):
    assert PUBLISHED_SCALES == (0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0)
    assert len(load_official_delf(boxes, score_threshold=0.1)(picture()).keypoints) == 7
    assert len(load_official_delf(boxes)(picture()).keypoints) == 0  # none of the scales reaches 100


def test_exports_that_give_a_global_descriptor_too_are_taken(tmp_path):
    features = load_official_delf(write_boxes_export(tmp_path, with_global=True), score_threshold=1.0)(picture())
    assert len(features.keypoints) == 3


def test_a_pca_beside_the_model_is_used(tmp_path):
    write_boxes_export(tmp_path)
    write_pca(tmp_path, np.eye(8)[::-1])
    image = np.full((20, 30, 3), 14, np.uint8)
    features = load_official_delf(tmp_path, scales=[1.0], score_threshold=1.0, num_dimensions=2)(image)
    np.testing.assert_allclose(features.descriptors, [np.array([14, 1]) / np.sqrt(14**2 + 1)], rtol=1e-3)


def test_the_hub_module_takes_pixels_in_0_to_1_and_gives_places_as_y_and_x(tmp_path):
    export = write_hub_export(tmp_path / "hub")
    image = np.zeros((20, 30, 3), np.uint8)
    image[3, 4] = 51  # 0.2 of white
    features = load_official_delf(export, scales=[0.5, 1.0, 2.0], score_threshold=2.0, max_keypoints=4)(image)
    assert features.keypoints.tolist() == [[5, 3], [2, 7]]
    rows = np.array([[0.2, 2.0, 4.0], [3.0, 2.0, 4.0]])
    np.testing.assert_allclose(features.descriptors, rows / np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-3)


def test_a_model_of_another_form_is_refused_with_what_it_offers(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(lambda pixels: {"scores": pixels}, input_signature=[tf.TensorSpec([None], name="pixels")])
    tf.saved_model.save(module, str(tmp_path / "model"))
    with pytest.raises(
        DelfExportError, match=r"should have a signature \(input_image, .*serving_default: \(pixels -> scores\)"
    ):
        load_official_delf(tmp_path)


def test_damaged_models_are_refused_in_one_line(boxes, tmp_path):
    import shutil

    for name in ("saved_model.pb", "variables/variables.index"):
        damaged = tmp_path / name.replace("/", "-")
        shutil.copytree(boxes, damaged)
        (damaged / "model" / name).write_bytes(b"damaged")
        with pytest.raises(DelfExportError, match="should be a whole SavedModel. Received: .") as caught:
            load_official_delf(damaged)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_keypoints": 0}, "max_keypoints and num_dimensions should be at least 1. Received: 0 and 40"),
        ({"num_dimensions": 0}, "Received: 1000 and 0"),
        ({"scales": []}, r"scales should be numbers above 0. Received: \[\]"),
        ({"scales": [1.0, float("nan")]}, "scales should be numbers above 0"),
        ({"scales": [-1.0]}, "scales should be numbers above 0"),
    ],
)
def test_impossible_settings_are_refused(boxes, wrong, message):
    with pytest.raises(ValueError, match=message):
        load_official_delf(boxes, **wrong)


def test_tiny_pictures_have_no_features_and_what_is_no_picture_is_refused(boxes):
    extract = load_official_delf(boxes, score_threshold=0.0)
    assert extract(picture(9, 30)).keypoints.shape == (0, 2)
    assert len(extract(picture(10, 30)).keypoints) == 7
    with pytest.raises(ValueError, match=r"image should be \(H, W, 3\) uint8"):
        extract(picture()[..., 0])
