import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.backbone import load_backbone


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def features(images):
    return load_backbone(None, image_size=64, batch_size=2)(images)


def test_the_shape_is_vgg16s_last_feature_map(features):
    assert features.shape == (5, 2, 2, 512)  # 64 halved five times
    assert features.dtype == np.float16
    assert np.all(features >= 0)  # after ReLU and max pooling
    assert features.std() > 0


def test_the_batch_size_changes_nothing(images, features):
    np.testing.assert_allclose(load_backbone(None, image_size=64, batch_size=4)(images), features, rtol=2e-3, atol=1e-4)


def test_random_weights_are_those_of_their_seed(images, features):
    assert np.array_equal(load_backbone(None, image_size=64, batch_size=2)(images), features)
    assert not np.array_equal(load_backbone(None, image_size=64, batch_size=2, seed=1)(images), features)


def test_features_are_those_of_keras_applications_on_pixels_over_255(images, features):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    expected = model.predict(images.astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(features.astype(np.float32), expected, rtol=2e-3, atol=1e-4)


def test_caffe_preprocessing_is_that_of_keras_applications(images):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    expected = model.predict(keras.applications.vgg16.preprocess_input(images.astype(np.float32)), verbose=0)
    received = load_backbone(None, image_size=64, preprocessing="caffe")(images)
    np.testing.assert_allclose(received.astype(np.float32), expected, rtol=2e-3, atol=1e-2)


def test_bfloat16_points_where_float32_points(images, features):
    rough = load_backbone(None, image_size=64, batch_size=2, precision="bfloat16")(images)
    one, two = (each.reshape(5, -1).astype(np.float64) for each in (rough, features))
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert cosine.min() > 0.999


def test_no_images_give_no_features(images):
    assert load_backbone(None, image_size=64)(images[:0]).shape == (0, 2, 2, 512)


@pytest.mark.parametrize("wrong", [np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 64, 64, 3), np.float32)])
def test_images_of_another_size_or_type_are_refused(wrong):
    with pytest.raises(ValueError, match=r"images should be \(B, 64, 64, 3\) uint8"):
        load_backbone(None, image_size=64)(wrong)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="image_size should be at least 32. Received: 16"):
        load_backbone(None, image_size=16)
    with pytest.raises(ValueError, match="preprocessing should be scale or caffe. Received: 'zoom'"):
        load_backbone(None, preprocessing="zoom")
