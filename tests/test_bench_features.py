"""The comparisons of local features: their arithmetic and their lines. Which kind is best is no test's business."""

import json

import numpy as np
import pytest
from landmark_store import scene
from PIL import Image

from landmark_spark.core.local_features import LocalFeatures
from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks import features, kinds
from scripts.benchmarks.features import accepted_at, draw_pairs, read_photos
from scripts.benchmarks.kinds import copied_store, markdown_table
from scripts.benchmarks.report_lines import BenchmarkError

NUM_LANDMARKS = 3


@pytest.fixture(scope="module")
def small_photos(tmp_path_factory):
    """Three landmarks, four moved pictures of each; two pictures of nothing."""
    folder = tmp_path_factory.mktemp("photos")
    pictures = {f"a{k}{n}": scene(k, 12 * n) for k in range(NUM_LANDMARKS) for n in range(4)}
    pictures |= {f"none{k}": scene(50 + k) for k in range(2)}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.jpg", quality=95)
    train = [f"{name},{name}.jpg,{name[1]}" for name in pictures if name.startswith("a")]
    (folder / "train.csv").write_text("\n".join(["id,url,landmark_id", *train, ""]))
    (folder / "non_landmark.csv").write_text("id,url\nnone0,none0.jpg\nnone1,none1.jpg\n")
    return folder


def lines_of(capfd):
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_the_share_is_the_largest_at_a_rate_that_is_not_exceeded():
    true = [2, 5, 9, 40]
    false = [0] * 96 + [4, 4, 6, 9]
    at = accepted_at(true, false, 0.02)  # above 4 are 2 of 100, above 3 are 4
    assert (at["min_inliers"], at["false_accept_rate"], at["share"]) == (4, 0.02, 0.75)
    assert (at["low"], at["high"]) == pytest.approx((0.1941, 0.9937), abs=5e-5)  # R: binom.test(3, 4)
    # No whole number of inliers has a rate between 1 % and nothing: that of the threshold found is told.
    at = accepted_at(true, false, 0.015)
    assert (at["min_inliers"], at["false_accept_rate"], at["share"]) == (6, 0.01, 0.5)


def test_pairs_are_of_one_landmark_or_of_two_or_of_none_and_one(small_photos):
    found = read_photos(small_photos)
    pairs = draw_pairs(found, num_true=99, num_false=30)
    shows = found.landmarks
    assert len(pairs.true) == 3 * 6
    assert all(shows[one] == shows[other] != -1 for one, other in pairs.true)
    assert [shows[one] == -1 for one, _ in pairs.false] == [False] * 15 + [True] * 15
    assert all(shows[other] not in (-1, shows[one]) for one, other in pairs.false)
    assert draw_pairs(found, num_true=99, num_false=30) == pairs


def test_photos_that_are_not_there_end_the_benchmark(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(features.measure, "__kwdefaults__", features.measure.__kwdefaults__ | {"folder": tmp_path})
    assert command_line.main(["features", "--quick"]) == 1
    assert "the real photos should be in" in capfd.readouterr().err


def test_every_kind_sees_the_same_pairs_and_is_compared_with_the_first(small_photos, monkeypatch, capfd):
    seen = {"sift": [], "blind": []}
    found = features.extractor_of

    def extractor_of(variant):
        if variant.kind == "sift":
            return found(variant)
        nothing = np.zeros((0, 2), np.float32), np.zeros((0, 40), np.float16)
        return lambda image: seen["blind"].append(1) or LocalFeatures(*nothing, image.shape[1], image.shape[0])

    monkeypatch.setattr(features, "extractor_of", extractor_of)
    lines = []
    features.measure(
        lambda *names, **values: lines.append((names[1], values)),
        kinds=["sift", "blind"],
        sizes=(18, 20),
        sweep=False,
        quick=False,
        folder=small_photos,
    )
    assert [what for what, _ in lines] == ["machine", "pairs", "kind", "kind", "difference", "difference"]
    sift, blind, first, second = (values for _, values in lines[2:])
    assert (sift["kind"], sift["num_true"], sift["num_false"]) == ("sift", 18, 20)
    assert [(each["rate"], each["share"], each["false_accept_rate"]) for each in sift["at"]] == [
        (0.01, 1.0, 0.0),
        (0.001, 1.0, 0.0),
    ]
    assert sift["median_inliers_true"] > 35
    assert sift["median_inliers_false"] < 20
    assert [each["share"] for each in blind["at"]] == [0.0, 0.0]
    assert blind["mean_keypoints"] == 0
    assert len(seen["blind"]) == 14
    assert first == {
        "kind": "blind",
        "to": "sift",
        "rate": 0.01,
        "both": 0,
        "only_this": 0,
        "only_the_other": 18,
        "neither": 0,
    }
    assert second["rate"] == 0.001


def test_the_sweep_changes_one_setting_at_a_time(small_photos, monkeypatch, capfd):
    monkeypatch.setattr(features.measure, "__kwdefaults__", features.measure.__kwdefaults__ | {"folder": small_photos})
    assert command_line.main(["features", "--kinds", "sift", "--true", "4", "--false", "4", "--sweep"]) == 0
    found = [line for line in lines_of(capfd) if line["what"] == "kind"]
    settings = [(each["large_side"], each["max_keypoints"], each["max_distance"]) for each in found]
    assert settings == [(512, 1000, 0.8), (512, 1000, 0.4), (512, 1000, 0.5), (512, 500, 0.8), (640, 1000, 0.8)]
    assert found[3]["mean_keypoints"] <= 500


def test_the_table_has_a_row_a_kind_and_a_column_a_mode():
    def row(*gaps):
        modes = {mode: {"gap": gap} for mode, gap in zip(("classifier", "decision", "fused"), gaps, strict=True)}
        return {"modes": modes, "num_verified": 61}

    assert markdown_table({"sift": row(0.73, 0.42661, 0.79), "delf": row(0.73, 0.5, 0.8)}) == (
        "| local features | GAP, classifier alone | GAP, decision | GAP, fused | verified |\n"
        "|---|---|---|---|---|\n"
        "| `sift` | 0.7300 | 0.4266 | 0.7900 | 61 |\n"
        "| `delf` | 0.7300 | 0.5000 | 0.8000 | 61 |"
    )


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A configuration whose store holds one file."""
    monkeypatch.setattr(kinds, "_CACHE", tmp_path / "cache")
    store = tmp_path / "store"
    (store / "images").mkdir(parents=True)
    (store / "images" / "part.parquet").write_bytes(b"data")
    (store / "toy_world").mkdir()
    (store / "toy_world" / "train.csv").write_bytes(b"world")
    config = tmp_path / "c.yaml"
    config.write_text(f"store: {store}\n")
    return config


@pytest.mark.usefixtures("configured")
def test_a_copied_store_shares_the_data_and_leaves_the_original_as_it_was(tmp_path):
    original = tmp_path / "store"
    with copied_store(original) as store:
        part = store / "images" / "part.parquet"
        assert part.samefile(original / "images" / "part.parquet")
        assert not (store / "toy_world" / "train.csv").samefile(original / "toy_world" / "train.csv")
        part.unlink()
    assert (original / "images" / "part.parquet").read_bytes() == b"data"
    assert not list((tmp_path / "cache").iterdir())
    with copied_store(tmp_path / "nowhere") as store:
        assert not store.exists()


def test_each_kind_is_run_in_one_copy_and_those_that_fail_are_told(configured, monkeypatch, capfd):
    commands = []

    def run(arguments):
        settings = dict(word.split("=", 1) for word in arguments if "=" in word)
        commands.append((arguments[:3], settings["local_features.kind"], settings["verify.min_inliers"]))
        store = kinds.Path(settings["store"])
        assert (store / "images" / "part.parquet").read_bytes() == b"data"
        modes = {"classifier": {"gap": 0.5}, "decision": {"gap": 0.25}, "fused": {"gap": 0.625}}
        (store / "metrics.json").write_text(json.dumps({"modes": modes, "counts": {"verified": 7}}))
        (store / "_runs").mkdir(exist_ok=True)
        (store / "_runs" / "verify_landmarks.json").write_text('{"seconds": 2.5}')
        return int(settings["local_features.kind"] == "broken")

    lines = []
    kinds.measure(
        lambda *names, **values: lines.append((names[1], values)),
        config=configured,
        kinds=["sift", "broken"],
        overrides=["verify.min_inliers=12"],
        run=run,
    )
    command = ["run", "--config", str(configured)]
    assert commands == [(command, "sift", "12"), (command, "broken", "12")]
    assert [what for what, _ in lines] == ["machine", "kind", "left_out"]
    assert lines[1][1]["modes"]["fused"] == {"gap": 0.625}
    assert lines[1][1]["verify_landmarks_seconds"] == 2.5
    assert lines[2][1]["kind"] == "broken"
    assert "| `sift` | 0.5000 | 0.2500 | 0.6250 | 7 |" in capfd.readouterr().err


def test_the_command_line_names_configuration_kinds_and_settings(configured, monkeypatch, capfd):
    seen = []
    monkeypatch.setattr(kinds, "_run", lambda arguments: seen.append(arguments) or 1)
    command = ["kinds", "--config", str(configured), "--kinds", "sift", "--set", "verify.min_inliers=12"]
    assert command_line.main(command) == 1
    assert "local_features.kind=sift" in seen[0]
    assert "verify.min_inliers=12" in seen[0]
    assert [line["what"] for line in lines_of(capfd)] == ["machine", "left_out"]


def test_a_run_without_a_solution_ends_the_benchmark(configured, monkeypatch):
    def run(arguments):
        store = next(word.removeprefix("store=") for word in arguments if word.startswith("store="))
        (kinds.Path(store) / "metrics.json").write_text('{"modes": {}, "counts": {"verified": 0}}')
        return 0

    with pytest.raises(BenchmarkError, match=r"inputs.solution_csv should be given"):
        kinds.measure(lambda *_, **__: None, config=configured, kinds=["sift"], overrides=[], run=run)


def test_when_no_kind_can_be_run_the_benchmark_fails(configured):
    with pytest.raises(BenchmarkError, match="one kind at least should be run"):
        kinds.measure(lambda *_, **__: None, config=configured, kinds=["sift"], overrides=[], run=lambda _: 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["store=s3://bucket/store"], "store should be a folder"), (["verify.nothing=1"], "verify.nothing")],
)
def test_a_configuration_that_cannot_be_copied_is_refused(configured, overrides, message):
    with pytest.raises(BenchmarkError, match=message):
        kinds.measure(lambda *_, **__: None, config=configured, kinds=["sift"], overrides=overrides, run=lambda _: 0)


@pytest.mark.photos
def test_the_real_photos_give_the_pairs_that_are_wanted(photos):
    found = read_photos(photos)
    assert len(found.paths) == 589 + 340
    pairs = draw_pairs(found, num_true=2000, num_false=12_000)
    assert (len(set(pairs.true)), len(set(pairs.false))) == (2000, 12_000)
    assert all(found.paths[one].is_file() for one, _ in pairs.true[:20])
