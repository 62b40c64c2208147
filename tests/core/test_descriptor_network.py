"""The pooling networks beside keras.applications' own and the reference of GeM."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.core.descriptor_network import (
    DescriptorPlan,
    build_descriptor_network,
    parse_networks,
    trained_preprocessing,
)
from landmark_spark.core.descriptor_views import ViewPlan, describe_scaled, scale_image
from landmark_spark.core.global_descriptors import pool_gem
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.resizing import resize_image


def picture(number, height, width):
    """A smooth picture (H, W, 3) uint8: noise of a few pixels, enlarged."""
    small = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return resize_image(small, max(height, width), mode="stretch")[:height, :width]


def run(model, images):
    import keras

    return keras.ops.convert_to_numpy(model(images))


@pytest.fixture(scope="module")
def vgg16():
    return build_descriptor_network(DescriptorPlan(precision="float32"))


def expected_of(constructor, layer, images, power, mode):
    """GeM, in NumPy, of a layer, or the last one, of keras.applications' own network with the same seed."""
    import keras
    from keras.applications.imagenet_utils import preprocess_input

    keras.utils.set_random_seed(0)
    base = getattr(keras.applications, constructor)(weights=None, include_top=False, input_shape=images.shape[1:])
    cut = keras.Model(base.input, base.get_layer(layer).output if layer else base.output)
    pixels = images.astype(np.float32) if mode == "none" else preprocess_input(images.astype(np.float32), mode=mode)
    return pool_gem(run(cut, pixels), power)


@pytest.mark.parametrize(
    ("name", "constructor", "layer", "mode", "num_channels"),
    [
        ("vgg16", "VGG16", "block5_conv3", "caffe", 512),
        ("vgg19", "VGG19", "block5_conv4", "caffe", 512),
        ("mobilenetv2", "MobileNetV2", None, "tf", 1280),
        ("mobilenetv3small", "MobileNetV3Small", None, "none", 576),
    ],
)
def test_vectors_are_the_generalised_mean_of_the_networks_last_map(name, constructor, layer, mode, num_channels):
    images = np.stack([picture(number, 64, 96) for number in (1, 2)])
    received = run(build_descriptor_network(DescriptorPlan(name=name, gem_power=4.0, precision="float32")), images)
    expected = expected_of(constructor, layer, images, 4.0, mode)
    assert received.shape == (2, num_channels)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_the_map_of_vgg_is_not_halved_by_the_pooling_after_it(vgg16):
    base = next(layer for layer in vgg16.layers if layer.name not in ("images", "preprocessing") and layer.weights)
    assert base.layers[-1].name == "block5_conv3"
    assert base.compute_output_shape((1, 64, 96, 3)) == (1, 4, 6, 512)  # a sixteenth


def test_images_of_any_size_go_through_and_random_weights_are_those_of_their_seed(vgg16):
    wide, high = picture(3, 48, 80)[None], picture(3, 80, 48)[None]
    assert run(vgg16, wide).shape == run(vgg16, high).shape == (1, 512)
    again = build_descriptor_network(DescriptorPlan(precision="float32"))
    np.testing.assert_array_equal(run(again, wide), run(vgg16, wide))
    other = build_descriptor_network(DescriptorPlan(precision="float32", seed=1))
    assert not np.array_equal(run(other, wide), run(vgg16, wide))


def test_half_precision_points_where_float32_points(vgg16):
    images = picture(4, 64, 64)[None]
    rough = run(build_descriptor_network(DescriptorPlan(precision="bfloat16")), images)[0].astype(np.float64)
    exact = run(vgg16, images)[0].astype(np.float64)
    assert not np.array_equal(rough, exact)
    assert rough @ exact / np.linalg.norm(rough) / np.linalg.norm(exact) > 0.999


def test_a_file_of_weights_is_loaded(vgg16, tmp_path):
    import keras

    keras.utils.set_random_seed(7)
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    base.save_weights(tmp_path / "seven.weights.h5")
    plan = DescriptorPlan(weights=tmp_path / "seven.weights.h5", precision="float32")
    seeded = DescriptorPlan(seed=7, precision="float32")
    images = picture(5, 64, 64)[None]
    received, expected = (run(build_descriptor_network(each), images) for each in (plan, seeded))
    np.testing.assert_array_equal(received, expected)
    assert not np.array_equal(received, run(vgg16, images))


@pytest.mark.parametrize("plan", [ViewPlan((64,), flip=True), ViewPlan((64, 80), flip=True, crops="five")])
def test_an_image_and_its_mirror_have_the_same_descriptor_where_views_are_flipped(vgg16, plan):
    image = decode_jpeg(encode_jpeg(picture(6, 61, 90), 95))
    found = [
        describe_scaled([scale_image(each, plan)], plan, lambda batch: run(vgg16, batch), batch_size=8)[0]
        for each in (image, np.ascontiguousarray(image[:, ::-1]))
    ]
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)  # a grey level of rounding in the resized images
    unflipped = ViewPlan(plan.sides, crops=plan.crops)
    one, other = (
        describe_scaled([scale_image(each, unflipped)], unflipped, lambda batch: run(vgg16, batch), batch_size=8)[0]
        for each in (image, np.ascontiguousarray(image[:, ::-1]))
    )
    assert np.abs(one - other).max() > 1e-2


def test_auto_is_the_preprocessing_that_the_network_was_trained_with():
    assert trained_preprocessing("auto", "vgg16") == "caffe"
    assert trained_preprocessing("auto", "densenet121") == "torch"
    assert trained_preprocessing("scale", "vgg16") == "scale"


def test_networks_are_read():
    assert parse_networks(" vgg16  xception ") == ("vgg16", "xception")


def test_what_a_plan_should_not_say_is_refused():
    with pytest.raises(ValueError, match="named, each once, with spaces between. Received: ' '"):
        parse_networks(" ")
    with pytest.raises(ValueError, match="each once, with spaces between. Received: 'vgg16 vgg19 vgg16'"):
        parse_networks("vgg16 vgg19 vgg16")
    with pytest.raises(ValueError, match="the network should be one of vgg16, .*. Received: 'vgg16,vgg19'"):
        parse_networks("vgg16,vgg19")
    with pytest.raises(ValueError, match="the network should be one of vgg16, .*. Received: 'lenet'"):
        build_descriptor_network(DescriptorPlan(name="lenet"))
    with pytest.raises(ValueError, match="take images of any size. Received: 'nasnetmobile'"):
        parse_networks("vgg16 nasnetmobile")
    with pytest.raises(ValueError, match="preprocessing should be auto or one of scale, .*. Received: 'zoom'"):
        build_descriptor_network(DescriptorPlan(preprocessing="zoom"))
    with pytest.raises(ValueError, match="gem_power should be at least 1. Received: 0.5"):
        build_descriptor_network(DescriptorPlan(gem_power=0.5))
