import numpy as np
import pytest

from landmark_spark.core.delf_network import (
    DelfNetworkPlan,
    build_attention,
    build_classifier,
    build_dense,
    build_extractor,
)

PLAN = DelfNetworkPlan(layer="block3_conv3", attention_units=4, precision="float32")


@pytest.fixture(scope="module")
def dense():
    return build_dense(PLAN)


def images(count=2, height=64, width=96):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_the_features_are_vgg16s_of_that_layer_at_its_stride(dense):
    import keras

    base = dense.get_layer("base")
    assert dense.predict_on_batch(images()).shape == (2, 16, 24, 256)
    assert [layer.name for layer in base.layers][-1] == "block3_conv3"
    vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 96, 3))
    for name in ("block1_conv1", "block3_conv3"):
        vgg.get_layer(name).set_weights(base.get_layer(name).get_weights())
    pixels = keras.applications.vgg16.preprocess_input(images().astype(np.float32))  # Keras' own BGR minus the mean
    first = keras.Model(vgg.inputs, vgg.get_layer("block1_conv1").output).predict_on_batch(pixels)
    ours = keras.Model(base.inputs, base.get_layer("block1_conv1").output).predict_on_batch(pixels)
    np.testing.assert_allclose(ours, first, rtol=1e-5)
    np.testing.assert_allclose(dense.predict_on_batch(images()), base.predict_on_batch(pixels), rtol=1e-3, atol=1e-3)


def test_a_pattern_moved_by_whole_cells_moves_in_the_map_by_so_many_cells(dense):
    still, moved = np.full((2, 1, 128, 128, 3), 90, np.uint8)
    pattern = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    still[0, 40:64, 40:64] = pattern
    moved[0, 56:80, 48:72] = pattern  # 16 pixels down, 8 to the right: 4 cells and 2
    before, after = (dense.predict_on_batch(each)[0] for each in (still, moved))
    np.testing.assert_allclose(after[14:20, 12:18], before[10:16, 10:16], rtol=1e-4, atol=1e-3)


def test_a_bright_spot_is_seen_by_cells_evenly_around_it(dense):
    import keras

    base = build_dense(PLAN).get_layer("base")
    for layer in base.layers:  # every convolution a mean over its field: what is left is where the cells look
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            layer.set_weights([np.full_like(kernel, 1 / np.prod(kernel.shape[:3])), bias * 0])
    pixels = np.zeros((1, 128, 128, 3), np.float32)
    pixels[0, 60:64, 72:76] = 1  # cell (15, 18) at stride 4: its centre is at (61.5, 73.5), as the spot's
    seen = base.predict_on_batch(pixels)[0, :, :, 0]
    rows, columns = np.mgrid[:32, :32]
    assert np.unravel_index(seen.argmax(), seen.shape) == (15, 18)
    assert (seen * rows).sum() / seen.sum() == pytest.approx(15, abs=1e-3)
    assert (seen * columns).sum() / seen.sum() == pytest.approx(18, abs=1e-3)


def test_the_score_is_the_softplus_of_two_1_x_1_convolutions():
    attention = build_attention(2, 2, seed=0)
    hidden, scores = attention.get_layer("hidden"), attention.get_layer("scores")
    hidden.set_weights([np.array([[[[1.0, -1.0], [0.0, 2.0]]]]), np.array([0.5, 0.0])])
    scores.set_weights([np.array([[[[2.0], [1.0]]]]), np.array([-1.0])])
    features = np.array([[[[100.0, 50.0], [0.0, 0.0]]]], np.float32)  # of a hundredth: (1, 0.5), (0, 0)
    # relu(1 + 0.5, -1 + 1) = (1.5, 0): 2 * 1.5 - 1 = 2; relu(0.5, 0): 2 * 0.5 - 1 = 0
    expected = [np.log1p(np.exp(2.0)), np.log(2.0)]
    np.testing.assert_allclose(attention.predict_on_batch(features)[0, 0, :, 0], expected, rtol=1e-5)


def test_the_classifier_pools_unit_features_by_their_scores():
    import keras

    features = keras.Input((1, 2, 2))
    plain = keras.Model(features, features)
    attention = build_attention(2, 1, seed=0)
    attention.get_layer("hidden").set_weights([np.array([[[[1.0], [0.0]]]]), np.array([0.0])])
    attention.get_layer("scores").set_weights([np.array([[[[1.0]]]]), np.array([0.0])])
    model = build_classifier(plain, attention, 2, seed=0)
    model.get_layer("classes").set_weights([np.eye(2), np.zeros(2)])
    found = model.predict_on_batch(np.array([[[[300.0, 400.0], [0.0, 5.0]]]], np.float32))[0]
    # Scores softplus(3) and softplus(0); unit features (0.6, 0.8) and (0, 1); their mean over two cells; a softmax.
    strong, weak = np.log1p(np.exp(3.0)), np.log(2.0)
    pooled = (strong * np.array([0.6, 0.8]) + weak * np.array([0.0, 1.0])) / 2
    np.testing.assert_allclose(found, np.exp(pooled) / np.exp(pooled).sum(), rtol=1e-5)


def test_the_extractor_gives_the_features_and_then_the_score(dense):
    attention = build_attention(256, 4, seed=3)
    both = build_extractor(dense, attention).predict_on_batch(images())
    features = dense.predict_on_batch(images())
    np.testing.assert_allclose(both[..., :-1], features, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(both[..., -1:], attention.predict_on_batch(features), rtol=1e-4)
    assert both[..., -1].min() > 0


def test_a_layer_that_is_none_of_them_is_refused():
    with pytest.raises(ValueError, match="one of block3_conv3, block4_conv3, block5_conv3. Received: 'block4_pool'"):
        build_dense(DelfNetworkPlan(layer="block4_pool"))
