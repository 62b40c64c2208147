import csv
import hashlib
import json
import re

import cv2
import pytest

from landmark_spark.toy.world import make_world

TINY = {"num_landmarks": 4, "photos_per_landmark": 6, "num_test": 20}
SMALLEST = {"num_landmarks": 2, "photos_per_landmark": 2, "num_test": 2}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds") / "tiny"
    make_world(folder, **TINY)
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def inliers_between(first, second):
    """Count what OpenCV's own matcher and affine RANSAC (2.5 % of the longest side) agree on between two photos."""
    sift, found = cv2.SIFT_create(1000), []
    for path in (first, second):
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        keypoints, descriptors = sift.detectAndCompute(gray, None)
        descriptors /= descriptors.sum(axis=1, keepdims=True)
        found.append((cv2.KeyPoint_convert(keypoints), descriptors**0.5, max(gray.shape)))
    matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(found[0][1], found[1][1])
    near = [match for match in matches if match.distance <= 0.8]
    if len(near) < 4:
        return 0
    ends = [found[0][0][[match.queryIdx for match in near]], found[1][0][[match.trainIdx for match in near]]]
    _, mask = cv2.estimateAffine2D(*ends, method=cv2.RANSAC, ransacReprojThreshold=0.025 * found[1][2])
    return 0 if mask is None else int(mask.sum())


def test_the_csv_files_have_the_challenges_columns_and_the_numbers_asked_for(world):
    expected = {
        "train.csv": (["id", "url", "landmark_id"], 24),
        "test.csv": (["id", "url"], 20),
        "non_landmark.csv": (["id", "url"], 4),
        "landmarks.csv": (["landmark_id", "name"], 4),
        "solution.csv": (["id", "landmarks"], 20),
    }
    for name, (columns, count) in expected.items():
        rows = rows_of(world / name)
        assert (list(rows[0]), len(rows)) == (columns, count), name


def test_ids_are_sixteen_hexadecimal_digits_and_unique_over_all_splits(world):
    ids = [row["id"] for name in ("train", "test", "non_landmark") for row in rows_of(world / f"{name}.csv")]
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    assert len(set(ids)) == 24 + 20 + 4


def test_every_landmark_has_the_training_photos_asked_for_and_a_name(world):
    landmarks = [row["landmark_id"] for row in rows_of(world / "train.csv")]
    named = {row["landmark_id"]: row["name"] for row in rows_of(world / "landmarks.csv")}
    assert {each: landmarks.count(each) for each in named} == dict.fromkeys(named, 6)
    assert len(set(named.values())) == 4 and all(named.values())


def test_half_of_the_test_photos_show_a_landmark_and_one_shows_two(world):
    known = {row["landmark_id"] for row in rows_of(world / "landmarks.csv")}
    answers = [row["landmarks"].split() for row in rows_of(world / "solution.csv")]
    assert sorted(len(answer) for answer in answers) == [0] * 10 + [1] * 9 + [2]
    assert {each for answer in answers for each in answer} <= known
    assert all(len(set(answer)) == len(answer) for answer in answers)


def test_solution_has_the_ids_of_the_test_rows_in_their_order(world):
    assert [row["id"] for row in rows_of(world / "solution.csv")] == [row["id"] for row in rows_of(world / "test.csv")]


def test_two_test_urls_and_one_training_url_lead_nowhere_and_all_others_to_a_photo(world):
    dead = {}
    for name in ("train", "test", "non_landmark"):
        urls = [row["url"] for row in rows_of(world / f"{name}.csv")]
        dead[name] = sum(not (world / url).exists() for url in urls)
    assert dead == {"train": 1, "test": 2, "non_landmark": 0}
    assert len(list((world / "images").iterdir())) == 48 - 3


def test_photos_are_jpegs_of_about_480_pixels_some_of_them_upright(world):
    shapes = [cv2.imread(str(path)).shape for path in (world / "images").iterdir()]
    assert {max(shape) for shape in shapes} <= {480, 500}
    assert {min(shape[:2]) for shape in shapes} <= {320, 360, 375}
    assert any(shape[0] > shape[1] for shape in shapes) and any(shape[0] < shape[1] for shape in shapes)


def test_the_same_arguments_give_the_same_bytes(world, tmp_path):
    make_world(tmp_path / "again", **TINY)
    assert digests(tmp_path / "again") == digests(world)


def test_another_seed_gives_other_photos(tmp_path):
    make_world(tmp_path / "one", **SMALLEST, seed=1)
    make_world(tmp_path / "two", **SMALLEST, seed=2)
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


def test_two_photos_of_a_landmark_match_and_its_look_alike_does_not(world):
    # Landmarks 0 and 1 share a style. 35 inliers are what the pipeline takes for the same landmark.
    ids = [row["landmark_id"] for row in rows_of(world / "landmarks.csv")]
    photos = {each: [] for each in ids}
    for row in rows_of(world / "train.csv"):
        if (world / row["url"]).exists():
            photos[row["landmark_id"]].append(world / row["url"])
    same = [inliers_between(*photos[each][:2]) for each in ids]
    different = [inliers_between(photos[ids[0]][view], photos[ids[1]][view]) for view in range(3)]
    assert min(same) > 35, same
    assert max(different) < 35, different


def test_a_world_with_the_same_arguments_is_left_alone(tmp_path):
    make_world(tmp_path / "world", **SMALLEST)
    (tmp_path / "world" / "train.csv").write_text("changed by hand")
    make_world(tmp_path / "world", **SMALLEST)
    assert (tmp_path / "world" / "train.csv").read_text() == "changed by hand"


def test_a_world_with_other_arguments_is_replaced_whole(tmp_path):
    make_world(tmp_path / "world", **SMALLEST)
    before = digests(tmp_path / "world")
    make_world(tmp_path / "world", **SMALLEST | {"num_test": 3})
    assert len(rows_of(tmp_path / "world" / "test.csv")) == 3
    assert json.loads((tmp_path / "world" / "world.json").read_text())["num_test"] == 3
    make_world(tmp_path / "world", **SMALLEST)
    assert digests(tmp_path / "world") == before
    assert [path.name for path in tmp_path.iterdir()] == ["world"]  # nothing temporary stays


def test_a_run_cut_short_leaves_no_folder_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("landmark_spark.toy.world.photograph", fail)
    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path / "world", **SMALLEST)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_elses_files_is_refused_and_kept(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="folder should be new, empty, or hold a toy world"):
        make_world(tmp_path, **SMALLEST)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_landmarks": 1}, "num_landmarks should be at least 2. Received: 1"),
        ({"photos_per_landmark": 1}, "photos_per_landmark should be at least 2. Received: 1"),
        ({"num_test": 0}, "num_test should be at least 1. Received: 0"),
        ({"landmark_fraction": 1.5}, "landmark_fraction should be within 0 and 1. Received: 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_world(tmp_path / "world", **arguments)
    assert not (tmp_path / "world").exists()
