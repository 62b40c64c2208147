import json

import pytest
from landmark_store import NUM_SHARDS, make_store, write_table

from landmark_spark.calibrating import calibrate
from landmark_spark.calibration_pairs import Sampling, choose_references
from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.schemas import CANDIDATES, LOCAL_FEATURES, PREDICTIONS
from landmark_spark.settings import ConfigError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("calibrate") / "store")


def settings(store, *more):
    return [f"store={store.url}", f"index.num_shards={NUM_SHARDS}", *more]


def options(store, *more):
    return [word for each in settings(store, *more) for word in ("--set", each)]


@pytest.fixture(scope="module")
def found(store):
    sampling = Sampling(num_pairs=20, num_images=15, num_landmarks=9, rates=(0.1, 0.01))
    return calibrate(load_config(None, settings(store)), sampling, lambda _: None)


def test_what_is_counted(found):
    assert (found.kind, found.num_landmarks, found.num_references) == ("sift", 3, 12)
    assert found.mean_comparisons == 4  # an image of another landmark meets all four references
    assert found.verify["min_inliers"] == 35
    sizes = {name: getattr(found.thresholds[0], name).num_trials for name in ("other_pairs", "random_pairs")}
    assert sizes == {"other_pairs": 20, "random_pairs": 20}
    assert found.thresholds[0].other_images.num_trials == 15  # of 12 x 2
    assert found.thresholds[0].same_pairs.num_trials == 18  # 3 x (4 choose 2)
    assert found.thresholds[0].same_images.num_trials == 12


def test_shifted_copies_are_accepted_and_other_pictures_are_not(found):
    by_threshold = {each.min_inliers: each for each in found.thresholds}
    assert list(by_threshold) == list(range(3, max(by_threshold) + 1))
    assert by_threshold[35].same_pairs.share == by_threshold[35].same_images.share == 1.0
    assert by_threshold[35].other_pairs.share == by_threshold[35].other_images.share == 0.0
    assert by_threshold[35].random_pairs.share == 0.0
    last = by_threshold[max(by_threshold)]
    assert last.other_images.num_accepted == last.random_pairs.num_accepted == 0


def test_the_threshold_for_a_rate_is_the_smallest_that_keeps_it(found):
    by_threshold = {each.min_inliers: each for each in found.thresholds}
    loose, strict = found.choices
    assert (loose.rate, strict.rate) == (0.1, 0.01)
    for choice in found.choices:
        assert by_threshold[choice.measured].other_images.share <= choice.rate
        if choice.measured > 3:
            assert by_threshold[choice.measured - 1].other_images.share > choice.rate
    assert loose.shown is None  # none of 15 may be up to 21.8 %
    assert (loose.images_needed, strict.images_needed) == (36, 368)


def test_suspects_are_the_false_pairs_with_the_most_inliers(found):
    counts = [each.num_inliers for each in found.suspects]
    assert counts == sorted(counts, reverse=True)
    assert all(each.landmark_id != each.reference_landmark_id for each in found.suspects)
    assert len({frozenset((each.image_id, each.reference_id)) for each in found.suspects}) == len(counts) == 5


def test_references_beyond_those_that_are_compared_do_not_count(store):
    config = load_config(None, settings(store, "verify.max_comparisons=2"))
    found = calibrate(config, Sampling(num_pairs=5, num_images=5, num_landmarks=2), lambda _: None)
    assert (found.num_landmarks, found.num_references, found.mean_comparisons) == (2, 4, 2)


def test_landmarks_of_which_some_images_alone_play_test_images_do_not_count(tmp_path):
    store = make_store(tmp_path, num_landmarks=4, num_references=2)
    config = load_config(None, settings(store, "verify.candidates=2"))
    assert sorted(choose_references(store, config, Sampling())) == [0, 1, 2, 3]
    columns = {"class_index": 0, "score": 0.5}
    predicted = [{"id": "t0", "rank": rank, "landmark_id": rank} | columns for rank in range(3)]
    write_table(store.url, PREDICTIONS, predicted)  # 2 is not verified
    evidence = dict.fromkeys(EVIDENCE[:-1], 0.0)
    candidate = {
        "id": "r2_1",
        "split": "train",
        "true_landmark_id": 2,
        "fold": 0,
        "rank": 0,
        "landmark_id": 3,
        "class_index": 3,
    }
    write_table(store.url, CANDIDATES, [candidate | evidence])
    groups = choose_references(store, config, Sampling())
    assert groups == {0: ["r0_0", "r0_1"], 1: ["r1_0", "r1_1"], 3: ["r3_0", "r3_1"]}


def test_the_command_prints_a_table_and_the_same_numbers_every_time(store, capsys):
    command = ["calibrate", *options(store), "--pairs", "10", "--images", "10", "--rates", "0.2"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "sift: 12 references of 3 landmarks" in printed
    assert "35 (set)     0.00% (0.00% to 30.85%)" in printed  # none of 10
    assert "at most 0.2 of images falsely accepted: verify.min_inliers=" in printed
    assert main(command) == 0
    assert capsys.readouterr().out == printed


def test_the_command_prints_json_alone(store, capsys):
    assert main(["calibrate", *options(store), "--pairs", "5", "--images", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["thresholds"][0]["min_inliers"] == 3
    assert printed["thresholds"][0]["same_pairs"]["num_trials"] == 5
    assert [each["rate"] for each in printed["choices"]] == [0.01, 0.001]


def test_without_features_it_says_what_makes_them(tmp_path, capsys):
    assert main(["calibrate", "--set", f"store={tmp_path}"]) == 1
    printed = capsys.readouterr()
    assert "calibrate should have local_features. Received: none" in printed.err
    assert "landmark-spark run --to extract_local_features" in printed.err
    assert printed.out == ""


def test_features_of_one_landmark_are_too_few(tmp_path, capsys):
    store = make_store(tmp_path, num_landmarks=1, num_references=2)
    assert main(["calibrate", *options(store)]) == 1
    assert "references of two landmarks, and two of one of them. Received: 2 of landmark 0" in capsys.readouterr().err


def test_a_store_without_references_is_said_so(tmp_path, capsys):
    write_table(str(tmp_path), LOCAL_FEATURES, [])
    store = make_store(tmp_path, num_landmarks=1, num_references=0)
    assert main(["calibrate", *options(store)]) == 1
    assert "Received: none" in capsys.readouterr().err


def test_another_number_of_shards_is_said_so(store, capsys):
    assert main(["calibrate", *options(store, "index.num_shards=2")]) == 1
    assert "should have shards by index.num_shards = 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--pairs", "0"], "--pairs should be at least 1. Received: 0"),
        (["--landmarks", "1"], "--landmarks should be at least 2. Received: 1"),
        (["--rates", "0.1,1"], "--rates should be above 0 and below 1"),
    ],
)
def test_the_callers_mistakes_are_one_line_and_status_2(store, capsys, more, message):
    assert main(["calibrate", *options(store), *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_rates_that_are_no_numbers_are_refused(store, capsys):
    with pytest.raises(SystemExit) as refused:
        main(["calibrate", *options(store), "--rates", "few"])
    assert refused.value.code == 2
    assert "should be numbers with commas between" in capsys.readouterr().err


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ConfigError, match="--seed should be at least 0"):
        Sampling(seed=-1)
