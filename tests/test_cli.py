import gzip
import json

import pytest

from landmark_spark.cli import main

SOLUTION = "id,landmarks\na,1\nb,2 3\nc,\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "solution.csv").write_text(SOLUTION)
    (tmp_path / "submission.csv").write_text("id,landmarks\na,1 0.5\nb,9 0.9\nc,1 0.1\n")
    return tmp_path


def test_evaluate_prints_one_json_object_and_nothing_else(files, capsys):
    assert main(["evaluate", str(files / "submission.csv"), str(files / "solution.csv")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    # Ranked: b wrong, a right (precision 1/2), c wrong; two images show a landmark: GAP = (1/2) / 2.
    assert json.loads(printed.out) == {"gap": 0.25, "top1": 0.5, "num_predictions": 3, "num_positives": 2}


def test_evaluate_reads_gz(files, capsys):
    path = files / "submission.csv.gz"
    path.write_bytes(gzip.compress((files / "submission.csv").read_bytes()))
    assert main(["evaluate", str(path), str(files / "solution.csv")]) == 0
    assert json.loads(capsys.readouterr().out)["gap"] == 0.25


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        (b"id,landmarks\na,x 0.5\n", "line 2"),
        (b"id,landmarks\na,1\n", "line 2"),
        (b"", "should"),
        (b"id,landmarks\na,1 0.5\na,1 0.5\n", "line 3"),
    ],
)
def test_a_bad_submission_is_a_line_on_standard_error(files, capsys, submission, message):
    (files / "submission.csv").write_bytes(submission)
    assert main(["evaluate", str(files / "submission.csv"), str(files / "solution.csv")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_files_that_are_not_there_or_cut_are_said_so(files, capsys):
    assert main(["evaluate", str(files / "none.csv"), str(files / "solution.csv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: the submission should be a readable csv file. Received: {files / 'none.csv'} (")
    (files / "cut.csv.gz").write_bytes(gzip.compress(SOLUTION.encode())[:-9])
    assert main(["evaluate", str(files / "cut.csv.gz"), str(files / "solution.csv")]) == 2
    assert f"should be a readable csv file. Received: {files / 'cut.csv.gz'} (" in capsys.readouterr().err


def test_a_solution_without_landmarks_is_said_so(files, capsys):
    (files / "solution.csv").write_text("id,landmarks\na,\n")
    assert main(["evaluate", str(files / "submission.csv"), str(files / "solution.csv")]) == 2
    assert "solution should have an image that shows a landmark" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "train.epoch=3"], "Did you mean train.epochs?"),
        (["--only", "nothing"], "a stage should be one of index_images"),
        (["--shard", "9/8"], "--shard i/n should have 1 <= i <= n"),
        (["--config", "none.yaml"], "--config should be a readable YAML file"),
        (["--set", "serve_folder=/nowhere"], "serve_folder should be a folder"),
    ],
)
def test_the_callers_mistakes_are_one_line_and_status_2(tmp_path, capsys, options, message):
    assert main(["run", "--set", f"store={tmp_path}", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_missing_weights_are_found_before_anything_is_downloaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", str(tmp_path / "none"))
    small = ["--set", "toy.num_landmarks=2", "--set", "toy.photos_per_landmark=2", "--set", "toy.num_test=2"]
    assert main(["run", "--set", f"store={tmp_path / 'store'}", *small]) == 1
    printed = capsys.readouterr()
    assert "$LANDMARK_SPARK_WEIGHTS should be a weights file or the folder of one" in printed.err
    assert "index_images" not in printed.out


def test_describe_lists_stages_and_columns(capsys):
    assert main(["describe"]) == 0
    printed = capsys.readouterr().out
    assert (
        "| `verify_landmarks` | `predictions`, `candidates`, `landmarks`, `local_features`, `bottlenecks` "
        "| `verifications` |  |" in printed
    )
    assert "| `num_inliers` | int32 |" in printed
