import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.backbone import NetworkPlan, base_of, build_network, pool_features
from landmark_spark.core.images import decode_image
from landmark_spark.core.resizing import resize_image
from landmark_spark.core.weights import find_weights

SMALL = NetworkPlan(image_size=32, precision="float32")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def run(plan, images):
    import keras

    return keras.ops.convert_to_numpy(build_network(plan)(images))  # PyTorch's know of gradients


@pytest.fixture(scope="module")
def features(images):
    return run(SMALL, images)


def expected_of(images, prepare):
    """The features of keras.applications' own network with the same seed."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    return keras.ops.convert_to_numpy(model(prepare(images.astype(np.float32))))


def test_features_are_those_of_keras_applications_on_pixels_over_255(images, features):
    assert features.shape == (3, 1, 1, 512)  # 32 halved five times
    assert features.dtype == np.float32
    assert features.std() > 0
    np.testing.assert_allclose(features, expected_of(images, lambda pixels: pixels / 255), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_preprocessing_is_that_of_keras_applications(images, mode):
    from keras.applications.imagenet_utils import preprocess_input

    expected = expected_of(images, lambda pixels: preprocess_input(pixels.copy(), mode=mode))
    received = run(NetworkPlan(image_size=32, preprocessing=mode, precision="float32"), images)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_random_weights_are_those_of_their_seed(images, features):
    assert np.array_equal(run(SMALL, images), features)
    assert not np.array_equal(run(NetworkPlan(image_size=32, precision="float32", seed=1), images), features)


def test_the_base_is_counted_as_keras_counts_vgg16(images):
    base = base_of(build_network(SMALL))
    assert [layer.name for layer in base.layers[14:16]] == ["block4_pool", "block5_conv1"]


def test_the_network_is_saved_and_loaded_in_safe_mode(images, tmp_path):
    import keras

    plan = NetworkPlan(image_size=32, preprocessing="torch", pooling="gem", precision="float32")
    model = build_network(plan)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    to_numpy = keras.ops.convert_to_numpy
    np.testing.assert_array_equal(to_numpy(again(images)), to_numpy(model(images)))


@pytest.mark.photos
def test_bfloat16_features_of_real_photos_point_where_those_of_float32_point(photos):
    weights = find_weights()
    if weights is None:
        pytest.skip("VGG16's ImageNet weights are not on this machine")
    paths = sorted((photos / "images").glob("*.jpg"))[:4]
    images = np.stack(
        [resize_image(decode_image(path.read_bytes(), max_pixels=10**8), 128, mode="stretch") for path in paths]
    )
    exact, rough = (
        run(NetworkPlan(weights=weights, precision=precision), images).reshape(4, -1).astype(np.float64)
        for precision in ("float32", "bfloat16")
    )
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert 0.999 <= cosine.min() < 1


def test_half_precision_points_where_float32_points(images, features):
    rough = run(NetworkPlan(image_size=32, precision="bfloat16"), images)
    assert rough.dtype == np.float32
    assert not np.array_equal(rough, features)
    one, two = (each.reshape(3, -1).astype(np.float64) for each in (rough, features))
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert cosine.min() > 0.999


# Two images, two positions (1, 2) and (3, 5) of the only feature, and 0, 4.
MAPS = np.array([[[[1.0], [2.0]], [[3.0], [5.0]]], [[[0.0], [4.0]], [[0.0], [4.0]]]], np.float32)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("avg", [11 / 4, 2.0]),
        ("max", [5.0, 4.0]),
        ("gem", [((1 + 8 + 27 + 125) / 4) ** (1 / 3), 32 ** (1 / 3)]),  # p = 3
    ],
)
def test_pooling_gives_the_numbers_worked_out_by_hand(pooling, expected):
    np.testing.assert_allclose(np.asarray(pool_features(MAPS, pooling, 3.0))[:, 0], expected, rtol=1e-5)


def test_gem_of_power_1_is_the_average_and_of_a_high_power_nearly_the_largest():
    np.testing.assert_allclose(np.asarray(pool_features(MAPS, "gem", 1.0))[:, 0], [11 / 4, 2.0], rtol=1e-5)
    large = np.asarray(pool_features(MAPS * 1000, "gem", 100.0))[:, 0]  # 5000 ** 100 is beyond float32
    np.testing.assert_allclose(large, [5000 * 0.25**0.01, 4000 * 0.5**0.01], rtol=1e-5)


def test_gem_takes_what_is_below_zero_for_nothing():
    np.testing.assert_allclose(np.asarray(pool_features(MAPS - 4, "gem", 2.0))[0, 0], 0.5, rtol=1e-5)  # -3 -2 -1 1
    assert np.asarray(pool_features(MAPS - 9, "gem", 3.0)) == pytest.approx(1e-6)


@pytest.mark.parametrize(("name", "num_channels"), [("efficientnetv2b0", 1280), ("mobilenetv3small", 576)])
def test_other_networks_give_one_vector_an_image_when_pooled(name, num_channels, images):
    features = run(NetworkPlan(name=name, image_size=32, pooling="avg", precision="float32"), images)
    assert features.shape == (3, num_channels)
    assert np.isfinite(features).all()


def test_what_a_plan_should_not_say_is_refused():
    with pytest.raises(ValueError, match="image_size should be at least 32 for vgg16. Received: 16"):
        build_network(NetworkPlan(image_size=16))
    with pytest.raises(ValueError, match="preprocessing should be auto or one of scale, .*. Received: 'zoom'"):
        build_network(NetworkPlan(preprocessing="zoom"))
    with pytest.raises(ValueError, match="pooling should be one of none, avg, max, gem. Received: 'sum'"):
        build_network(NetworkPlan(pooling="sum"))
    with pytest.raises(ValueError, match="precision should be auto or one of .*. Received: 'int8'"):
        build_network(NetworkPlan(precision="int8"))
