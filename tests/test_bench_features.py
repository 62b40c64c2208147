"""The comparisons of local features: their arithmetic and their lines. Which kind is best is no test's business."""

import json

import numpy as np
import pytest
from landmark_store import scene
from PIL import Image

from landmark_spark.core.local_features import LocalFeatures
from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks import features, kinds, own_delf
from scripts.benchmarks.feature_pairs import Photos, draw_pairs, halves_of, read_photos
from scripts.benchmarks.features import TRAINED, Sizes, accepted_at
from scripts.benchmarks.kinds import copied_store, markdown_table
from scripts.benchmarks.landmark_bootstrap import bootstrap_difference, bootstrap_share
from scripts.benchmarks.own_delf import HalfModels, training_photos
from scripts.benchmarks.report_lines import BenchmarkError

NUM_LANDMARKS = 4


@pytest.fixture(scope="module")
def small_photos(tmp_path_factory):
    """Four landmarks, four moved pictures of each; two pictures of nothing."""
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
    at = accepted_at(true, false, 0.015, groups=[1, 1, 2, 2])  # one landmark's pairs all, the other's none
    assert (at["share"], at["landmarks_low"], at["landmarks_high"]) == (0.5, 0.0, 1.0)


def test_the_interval_over_landmarks_is_that_of_a_bootstrap_of_the_landmarks():
    from scipy import stats

    random = np.random.default_rng(3)
    by_landmark = random.random((20, 10)) < random.random((20, 1))  # pairs of a landmark are alike
    groups = np.repeat(np.arange(20), 10)
    low, high = bootstrap_share(by_landmark.ravel(), groups)
    means = (by_landmark.mean(1),)  # of as many pairs each: their mean is the share
    expected = stats.bootstrap(means, np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.015)
    alone = bootstrap_share(by_landmark.ravel(), range(200))
    assert high - low > 1.5 * (alone[1] - alone[0])
    # The landmark of more pairs counts for more: of 2 drawn from {3 of 3, 0 of 1} the shares are 1, 3/4 and 0.
    assert bootstrap_share([True] * 3 + [False], [5, 5, 5, 9]) == (0.0, 1.0)
    assert bootstrap_share([True] * 4, [1, 1, 2, 3]) == (1.0, 1.0)


def test_a_difference_on_the_same_pairs_has_a_narrower_interval_than_its_sides():
    groups = np.repeat(np.arange(10), 4)
    theirs = np.arange(40) < 20  # five landmarks wholly, five not at all
    ours = theirs | (np.arange(40) % 4 == 0)  # and one pair more of each of those
    low, high = bootstrap_difference(ours, theirs, groups)
    assert 0.0 <= low < 0.125 < high <= 0.25
    assert bootstrap_difference(ours, ours, groups) == (0.0, 0.0)
    with pytest.raises(ValueError, match="groups should be one a pair"):
        bootstrap_difference(ours, theirs, groups[:-1])


def test_no_false_pair_lies_across_the_halves_of_the_landmarks():
    landmarks = {f"{k}-{n}": k for k in range(9) for n in range(3)} | {f"none{n}": -1 for n in range(4)}
    halves = halves_of(landmarks.values())
    assert sorted(halves) == list(range(9))
    assert sum(halves.values()) == 5
    pairs = draw_pairs(Photos({}, landmarks), num_true=50, num_false=80)
    of_two = [pair for pair in pairs.false if -1 not in (landmarks[pair[0]], landmarks[pair[1]])]
    assert len(of_two) == len({frozenset(pair) for pair in of_two}) == 40
    assert {halves[landmarks[one]] - halves[landmarks[other]] for one, other in of_two} == {0}
    assert {halves[landmarks[other]] for _, other in of_two} == {0, 1}
    used = pairs.photos(landmarks)
    assert all(half == halves[landmarks[name]] for name, half in used if landmarks[name] != -1)
    assert {half for name, half in used if landmarks[name] == -1} == {0, 1}


def test_a_model_is_trained_on_the_landmarks_of_the_other_half_alone():
    landmarks = {f"{k}-{n:02}": k for k in range(6) for n in range(25)} | {"none": -1}
    halves = halves_of(landmarks.values())
    for half in (0, 1):
        kept = training_photos(Photos({}, landmarks), half)
        assert {halves[landmarks[name]] for name in kept.labels} == {1 - half}
        assert len(kept.labels) == 3 * 20  # as many of each as a run keeps larger copies of
        assert sorted(set(kept.labels.values())) == [0, 1, 2]
        assert all(len({kept.labels[each] for each in kept.labels if landmarks[each] == k}) <= 1 for k in range(6))
        assert len(kept.held_out) == 6  # a tenth of the 57 that are no landmark's first
        assert kept.held_out < set(kept.labels)


def test_both_photos_of_a_pair_have_their_features_from_the_model_of_its_half(small_photos, monkeypatch):
    found, seen = read_photos(small_photos), []
    halves = halves_of(found.landmarks.values())

    def extractor_of(variant, half, own):
        nothing = np.zeros((0, 2), np.float32), np.zeros((0, 8), np.float16)
        return lambda images: [LocalFeatures(*nothing, half + 1, 1) for _ in images]  # the width says which model

    def match_pair(one, other, *, settings):
        seen.append((one.width - 1, other.width - 1))
        return None, None, np.zeros(0, bool)

    monkeypatch.setattr(features, "extractor_of", extractor_of)
    monkeypatch.setattr(features, "match_pair", match_pair)
    pairs = draw_pairs(found, num_true=18, num_false=40)
    lines = []
    sizes = Sizes(18, 40)
    features.measure(
        lambda *names, **values: lines.append(names[1]),
        kinds=[TRAINED],
        sizes=sizes,
        sweep=False,
        quick=True,
        folder=small_photos,
    )
    expected = [halves[found.landmarks[other]] for _, other in (*pairs.true, *pairs.false)]
    assert seen == [(half, half) for half in expected]
    assert set(expected) == {0, 1}


def test_our_own_delf_is_trained_on_each_half_and_judged_with_the_others(small_photos, capfd):
    lines = []
    features.measure(
        lambda *names, **values: lines.append((names[1], values)),
        kinds=["sift", TRAINED],
        sizes=Sizes(18, 20),
        sweep=False,
        quick=True,
        folder=small_photos,
    )
    what = [each for each, _ in lines]
    assert what == ["machine", "pairs", "kind", "trained", "trained", "kind", "difference", "difference"]
    assert [(lines[k][1]["judges_half"], lines[k][1]["num_landmarks"]) for k in (3, 4)] == [(0, 2), (1, 2)]
    assert lines[5][1]["mean_keypoints"] > 10
    table = capfd.readouterr().err
    assert "| `sift` | 100.0 % (100.0 % to 100.0 %)" in table
    assert f"| `{TRAINED}` | " in table


def test_without_weights_our_own_delf_is_not_judged(small_photos, monkeypatch, tmp_path):
    monkeypatch.setattr(own_delf, "find_weights", lambda: None)
    with pytest.raises(BenchmarkError, match="weights should be on this machine"):
        HalfModels(read_photos(small_photos), tmp_path, lambda *_: b"", lambda *_, **__: None, quick=False)


def test_a_half_of_one_landmark_teaches_nothing(small_photos, tmp_path):
    found = read_photos(small_photos)
    three = Photos(found.paths, {name: landmark for name, landmark in found.landmarks.items() if landmark < 3})
    models = HalfModels(three, tmp_path, lambda *_: b"", lambda *_, **__: None, quick=True)
    with pytest.raises(BenchmarkError, match="each half should have two landmarks to train on. Received: 1"):
        models.extractor(1, large_side=64, max_keypoints=10)


def test_as_many_photos_are_used_as_are_wanted(small_photos):
    few = read_photos(small_photos, per_landmark=2, of_none=1)
    assert sorted(few.landmarks.values()) == [-1, 0, 0, 1, 1, 2, 2, 3, 3]
    assert few.paths.keys() == few.landmarks.keys()
    assert few.landmarks.items() < read_photos(small_photos).landmarks.items()


def test_pairs_are_of_one_landmark_or_of_two_or_of_none_and_one(small_photos):
    found = read_photos(small_photos)
    pairs = draw_pairs(found, num_true=99, num_false=30)
    shows = found.landmarks
    assert len(pairs.true) == NUM_LANDMARKS * 6
    assert all(shows[one] == shows[other] != -1 for one, other in pairs.true)
    assert [shows[one] == -1 for one, _ in pairs.false] == [False] * 15 + [True] * 15
    assert all(shows[other] not in (-1, shows[one]) for one, other in pairs.false)
    assert draw_pairs(found, num_true=99, num_false=30) == pairs


def test_photos_that_are_not_there_end_the_benchmark(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(features.measure, "__kwdefaults__", features.measure.__kwdefaults__ | {"folder": tmp_path})
    assert command_line.main(["features", "--quick", "--kinds", "sift"]) == 1
    assert "the real photos should be in" in capfd.readouterr().err


def test_every_kind_sees_the_same_pairs_and_is_compared_with_the_first(small_photos, monkeypatch, capfd):
    seen = {"sift": [], "blind": []}
    found = features.extractor_of

    def extractor_of(variant, half, own):
        if variant.kind == "sift":
            return found(variant, half, own)
        nothing = np.zeros((0, 2), np.float32), np.zeros((0, 40), np.float16)
        return lambda images: [seen["blind"].append(1) or LocalFeatures(*nothing, 9, 9) for _ in images]

    monkeypatch.setattr(features, "extractor_of", extractor_of)
    lines = []
    features.measure(
        lambda *names, **values: lines.append((names[1], values)),
        kinds=["sift", "blind"],
        sizes=Sizes(18, 20),
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
    assert len(seen["blind"]) == 18  # none twice, though those of none are in both halves
    assert first == {
        "kind": "blind",
        "to": "sift",
        "rate": 0.01,
        "both": 0,
        "only_this": 0,
        "only_the_other": 18,
        "neither": 0,
        "difference": -1.0,
        "low": -1.0,
        "high": -1.0,
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


def test_kinds_that_need_no_file_of_others_are_compared_unless_others_are_named(monkeypatch):
    seen = []
    monkeypatch.setattr(kinds, "measure", lambda write, *, kinds, **_: seen.append(list(kinds)))
    monkeypatch.setattr(features, "measure", lambda write, *, kinds, **_: seen.append(list(kinds)))
    assert command_line.main(["kinds", "--config", "c.yaml"]) == 0
    assert command_line.main(["kinds", "--config", "c.yaml", "--kinds", "delf", "delf_vgg16"]) == 0
    assert command_line.main(["features"]) == 0
    assert seen == [["sift", "delf_vgg16"], ["delf", "delf_vgg16"], ["sift", "delf_vgg16"]]


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
