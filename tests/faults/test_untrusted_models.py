"""Model files from strangers: a classifier, or a ModelFileError; never a program that runs."""

import base64
import io
import json
import random
import zipfile

import numpy as np
import pytest
from untrusted import NUM_INPUTS, damage, damaged, is_one_line

from landmark_spark.core.model_files import (
    CLASSES_FILE,
    MODEL_FILE,
    ModelFileError,
    load_classifier,
    load_model,
    save_model,
)

keras = pytest.importorskip("keras")

NUM_DEEP = 400
"""Inputs whose archive is sound and whose parts are not: Keras builds the model of each, for 20 ms."""


def small():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What is in a model file: config.json, metadata.json, model.weights.h5."""
    path = tmp_path_factory.mktemp("model") / MODEL_FILE
    save_model(small(), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def load_or_error(path, data):
    path.write_bytes(data)
    try:
        model = load_model(path)
    except ModelFileError as error:
        assert str(error).startswith(f"{path} should be a trained model")
        assert is_one_line(error)
        return None
    assert isinstance(model, keras.Model)
    return model


def test_damaged_archives_are_a_model_or_refused(memory, parts):
    valid = packed(parts)
    assert load_or_error(memory / MODEL_FILE, valid) is not None
    refused = [load_or_error(memory / MODEL_FILE, data) is None for data in damaged(valid, count=NUM_INPUTS - NUM_DEEP)]
    assert sum(refused) > 8000


def with_damage(values, chance):
    """Return a copy of JSON values with one of them replaced, lost or doubled, somewhere within."""
    strange = (
        None,
        True,
        -1,
        0,
        1.5,
        10**30,
        float("nan"),
        "",
        "x",
        [],
        {},
        [[]],
        "../../x",
        {"class_name": "Dense"},
        "keras",
    )
    if isinstance(values, dict) and values and chance.random() < 0.9:
        name = chance.choice(sorted(values))
        if chance.random() < 0.1:
            return {key: each for key, each in values.items() if key != name}
        return values | {name: with_damage(values[name], chance)}
    if isinstance(values, list) and values and chance.random() < 0.9:
        place = chance.randrange(len(values))
        return [
            *values[:place],
            *([] if chance.random() < 0.1 else [with_damage(values[place], chance)]),
            *values[place + 1 :],
        ]
    return chance.choice(strange)


def test_damaged_parts_in_a_sound_archive_are_a_model_or_refused(memory, parts):
    chance = random.Random(0)
    config = json.loads(parts["config.json"])
    refused = 0
    for number in range(NUM_DEEP):
        if number % 2:
            changed = {"config.json": json.dumps(with_damage(config, chance)).encode()}
        else:
            name = chance.choice(("model.weights.h5", "config.json", "metadata.json"))
            changed = {name: damage(parts[name], chance)}
        refused += load_or_error(memory / MODEL_FILE, packed(parts | changed)) is None
    assert NUM_DEEP // 4 < refused < NUM_DEEP


def layer(module, name, config=None, registered=None):
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": registered}


def lambda_config(marker):
    code = base64.b64encode(b"\xe3" + b"\x00" * 40).decode()
    function = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    return layer(
        "keras.layers", "Lambda", {"name": "l", "trainable": True, "function": function, "arguments": {"x": marker}}
    )


HOSTILE = {
    "a lambda": lambda_config,
    "a function of the system": lambda marker: layer("os", "system", {"command": f"touch {marker}"}),
    "a builtin": lambda marker: layer("builtins", "exec", {"source": f"open({marker!r}, 'w')"}),
    "a function by name": lambda marker: layer(
        "keras.layers",
        "Lambda",
        {"name": "l", "function": {"module": "os", "class_name": "function", "config": "system"}},
    ),
    "a download": lambda marker: layer(
        "keras.layers",
        "Activation",
        {
            "activation": {
                "module": "keras.utils",
                "class_name": "function",
                "config": "get_file",
                "registered_name": "get_file",
            }
        },
    ),
    "a TensorFlow program": lambda marker: layer("keras.layers", "TFSMLayer", {"name": "t", "filepath": marker}),
    "a pickled torch module": lambda marker: layer(
        "keras.layers", "TorchModuleWrapper", {"name": "t", "module": base64.b64encode(b"cos\nsystem\n.").decode()}
    ),
    "a file of the machine": lambda marker: layer(
        "keras.layers", "StringLookup", {"name": "s", "vocabulary": "/etc/hostname", "max_tokens": None}
    ),
    "a module to import": lambda marker: layer("antigravity_not_there", "Thing"),
    "an object of ours": lambda marker: layer(
        "landmark_spark.core.own_process", "run_python", {"code": f"open({marker!r}, 'w')"}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["within a model", "as the model"])
def test_a_model_file_that_brings_a_program_is_refused_and_does_not_run_it(tmp_path, parts, name, place):
    marker = tmp_path / "it_ran"
    hostile = HOSTILE[name](str(marker))
    config = json.loads(parts["config.json"])
    if place == "within a model":
        config["config"]["layers"].append(hostile)
    else:
        config = hostile
    assert load_or_error(tmp_path / MODEL_FILE, packed(parts | {"config.json": json.dumps(config).encode()})) is None
    assert not marker.exists()


def test_a_model_saved_with_a_lambda_layer_is_refused(tmp_path):
    path = tmp_path / MODEL_FILE
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda values: values * 2)])
    model.save(path)
    with pytest.raises(ModelFileError, match=r"should be a trained model\. Received: .*lambda"):
        load_model(path)


def test_a_layer_is_no_model_and_one_of_two_outputs_is_none_of_ours(tmp_path, parts):
    layer_alone = json.loads(parts["config.json"])["config"]["layers"][1]
    assert (
        load_or_error(tmp_path / MODEL_FILE, packed(parts | {"config.json": json.dumps(layer_alone).encode()})) is None
    )
    given = keras.Input((4,))
    path = tmp_path / "two.keras"
    keras.Model(given, [keras.layers.Dense(3)(given), keras.layers.Dense(3)(given)]).save(path)
    with pytest.raises(ModelFileError, match="one input and one output"):
        load_model(path)


def test_other_formats_under_the_name_of_a_model_are_refused(tmp_path):
    h5 = tmp_path / "m.h5"
    small().save(h5)
    for data in (h5.read_bytes(), b"", b"PK\x05\x06" + b"\x00" * 18, b"\x80\x04."):
        assert load_or_error(tmp_path / MODEL_FILE, data) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        "[" * 100_000,
        '{"landmark_ids": 7}',
        '{"landmark_ids": {"a": 1}}',
        '{"landmark_ids": ["1", "2", "3"]}',
        '{"landmark_ids": [1.5, 2, 3]}',
        '{"landmark_ids": [1, 2, true]}',
        '{"landmark_ids": [[1], [2], [3]]}',
        '{"landmark_ids": [1, 2, -3]}',
        '{"landmark_ids": [1, 2, 9223372036854775808]}',
        '{"landmark_ids": [1, 2, NaN]}',
        '{"landmark_ids": [1, 2, 2]}',
        '{"landmark_ids": [1, 2]}',
    ],
)
def test_a_class_map_of_other_kinds_is_refused(tmp_path, parts, text):
    (tmp_path / MODEL_FILE).write_bytes(packed(parts))
    (tmp_path / CLASSES_FILE).write_text(text)
    with pytest.raises(ModelFileError) as caught:
        load_classifier(tmp_path, batch_size=2)
    assert is_one_line(caught.value)


def test_damaged_class_maps_are_read_whole_or_refused(memory, parts):
    from landmark_spark.core import model_files

    valid = json.dumps({"landmark_ids": [7, 12345, 9223372036854775807]}).encode()
    num_read = 0
    for data in damaged(valid):
        (memory / CLASSES_FILE).write_bytes(data)
        try:
            found = model_files._read_classes(memory)
        except ModelFileError as error:
            assert is_one_line(error)
            continue
        num_read += 1
        assert found.dtype == np.int64 and (found >= 0).all() and len(set(found.tolist())) == len(found)
    assert 500 < num_read < 9000
