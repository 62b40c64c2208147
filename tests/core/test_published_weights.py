import pytest

from landmark_spark.core import published_weights
from landmark_spark.core.published_weights import describe_weights, resolve_network_weights
from landmark_spark.core.weights import WeightsError, WeightsNotFound


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "landmark_spark"


def test_random_weights_are_no_file():
    assert resolve_network_weights("resnet50", "random") is None
    assert describe_weights("resnet50", "random") == {}


def test_a_path_is_taken_for_any_network_and_must_be_a_weights_file(tmp_path):
    path = tmp_path / "weights.h5"
    with pytest.raises(WeightsNotFound, match="should be imagenet, random or a file. Received: .*weights.h5"):
        resolve_network_weights("resnet50", str(path))
    assert describe_weights("resnet50", str(path)) == {"weights": "missing"}
    path.write_bytes(b"")
    assert resolve_network_weights("resnet50", str(path)) == path
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"should be a file \*.h5 or \*.keras. Received: .*weights.bin"):
        resolve_network_weights("resnet50", str(other))


def test_weights_of_another_network_are_fetched_once_and_kept(cache, monkeypatch):
    script = 'import sys; file = open(sys.argv[2], "x"); file.write(sys.argv[1])'
    monkeypatch.setattr(published_weights, "_EXPORT", script)
    path = resolve_network_weights("efficientnetv2b0", "imagenet")
    assert path.read_text() == "EfficientNetV2B0"
    monkeypatch.setattr(published_weights, "_EXPORT", "raise SystemExit(1)")
    assert resolve_network_weights("efficientnetv2b0", "imagenet") == path
    assert [each.name for each in cache.iterdir()] == ["efficientnetv2b0_imagenet_notop.weights.h5"]


def test_where_keras_cannot_fetch_them_the_error_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(published_weights, "_EXPORT", "raise OSError('no route to host')")
    with pytest.raises(WeightsNotFound, match="weights of resnet50 should be in .*no route to host .*backbone.weights"):
        resolve_network_weights("resnet50", "imagenet")
    assert describe_weights("resnet50", "imagenet") == {"weights": "keras.applications imagenet resnet50"}
