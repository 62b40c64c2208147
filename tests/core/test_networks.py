import inspect
import re

import pytest

from landmark_spark.core.backbone import NetworkPlan, build_network
from landmark_spark.core.networks import NETWORKS, check_network, resolve_preprocessing

# keras.applications says in the docstring of each module's preprocess_input which mode it applies.
MODULES = {
    "vgg16": "caffe",
    "vgg19": "caffe",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "inception_v3": "tf",
    "inception_resnet_v2": "tf",
    "xception": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "nasnet": "tf",
    "densenet": "torch",
    "mobilenet_v3": "none",
    "efficientnet_v2": "none",
    "convnext": "none",
}


def test_the_networks_are_those_of_keras_applications_that_take_weights_from_a_file():
    import keras

    constructors = {name for name in dir(keras.applications) if name[0].isupper()}
    without = {f"EfficientNetB{size}" for size in range(8)}  # weights from a file give them other features
    assert {network.constructor for network in NETWORKS.values()} == constructors - without


@pytest.mark.parametrize(("module", "mode"), MODULES.items())
def test_the_published_preprocessing_is_what_keras_does(module, mode):
    from importlib import import_module

    code = import_module(f"keras.src.applications.{module}")
    found = re.search(r'preprocess_input\([^)]*mode="(\w+)"', inspect.getsource(code), re.DOTALL)
    assert (found.group(1) if found else "none") == mode
    published = {NETWORKS[name.lower()].published for name in dir(code) if name.lower() in NETWORKS and name != module}
    assert published == {mode}


def test_auto_is_scale_for_vgg_and_what_was_published_for_others():
    assert resolve_preprocessing("auto", "vgg16") == resolve_preprocessing("auto", "vgg19") == "scale"
    assert resolve_preprocessing("auto", "resnet50") == "caffe"
    assert resolve_preprocessing("auto", "efficientnetv2b0") == "none"
    assert resolve_preprocessing("tf", "vgg16") == "tf"


def test_an_unknown_network_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="should be one of vgg16, vgg19, resnet50, .*. Received: 'vgg'"):
        check_network("vgg", 128)


@pytest.mark.parametrize(("name", "side"), [("inceptionv3", 75), ("xception", 71), ("efficientnetv2b0", 32)])
def test_an_image_below_the_smallest_side_is_refused(name, side):
    assert check_network(name, side).constructor.lower() == name
    with pytest.raises(ValueError, match=f"should be at least {side} for {name}. Received: {side - 1}"):
        check_network(name, side - 1)


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("inceptionv3", 75, (1, 1, 2048)),
        ("mobilenetv3small", 96, (3, 3, 576)),
    ],
)
def test_other_networks_are_built_with_their_own_feature_maps(name, side, shape):
    assert build_network(NetworkPlan(name=name, image_size=side)).output_shape[1:] == shape
