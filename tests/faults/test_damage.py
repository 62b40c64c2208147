"""Files that are not what was committed: the same command makes them anew, and nothing else."""

import pytest

from landmark_spark.cli import main
from landmark_spark.pipeline import STAGES

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]


def file_of(run, output, shard):
    (file,) = run.files()[output, shard]
    return run.store / file.path


def model_file(run):
    (file,) = [each for each in run.files()["top_model", -1] if each.path.endswith("/model.keras")]
    return run.store / file.path


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def commit_of(run, output, shard):
    return run.store / "_commits" / output / f"shard={shard}.json"


def lines_of(printed):
    """Return the line of the table at the end for each stage that had something to do: its shards, and why."""
    heads, *table = ("stage  " + printed.partition("\nstage  ")[2].partition("\n\n")[0]).splitlines()
    assert len(table) == len(STAGES)
    shards, why = heads.index("shards"), heads.index("why")
    return {line.split()[0]: (int(line[shards:].split()[0]), line[why:]) for line in table if line.split()[1] == "run"}


def test_what_a_look_at_names_and_lengths_shows(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    before = run.files()
    cut(file_of(run, "bottlenecks", 0))
    cut(model_file(run))
    file_of(run, "predictions", 2).unlink()  # a marker without data
    commit_of(run, "local_features", 0).unlink()  # data without a marker
    commit_of(run, "verifications", 1).write_bytes(b"\0\1 no commit")
    status, printed = run.finish()
    assert status == 0, printed
    made = lines_of(printed)
    assert made["extract_bottlenecks"][0] == 1 and "bytes and has" in made["extract_bottlenecks"][1]
    assert "bytes and has" in made["train_top_model"][1]
    assert made["predict_landmarks"] == (1, f"{before['predictions', 2][0].path} is missing (shards 2)")
    assert made["extract_local_features"] == (1, "local_features not made yet (shards 0)")
    assert made["verify_landmarks"] == (1, "verifications not made yet (shards 1)")
    redone = {"extract_bottlenecks", "train_top_model", "predict_landmarks", "extract_local_features"}
    assert made.keys() == redone | {"verify_landmarks"}
    assert "_commits/verifications/shard=1.json counts as not there: a commit should be the JSON" in printed
    run.assert_same_submission(undisturbed)


def test_a_flipped_bit_is_found_before_it_is_read(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    flip(file_of(run, "images", 1))
    flip(model_file(run))
    commit_of(run, "predictions", 1).unlink()  # so that something reads them
    status, printed = run.finish()
    assert status == 0, printed
    assert "warning: predict_landmarks should read what was committed. Received: images/shard=1/part-" in printed
    made = lines_of(printed)
    assert made["download_images"][0] == 1 and "has other bytes than were committed" in made["download_images"][1]
    assert "model.keras has other bytes than were committed" in made["train_top_model"][1]
    assert made.keys() == {"download_images", "train_top_model", "predict_landmarks"}  # nothing else had to be
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []


def test_a_flipped_bit_in_every_file_at_once_is_found_in_each(undisturbed, tmp_path, capsys):
    run = undisturbed.copy_to(tmp_path)
    for each in run.files().values():
        for file in each:
            flip(run.store / file.path)
    (run.store / "_commits" / "report" / "whole.json").unlink()  # so that something is read at all
    status, printed = run.finish()
    assert status == 0, printed
    assert lines_of(printed).keys() == {stage.name for stage in STAGES}
    assert run.digests() == undisturbed.digests()
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []
    assert main(["verify-store", *run.arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "0 faults" in shown and "the next run has nothing to do" in shown


def test_a_flipped_bit_in_rows_that_would_be_kept_is_found_too(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    flip(file_of(run, "local_features", 1))
    status, printed = run.finish("--only", "extract_local_features", "--force")
    assert status == 0, printed
    assert run.files()["local_features", 1][0].sha256 == undisturbed.files()["local_features", 1][0].sha256
