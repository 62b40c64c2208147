"""What a network is made of, told without loading it here."""

import h5py
import pytest

from landmark_spark.core.network_probe import NetworkFacts, probe_network
from landmark_spark.core.weights import WeightsError


def test_vgg16_has_an_input_13_convolutions_and_5_pools():
    assert probe_network("vgg16", image_size=128) == NetworkFacts(19)


def test_mobilenet_has_the_86_layers_that_keras_documents_with_27_normalisations():
    # 86 layers without top: input, 13 blocks of depthwise and pointwise convolutions after the first one, each with
    # BatchNormalization and ReLU: 27 of them, and 4 paddings before the strided convolutions.
    network = probe_network("mobilenet", image_size=32)
    assert network.num_layers == 1 + 27 * 3 + 4
    assert len(network.normalising) == 27


def test_a_weights_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.weights.h5"
    with h5py.File(path, "w") as file:
        file["conv1/kernel"] = [1.0, 2.0]
    with pytest.raises(WeightsError, match=r"mobilenet should be built with the weights of .*other.weights.h5. Receiv"):
        probe_network("mobilenet", image_size=32, weights=path)


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="network should be one of vgg16"):
        probe_network("lenet", image_size=128)
