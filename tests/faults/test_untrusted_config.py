"""Configurations from strangers: whatever a file or --set holds, it is a Config or a ConfigError of one line."""

import dataclasses
import time
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from untrusted import damaged, is_one_line, some_thousand, ten_thousand, token_soup

from landmark_spark.config import load_config
from landmark_spark.setting_text import MAX_BYTES, shown
from landmark_spark.settings import Config, ConfigError

SECTIONS = {
    each.name: get_type_hints(Config)[each.name]
    for each in dataclasses.fields(Config)
    if dataclasses.is_dataclass(get_type_hints(Config)[each.name])
}
SETTINGS = [each.name for each in dataclasses.fields(Config) if each.name not in SECTIONS] + [
    f"{section}.{each.name}" for section, kind in SECTIONS.items() for each in dataclasses.fields(kind)
]
HINTS = {kind: get_type_hints(kind) for kind in (Config, *SECTIONS.values())}
VALUES = (
    *(
        "1",
        "0",
        "-1",
        "3",
        "35",
        "0.5",
        "1.0",
        "1e-3",
        "1e400",
        "-1e400",
        "1e-400",
        ".inf",
        "-.inf",
        ".nan",
        "nan",
        "inf",
    ),
    *("9" * 30, "9" * 400, "9" * 5000, "0x" + "f" * 5000, "0x_", "0b", "0b2", "1_000", "1:60:99", "017", "+1", "~", ""),
    *("true", "no", "null", "auto", "fused", "none", "sift", "vgg16", "imagenet", "random", "local[*]", "2g"),
    *("[]", "{}", "[1, 2]", "{a: 1}", "'x'", '"\\u0000"', '"\\ud800"', '"\\e[2J"', "'a\tb'", "|\n  a\n  b"),
    *("2001-99-99", "2001-01-01", "2001-12-14t21:59:43.10-05:00", "!!int ''", "!!int x", "!!float x", "!!bool x"),
    *(
        "!!timestamp x",
        "!!binary x",
        "!!python/object:os.system x",
        "!!python/object/apply:os.system [id]",
        "!!set {a}",
    ),
    *(
        "!!python/name:os.system",
        "!x y",
        "&a 1",
        "*a",
        "&a [*a]",
        "*b",
        "../../etc",
        "~nobody-has-this-name/x",
        "~",
        "/",
    ),
    *("s3://bucket/x", "file:///etc/passwd", "http://", "http://[", "http://h:99999/", "http://u:p@h/", "a#b", "a?b"),
    *("\x00", "\x1b[2J", "\x85", "\u2028", "é", "下", "x" * 300, "%", "@", "`", "- a", "? b", ": c", "<<: *a"),
)
MARKS = (
    "\n",
    "\n",
    ": ",
    ": ",
    " ",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    '"',
    "#",
    "---\n",
    "...\n",
    "%YAML 9\n",
    "\t",
)
YAML_WORDS = (*MARKS, *VALUES, *SECTIONS, *(each.rpartition(".")[2] for each in SETTINGS))[:256]


def load_or_error(path=None, overrides=()):
    """Return a Config that keeps to its own limits, or None where a documented error of one line was raised."""
    try:
        config = load_config(path, overrides)
    except ConfigError as error:
        assert is_one_line(error), str(error)[:500]
        return None
    check_sound(config)
    return config


def override_of(number):
    return f"{SETTINGS[number // len(VALUES)]}={VALUES[number % len(VALUES)]}"


def check_sound(config):
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        kind = HINTS[type(config)][each.name]
        if dataclasses.is_dataclass(value):
            check_sound(value)
        elif get_origin(kind) is Literal:
            assert value in get_args(kind)
        else:
            assert type(value) is kind
            assert kind is not float or abs(value) < float("inf")
            assert kind is not int or abs(value) < 2**63
            assert kind is not str or not set(value) & {"\x00", "\n", "\x1b"}
            assert kind is not str or value.encode() is not None


@ten_thousand
@given(
    st.integers(0, (len(SETTINGS) * len(VALUES)) ** 2 - 1).map(
        lambda number: [override_of(number % (most := len(SETTINGS) * len(VALUES))), override_of(number // most)]
    )
)
@example(["store=\x00"])
@example(["base_url=http://["])
def test_overrides_of_known_settings_give_a_config_or_an_error(overrides):
    load_or_error(None, overrides)


@some_thousand
@given(
    token_soup(*YAML_WORDS, "=", ".", max_size=8) if len(YAML_WORDS) <= 254 else token_soup("=", ".", *YAML_WORDS[:254])
)
def test_any_override_gives_a_config_or_an_error(override):
    load_or_error(None, [override])


@pytest.fixture(scope="module")
def yaml_file(memory):
    return memory / "any.yaml"


def test_files_put_together_from_yaml_give_a_config_or_an_error(yaml_file):
    @some_thousand
    @given(token_soup(*YAML_WORDS, max_size=20))
    def check(text):
        yaml_file.write_bytes(text.encode("utf-8", errors="surrogatepass"))
        load_or_error(yaml_file)

    check()


VALID = b"""store: runs/x
base_url: http://h/images
inputs: {train_csv: a.csv, test_csv: "b.csv"}
train: &t
  epochs: 3
  learning_rate: 1e-3
verify:
  max_comparisons: 5
download: {resize_mode: crop, user_agent: 'me'}
"""


def test_damaged_files_give_a_config_or_an_error(yaml_file):
    num_loaded = 0
    for data in damaged([VALID, VALID, VALID, VALID.decode().encode("utf-16")], count=7500):
        yaml_file.write_bytes(data)
        num_loaded += load_or_error(yaml_file) is not None
    assert 400 < num_loaded < 7000


def wrong(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert time.monotonic() - started < 10
    assert is_one_line(caught.value)
    return str(caught.value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "store: !!python/object/apply:os.system [touch /nowhere/x]\n",
            "should be YAML. Received: could not determine",
        ),
        ("train: !!python/object:landmark_spark.settings.Config {}\n", "should be YAML. Received: could not determine"),
        (BOMB, "a is no setting."),
        (BOMB + "train: *m\n", "is no setting."),
        ("train: {epochs: &a [*a]}\n", "train.epochs should be of type int. Received: a list"),
        (MERGES, "a merge (<<)"),
        ("&a train: *a\n", "train should be a section of settings. Received: 'train'"),
        ("train: &a {epochs: *a}\n", "train.epochs should be of type int. Received: a dict"),
        ("[" * 50_000, "should be YAML. Received: values within values without an end"),
        ("train: " + "{a: " * 20_000, "should be YAML. Received: values within values without an end"),
        ("- " * 40_000, "should be YAML"),
        ("train: {epochs: 3}\ntrain: {epochs: 4}\n", "the key 'train' twice"),
        ("train: {epochs: 3, epochs: 4}\n", "the key 'epochs' twice"),
        ("1: 2\n", "1 is no setting."),
        ("null: 2\n", "None is no setting."),
        ("? [a, b]\n: 2\n", "should be YAML. Received: while constructing a mapping"),
        ("2001-99-99: 1\n", "should be YAML. Received: month must be in 1..12"),
        ("store: !!timestamp x\n", "should be YAML"),
        ("store: !!int ''\n", "should be YAML"),
        (
            "toy: {seed: 99999999999999999999}\n",
            "toy.seed should be a finite number of at most 64 bits. Received: 99999",
        ),
        ("train: {learning_rate: .inf}\n", "train.learning_rate should be a finite number"),
        (f"train: {{learning_rate: {'9' * 400}}}\n", "train.learning_rate should be of type float. Received: a number"),
        (
            f"train: {{epochs: 0x{'f' * 5000}}}\n",
            "train.epochs should be a finite number of at most 64 bits. Received: a n",
        ),
        (f"train: {{epochs: {'9' * 5000}}}\n", "should be YAML. Received: Exceeds the limit"),
        ('store: "a\\0b"\n', "store should be text without control characters. Received: 'a\\x00b'"),
        ('store: "\\ud800"\n', "store should be text without control characters. Received: '\\ud800'"),
        ("store: ~nobody-has-this-name/x\n", "store should be a path. Received: '~nobody-has-this-name/x'"),
        ('spark: {master: "a\\nb"}\n', "spark.master should be text without control characters"),
        ("? " + "x" * 5000 + "\n: 1\n", "xxx...' is no setting."),
        (b"store: \xff\xfe\n", "should be YAML. Received: 'utf-8' codec"),
        (VALID.decode().encode("utf-16"), "should be YAML. Received: 'utf-8' codec"),
        ("a: b\n" + "#" * MAX_BYTES, f"should be YAML of at most {MAX_BYTES} bytes"),
        ("1:" * 49_000 + "1: 1", "should be YAML"),
        ("%YAML 9.9\n---\nstore: x\n", "should be YAML. Received: found incompatible YAML document"),
        ("base_url: 'http://h:99999/'\n", "base_url should have a valid host and port"),
        ("base_url: 'http://user:secret@/'\n", "base_url should have a valid host and port. Received: another"),
    ],
)
def test_what_would_grow_run_or_crash_is_a_line(yaml_file, text, message):
    said = wrong(yaml_file, text)
    assert message in said
    assert "secret" not in said


def test_a_folder_and_an_endless_file_are_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"--config should be a readable YAML file"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=r"should be YAML of at most 100000 bytes"):
        load_config("/dev/zero")


def test_an_override_says_no_more_of_itself_than_a_line():
    for override in [
        "\x1b[2J",
        "a" * 100_000,
        "train.\nx=1",
        "train.epochs=" + "[" * 50_000,
        "train." + "x" * 9999 + "=[",
    ]:
        with pytest.raises(ConfigError) as caught:
            load_config(None, [override])
        assert is_one_line(caught.value)
        assert str(caught.value).isprintable()


def test_a_value_that_was_read_from_little_is_not_shown_at_length():
    value = ["x"]
    for _ in range(60):
        value = [value, value]
    assert shown(value) == "a list"
    assert len(shown(1 << 100_000)) < 100
    assert len(shown("x" * 100_000)) < 250
