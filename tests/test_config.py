import dataclasses

import pytest

from landmark_spark.config import load_config
from landmark_spark.settings import Config, ConfigError


def test_defaults_are_the_missions_numbers():
    config = load_config()
    assert config.download.image_size == 128
    assert (config.verify.max_comparisons, config.verify.min_inliers) == (20, 35)
    assert config.predict.top_k == 5
    assert config.submission.mode == "learned"


def test_yaml_is_laid_over_defaults_and_set_over_both(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("store: out\ntrain:\n  epochs: 3\n  seed: 4\n")
    config = load_config(path, ["train.epochs=5", "train.learning_rate=1e-3"])
    assert config.train.epochs == 5
    assert config.train.seed == 4
    assert config.train.learning_rate == 0.001
    assert config.train.hidden_units == 256


def test_relative_paths_count_from_the_yaml_file_and_in_set_from_the_caller(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text("store: ../runs/a\ninputs: {train_csv: t.csv, test_csv: s3://b/t.csv}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config("conf/a.yaml")
    assert config.store == str(tmp_path / "runs/a")
    assert config.inputs.train_csv == str(tmp_path / "conf/t.csv")
    assert config.inputs.test_csv == "s3://b/t.csv"
    assert load_config("conf/a.yaml", ["store=x"]).store == str(tmp_path / "x")


def test_weights_are_a_word_or_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(None, ["backbone.weights=random"]).backbone.weights == "random"
    assert load_config(None, ["backbone.weights=w.h5"]).backbone.weights == str(tmp_path / "w.h5")


def test_text_settings_take_what_yaml_would_read_as_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(None, ["store=2018"]).store == str(tmp_path / "2018")
    (tmp_path / "own.yaml").write_text("descriptors: {sides: 384}\n")
    assert load_config(tmp_path / "own.yaml").descriptors.sides == "384"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch is no setting. Did you mean train.epochs?"),
        ("stroe=3", "stroe is no setting. Did you mean store?"),
        ("train.epochs=x", "train.epochs should be of type int. Received: 'x'"),
        ("train.epochs=true", "train.epochs should be of type int. Received: True"),
        ("train.epochs=0", "train.epochs should be at least 1. Received: 0"),
        ("train.dropout=1", "train.dropout should be below 1.0. Received: 1.0"),
        ("train.dropout=.nan", "train.dropout should be at least 0.0. Received: nan"),
        ("download.resize_mode=zoom", "download.resize_mode should be one of stretch, crop, pad. Received: 'zoom'"),
        ("train=3", "train should be a section of settings. Received: 3"),
        ("epochs", "--set should be key=value or section.key=value. Received: 'epochs'"),
        ("a.b.c=1", "--set should be key=value or section.key=value. Received: 'a.b.c=1'"),
        ("train.epochs=[1", "--set train.epochs: the value should be plain YAML. Received: '[1'"),
        ("verify.candidates=6", "verify.candidates should be at most predict.top_k (5)"),
        ("verify.max_comparisons=21", "verify.max_comparisons should be at most download.references_per_landmark"),
        ("store=", "store should be a path or URL without any of"),
        ("store=a#b", "store should be a path or URL without any of"),
        ("base_url=ftp://h", "base_url should begin with http:// or https://. Received: 'ftp://h'"),
        ("download.user_agent=", "download.user_agent should be printable ASCII. Received: ''"),
        ("download.deadline=.inf", "download.deadline should be at most 86400.0. Received: inf"),
        ("verify.seed=2147483648", "verify.seed should be at most 2147483647. Received: 2147483648"),
        ("inputs.train_csv=a.csv", "inputs.test_csv should be given too"),
    ],
)
def test_a_bad_override_says_what_was_wanted(override, message):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n", "a: b: c\n", "train: 3\n", "nothing: 1\n"])
def test_a_bad_file_is_a_config_error(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="readable YAML file"):
        load_config(tmp_path / "none.yaml")


def test_every_setting_has_a_doc_line_and_every_speed_setting_exists():
    for section in dataclasses.fields(Config):
        kind = type(getattr(Config(), section.name))
        if dataclasses.is_dataclass(kind):
            names = {each.name for each in dataclasses.fields(kind)}
            assert kind.SPEED <= names
            assert all(each.metadata["doc"] for each in dataclasses.fields(kind))
