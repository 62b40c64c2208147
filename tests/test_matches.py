import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from landmark_store import NUM_SHARDS, make_store, scene, write_table
from PIL import Image

from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.match_pictures import draw_best_match
from landmark_spark.report.pictures import LINE_COLORS
from landmark_spark.row_lookup import look_up
from landmark_spark.schemas import IMAGES, LOCAL_FEATURES, PREDICTIONS, VERIFICATIONS
from landmark_spark.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("matches") / "store")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Run in a folder of the test's own, where pictures go."""
    monkeypatch.chdir(tmp_path)


def options(store, *more):
    chosen = [f"store={store.url}", f"index.num_shards={NUM_SHARDS}", *more]
    return [word for each in chosen for word in ("--set", each)]


def drawn(store, *arguments, **options):
    config = load_config(None, [f"store={store.url}", f"index.num_shards={NUM_SHARDS}"])
    return draw_best_match(config, *arguments, **options)


def test_the_reference_that_verification_found_is_drawn_with_its_numbers(store):
    found = drawn(store, "t1")
    assert (found.landmark_id, found.reference_id) == (1, "r1_1")
    assert 35 < found.num_inliers <= found.num_matches
    assert found.caption == (
        "test t1   reference r1_1   landmark 1 (Tower 1)",
        f"{found.num_inliers} inliers of {found.num_matches} matches: verified (more than 35 are wanted)   "
        "confidence 0.750   2 of 4 references compared",
    )


def test_the_test_image_is_left_the_reference_right_and_inliers_are_joined(store):
    picture = drawn(store, "t1").picture.astype(int)
    left, right = picture[:480, :640], picture[:480, 648:]
    for part, image in ((left, scene(1, 40)), (right, scene(1, 12))):
        large = np.asarray(Image.fromarray(image).resize((640, 480), Image.Resampling.BICUBIC)).astype(int)
        assert np.median(np.abs(part - large)) < 12  # lines and dots cover the lesser part
    gap = picture[:480, 641:647]
    yellow = np.abs(gap - np.array(LINE_COLORS[0])).max(axis=2) < 60
    assert yellow.any()
    assert picture.shape[0] > 480  # the caption
    assert picture[482:].max() > 200


def test_another_landmark_is_compared_with_all_its_references(store):
    found = drawn(store, "t1", landmark_id=2)
    assert found.landmark_id == 2
    assert found.reference_id.startswith("r2_")
    assert found.num_inliers < 20
    assert "not verified (more than 35 are wanted)   confidence 0.250" in found.caption[1]
    assert "not among the landmarks predicted" in drawn(store, "t1", landmark_id=0).caption[1]


def test_a_landmark_asked_for_that_was_verified_has_its_best_reference(store):
    assert drawn(store, "t0", landmark_id=0).reference_id == "r0_1"


def test_a_verification_without_an_inlier_shows_the_reference_with_most_matches(tmp_path):
    store = make_store(tmp_path)
    row = {"landmark_id": 2, "num_inliers": 0, "num_comparisons": 4, "num_references": 4, "is_verified": False}
    write_table(store.url, VERIFICATIONS, [row | {"id": "t1", "best_reference_id": None}])
    found = drawn(store, "t1")
    assert (found.landmark_id, found.reference_id[:3]) == (2, "r2_")
    assert "4 of 4 references compared" in found.caption[1]


def test_of_several_verifications_that_of_the_best_prediction_is_shown(tmp_path):
    store = make_store(tmp_path)
    row = {"id": "t1", "num_inliers": 9, "num_comparisons": 4, "num_references": 4, "is_verified": False}
    write_table(
        store.url,
        VERIFICATIONS,
        [row | {"landmark_id": landmark, "best_reference_id": f"r{landmark}_0"} for landmark in (0, 1, 2)],
    )
    assert drawn(store, "t1").reference_id == "r1_0"


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG")])
def test_the_command_writes_a_picture_of_the_kind_its_name_says(store, tmp_path, capsys, name, kind):
    assert main(["matches", "t2", *options(store), "--output", str(tmp_path / name)]) == 0
    picture = Image.open(io.BytesIO((tmp_path / name).read_bytes()))
    assert (picture.format, picture.width) == (kind, 640 + 8 + 640)
    printed = capsys.readouterr().out
    assert "test t2   reference r2_1   landmark 2 (Tower 2)" in printed
    assert f"picture: {tmp_path / name}" in printed


@pytest.mark.usefixtures("elsewhere")
def test_without_a_name_the_picture_is_named_after_the_image(store, tmp_path):
    assert main(["matches", "t0", *options(store)]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["t0_matches.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nobody"], 2, "TEST_ID should be the id of a test image. Received: nobody: no such image in the store"),
        (["r1_0"], 2, "TEST_ID should be the id of a test image. Received: r1_0: train image"),
        (["gone"], 1, "gone should have been downloaded. Received: http_404"),
        (["t1", "--landmark", "77"], 2, "landmark 77 should have references with features"),
        (["t1", "--output", "a.gif"], 2, "--output should end with .png, .jpg or .jpeg. Received: a.gif"),
        (
            ["t1", "--output", "/nowhere/a.png"],
            2,
            "--output should lie in a folder that is there. Received: /nowhere/a.png",
        ),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_what_cannot_be_drawn_is_one_line(store, tmp_path, capsys, arguments, status, message):
    assert main(["matches", *arguments, *options(store)]) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "stage"),
    [(IMAGES, "download_images"), (VERIFICATIONS, "verify_landmarks"), (LOCAL_FEATURES, "extract_local_features")],
)
def test_what_is_not_made_yet_is_said_with_what_makes_it(tmp_path, capsys, table, stage):
    store = make_store(tmp_path)
    for commit in store.commits(table).values():
        store.forget_commit(commit)
    assert main(["matches", "t1", *options(store), "--output", str(tmp_path / "a.png")]) == 1
    message = f"matches should have {table.name}. Received: none in {store.url}: make them by landmark-spark run --to"
    assert f"{message} {stage}" in capsys.readouterr().err


def test_an_image_that_was_not_verified_is_said_so(tmp_path, capsys):
    store = make_store(tmp_path)
    write_table(store.url, VERIFICATIONS, [])
    assert main(["matches", "t1", *options(store)]) == 1
    assert "t1 should have a verification. Received: none" in capsys.readouterr().err


def test_rows_are_looked_up_in_any_row_group(tmp_path):
    rows = [
        {"id": f"i{number:04}", "rank": rank, "landmark_id": number, "class_index": 0, "score": 0.5}
        for number in range(2000)
        for rank in (0, 1)
    ]
    write_table(str(tmp_path), PREDICTIONS, rows)  # 1,333 rows a shard: three groups of at most 512
    store = Store(str(tmp_path))
    ids = ["i0000", "i0999", "i1999", "absent"]
    found = look_up(store, PREDICTIONS, ids, columns=["rank", "landmark_id"], num_shards=NUM_SHARDS)
    assert sorted(found) == ["i0000", "i0999", "i1999"]
    assert [(row.rank, row.landmark_id) for row in found["i0999"]] == [(0, 999), (1, 999)]
    assert look_up(store, PREDICTIONS, [], columns=["rank"], num_shards=NUM_SHARDS) == {}


def test_a_file_that_is_no_whole_parquet_file_is_one_line_that_says_what_mends_it(tmp_path, capsys):
    store = make_store(tmp_path / "store")
    for name in store.files(LOCAL_FEATURES, range(NUM_SHARDS)):
        path = tmp_path / "store" / name
        path.write_bytes(path.read_bytes()[:1000])
    assert main(["matches", "t1", *options(store, f"store={tmp_path / 'store'}")]) == 1
    assert "the store should have whole Parquet files. Received:" in capsys.readouterr().err


def test_a_table_of_large_rows_has_small_row_groups_of_which_few_are_read(tmp_path, monkeypatch):
    store = make_store(tmp_path, num_references=20)  # 63 rows, in groups of 8
    files = [pq.ParquetFile(store.path(name)) for name in store.files(LOCAL_FEATURES)]
    sizes = [[each.metadata.row_group(group).num_rows for group in range(each.num_row_groups)] for each in files]
    assert sum(map(sum, sizes)) == 63
    assert all(set(each[:-1]) == {8} and each[-1] <= 8 for each in sizes)
    read = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, **more: read.append(group) or whole(self, group, **more)
    )
    found = look_up(store, LOCAL_FEATURES, ["r1_3", "absent"], columns=["width"], num_shards=NUM_SHARDS)
    assert [row.width for row in found["r1_3"]] == [320]
    assert len(read) == 1
