"""What gc lists and removes, and what it leaves alone."""

import dataclasses
import json
import os
import shutil
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from chain_store import NUM_SHARDS, chain_config, make_chain, put_artifact
from fsspec.implementations.memory import MemoryFileSystem

from landmark_spark import garbage_collection
from landmark_spark.claims import ALL, EVERYTHING, Claim
from landmark_spark.cli import main
from landmark_spark.commits import FORMAT, WHOLE, Commit, Mark, NewerFormatError, Note, Stamp, StoreError
from landmark_spark.garbage_collection import list_unneeded, remove_unneeded
from landmark_spark.processes import this_process
from landmark_spark.run_lock import Asking, LockedError, held_lock
from landmark_spark.schemas import IMAGES, PREDICTIONS, RECORDS, REPORT, TOP_MODEL
from landmark_spark.stages import fine_tune, train_delf, train_top_model
from landmark_spark.stages.context import Context
from landmark_spark.store import Store
from landmark_spark.store_entries import modified_of
from landmark_spark.store_verification import verify_store
from landmark_spark.unneeded import find_unneeded


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def listed(folder, *overrides, min_age=0.0):
    return list_unneeded(chain_config(folder, *overrides), min_age=min_age)


def paths(found):
    return [each.entry.path for each in found]


def collect(folder, *overrides, min_age=0.0):
    config = chain_config(folder, *overrides)
    return remove_unneeded(config, list_unneeded(config, min_age=min_age), lambda _: None)


def plant(folder, *names, size=10):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(size))
    return sorted(names)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_store_has_nothing_to_remove(folder):
    make_chain(folder)
    found = listed(folder)
    assert (found.removable, found.young, found.notes) == ((), (), ())


def test_what_killed_writers_left_goes_and_all_else_stays(folder):
    put_artifact(make_chain(folder), REPORT, "/", {"index.html": b"<!"})
    mine = plant(
        folder, "notes.txt", "extra/data.parquet", "toy_world/images/1.jpg", "train.csv", "_other/x", ".hidden/x"
    )
    before = files(folder)
    planted = plant(
        folder,
        "images/shard=0/part-orphan.parquet",
        "images/shard=7/_writing-part-x.parquet-1",
        "landmarks/part-orphan.parquet",
        "top_model/0123/logs/events.out.tfevents.history",
        "report/matches/old.jpg",
        "_writing-submission.csv-1",
        "_commits/images/_writing-shard=0.json-1",
        "_progress/images/_writing-shard=0.json-1",
        "_marks/images/_writing-shard=0.json-1",
        "_runs/_writing-fine_tune.json-1",
        "_locks/_writing-1.json-1",
        "_checkpoints/fine_tune/1/_writing-kept.npz-1",
        "_messages/fine_tune/1.json",
        "_set_aside/now/_commits/images/shard=0.json",
        ".toy_world.abc/new/train.csv",
    )
    assert paths(listed(folder).removable) == planted
    assert sum(each.entry.num_bytes for each in listed(folder).removable) == 10 * len(planted)
    assert paths(collect(folder)) == planted
    assert files(folder) == before
    assert set(mine) <= set(before)
    assert not (folder / "images" / "shard=7").exists()
    assert not (folder / ".toy_world.abc").exists()
    assert listed(folder).removable == ()
    assert verify_store(chain_config(folder), lambda _: None).faults == ()


def test_books_of_what_is_not_there_go(folder):
    store = make_chain(folder)
    (folder / "_commits" / "images" / "shard=0.json").unlink()
    store.mark(Mark("images", 0, "x"))
    store.mark(Mark("images", 1, "x"))  # of a shard that is there
    store.leave_note(Note("records", 2, 0, {}, started="then"))
    plant(folder, "_marks/images/shard=2.json", "_runs/no_such_stage.json", "_runs/fine_tune.json")
    found = {each.entry.path: each.why for each in listed(folder).removable}
    (data,) = [path for path in found if path.startswith("images/shard=0/part-")]
    assert found == {
        data: "named by no commit",
        "_marks/images/shard=0.json": "the mark of a shard that is not there",
        "_marks/images/shard=2.json": "a mark that cannot be read",
        "_progress/records/shard=2.json": "the note of a task that has ended",
        "_runs/no_such_stage.json": "the record of no stage of this release",
    }
    assert len(collect(folder)) == 5
    assert set(store.marks(IMAGES)) == {1}


def test_the_files_of_a_commit_that_cannot_be_read_stay_until_it_is_set_aside(folder):
    make_chain(folder)
    (folder / "_commits" / "images" / "shard=0.json").write_text("{")
    assert listed(folder).removable == ()
    verify_store(chain_config(folder), lambda _: None, repair=True)
    found = paths(listed(folder).removable)
    assert [each.partition("/")[0] for each in found] == ["_set_aside", "images"]


def test_results_stay_though_their_commits_are_gone(folder):
    make_chain(folder)
    plant(folder, "report/index.html")  # without a commit
    unfinished = plant(folder, "report/_writing-index.html-1")
    for name in ("submission", "metrics"):
        (folder / "_commits" / name / "whole.json").unlink()
    assert paths(listed(folder).removable) == unfinished


def test_what_is_young_by_the_stores_clock_is_left_and_said(folder):
    make_chain(folder)
    plant(folder, "images/shard=0/part-young.parquet", "images/shard=0/part-old.parquet")
    hours_ago = time.time() - 4000
    os.utime(folder / "images/shard=0/part-old.parquet", (hours_ago, hours_ago))
    found = listed(folder, min_age=3600.0)
    assert paths(found.removable) == ["images/shard=0/part-old.parquet"]
    assert paths(found.young) == ["images/shard=0/part-young.parquet"]


def test_the_age_counts_by_the_clock_that_dates_the_files(folder, monkeypatch):
    """A file server whose clock is two hours behind: what it has just written looks two hours old to this machine."""
    make_chain(folder)
    plant(folder, "images/shard=0/part-new.parquet")
    server_time = time.time() - 7200
    os.utime(folder / "images/shard=0/part-new.parquet", (server_time, server_time))
    monkeypatch.setattr(garbage_collection, "modified_of", lambda info: modified_of(info) - 7200)
    found = listed(folder, min_age=3600.0)
    assert (paths(found.removable), paths(found.young)) == ([], ["images/shard=0/part-new.parquet"])


def test_a_half_drawn_toy_world_is_as_young_as_its_newest_file(folder):
    make_chain(folder)
    plant(folder, ".toy_world.x/new/images/1.jpg", ".toy_world.x/new/images/2.jpg")
    os.utime(folder / ".toy_world.x/new/images/1.jpg", (0, 0))
    found = listed(folder, min_age=3600.0)
    assert (len(found.removable), len(found.young)) == (0, 2)


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        ({"created": 5.0, "mtime": 7.5}, 7.5),
        ({"LastModified": datetime(1970, 1, 1, 0, 1, tzinfo=UTC)}, 60.0),
        ({"created": datetime(1970, 1, 1, 0, 2)}, 120.0),
        ({"updated": "1970-01-01T00:00:03Z"}, 3.0),
        ({"updated": "yesterday"}, None),
        ({"size": 1}, None),
    ],
)
def test_each_kind_of_file_system_says_in_its_way_when_a_file_was_written(info, seconds):
    assert modified_of(info) == seconds


def test_names_that_others_gave_to_files_reach_no_terminal_as_they_are(folder, capsys):
    make_chain(folder)
    plant(folder, "images/shard=0/part-\x1b[2J.parquet", "images/shard=0/part-\udcff.parquet")
    options = ["--set", f"store={folder}", "--set", f"index.num_shards={NUM_SHARDS}", "--min-age", "0"]
    assert main(["gc", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if "parquet" in line] == [
        "images/shard=0/part-\ufffd[2J.parquet",
        "images/shard=0/part-\ufffd.parquet",
    ]
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", ["_commits/images", "_marks/images", "_progress/images", "_locks", "_runs"])
def test_folders_in_the_place_of_books_stop_nothing_and_what_is_in_them_stays(folder, name, capsys):
    store = make_chain(folder)
    (folder / "_commits" / "images" / "shard=1.json").unlink()
    place = folder / name / ("download_images.json" if name == "_runs" else "shard=1.json")
    place.mkdir(parents=True)
    (place.parent / "empty.json").mkdir()
    (place / "mine.txt").write_text("mine")
    options = ["--set", f"store={folder}", "--set", f"index.num_shards={NUM_SHARDS}"]
    assert main(["gc", *options, "--yes", "--min-age", "0"]) == 0
    assert main(["status", *options]) == 0
    assert main(["verify-store", *options]) == 1  # the commit is gone
    assert "error" not in capsys.readouterr().err
    assert (place / "mine.txt").read_text() == "mine"
    assert set(store.commits(IMAGES)) == {0, 2}


def test_links_to_folders_elsewhere_are_not_followed(folder, tmp_path):
    make_chain(folder)
    plant(tmp_path, "mine/precious.parquet")
    (folder / "images" / "mine").symlink_to(tmp_path / "mine")
    assert collect(folder) == []
    assert (tmp_path / "mine" / "precious.parquet").exists()


def test_shards_that_are_no_longer_go_once_the_table_of_records_has_the_new_number(folder):
    store = make_chain(folder)
    two = f"index.num_shards={NUM_SHARDS - 1}"
    assert listed(folder, two).removable == ()  # another configuration than the store's: not a reason to remove a third
    for shard in range(2):
        commit = store.commits(RECORDS)[shard]
        store.commit(dataclasses.replace(commit, stamp=dataclasses.replace(commit.stamp, num_shards=2)))
    gone = [each.path for table in (RECORDS, IMAGES) for each in store.commits(table)[2].files]
    found = collect(folder, two)
    assert {"_commits/records/shard=2.json", "_commits/images/shard=2.json", *gone} <= set(paths(found))
    assert set(store.commits(IMAGES)) == set(store.commits(PREDICTIONS)) == {0, 1}
    assert all("of shard 2: there are 2 (index.num_shards)" == each.why for each in found)
    assert not (folder / "images" / "shard=2").exists()


def rogue(store, name, *names):
    """Commit files under a name that no stage makes."""
    entries = tuple(store.write_bytes(each, b"x") for each in names)
    store.commit(Commit(name, WHOLE, 0, "d", entries, Stamp("once", "f")))


def test_outputs_of_no_stage_go_with_what_their_commits_name_and_no_more(folder):
    store = make_chain(folder)
    before = files(folder)
    entry = store.commits(IMAGES)[0].files[0]
    rogue(store, "gallery", "gallery/1.jpg", "gallery.html")
    plant(folder, "gallery/of_mine.jpg", "answers.csv")
    data = before[entry.path]
    rogue(store, "thief", "answers.csv", "toy_world/1.jpg", "_weights/w.h5", "images/shard=0/mine.txt")
    (folder / "images/shard=0/mine.txt").unlink()
    found = paths(collect(folder))
    assert found == ["_commits/gallery/whole.json", "_commits/thief/whole.json", "gallery.html", "gallery/1.jpg"]
    left = files(folder)
    assert set(left) - set(before) == {"gallery/of_mine.jpg", "answers.csv", "toy_world/1.jpg", "_weights/w.h5"}
    assert left[entry.path] == data


def test_a_store_that_a_later_release_has_written_to_is_refused(folder):
    make_chain(folder)
    (folder / "_commits" / "novelty").mkdir()
    (folder / "_commits" / "novelty" / "whole.json").write_text(json.dumps({"format": FORMAT + 1, "output": "novelty"}))
    with pytest.raises(StoreError, match="a later release"):
        listed(folder)


# Locks


def claim(store, run, process):
    text = Claim(run, "run", process, "then", {EVERYTHING: ALL}, state="held").to_json()
    store.write_bytes(f"_locks/{run}.json", text.encode())


def test_a_dead_runs_lock_goes_whatever_its_age(folder):
    store = make_chain(folder)
    claim(store, "dead", dataclasses.replace(this_process(), started="never"))
    found = listed(folder, min_age=3600.0)
    assert paths(found.removable) == ["_locks/dead.json"]
    assert paths(collect(folder, min_age=3600.0)) == ["_locks/dead.json"]
    assert list((folder / "_locks").iterdir()) == []


def test_the_lock_of_a_later_release_is_said_and_never_listed(folder, capsys):
    store = make_chain(folder)
    store.write_bytes("_locks/x.json", json.dumps({"format": FORMAT + 1}).encode())
    with pytest.raises(NewerFormatError):
        find_unneeded(store, NUM_SHARDS, is_at_work=False)
    for command in (["gc", "--yes"], ["verify-store"], ["status"]):
        assert main([*command, "--set", f"store={folder}"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f"Received: a lock of format 3, {folder}/_locks/x.json: it may be at work, or has left it")
    assert store.exists("_locks/x.json")


def test_while_a_run_is_at_work_nothing_is_removed(folder):
    store = make_chain(folder)
    plant(folder, "images/shard=0/part-orphan.parquet")
    store.leave_note(Note("images", 0, 0, {}, started="then"))
    with held_lock(store, Asking("run", {"predictions": ALL}), lambda _: None):
        found = listed(folder)
        assert paths(found.removable) == ["images/shard=0/part-orphan.parquet"]  # the note may be that run's
        assert "a run is at work, and has to end first: 'run' on host" in found.notes[0]
        with pytest.raises(LockedError):
            collect(folder)
    assert (folder / "images/shard=0/part-orphan.parquet").exists()
    assert len(collect(folder)) == 2


def test_what_is_needed_by_the_time_of_removal_stays(folder):
    store = make_chain(folder)
    config = chain_config(folder)
    commit = store.commits(PREDICTIONS)[1]
    path = folder / "_commits" / "predictions" / "shard=1.json"
    path.unlink()
    found = list_unneeded(config, min_age=0.0)
    assert paths(found.removable) == [commit.files[0].path]
    store.commit(commit)  # as a task that was still at it does
    assert remove_unneeded(config, found, lambda _: None) == []
    assert (folder / commit.files[0].path).exists()


# Checkpoints


def test_checkpoints_that_no_training_goes_on_from_go(folder):
    make_chain(folder)
    store, config = Store(str(folder)), chain_config(folder)
    stage = next(each for each in garbage_collection.STAGES if each.name == "train_top_model")
    current = garbage_collection._training_folder(store, config, stage)
    kept = plant(folder, f"{current}/kept.npz")
    others = plant(
        folder,
        "_checkpoints/fine_tune/0123/kept.npz",
        "_checkpoints/train_top_model/0123/kept.npz",
        "_checkpoints/x/1/a",
    )
    found = {each.entry.path: each.why for each in listed(folder).removable}
    assert sorted(found) == others
    assert found["_checkpoints/x/1/a"] == "the checkpoint of no stage of this release"
    assert found["_checkpoints/train_top_model/0123/kept.npz"].endswith("with other settings, inputs or release")
    collect(folder)
    assert (folder / kept[0]).exists()
    assert not (folder / "_checkpoints" / "fine_tune").exists()


def test_checkpoints_of_a_training_that_is_up_to_date_go(folder, monkeypatch):
    make_chain(folder)
    planted = plant(folder, "_checkpoints/train_top_model/0123/kept.npz")
    stage = next(each for each in garbage_collection.STAGES if each.name == "train_top_model")
    monkeypatch.setattr(garbage_collection, "plan", lambda *_: [SimpleNamespace(stage=stage, shards=())])
    (found,) = listed(folder).removable
    assert ([found.entry.path], found.why) == (planted, "a checkpoint of train_top_model, which is up to date")


@pytest.mark.parametrize(
    ("module", "function", "overrides"),
    [
        (train_top_model, "train_top_model", ()),
        (fine_tune, "fine_tune", ("fine_tune.epochs=1", "backbone.weights=random")),
        (train_delf, "train_delf", ("local_features.kind=delf_vgg16", "backbone.weights=random")),
    ],
)
def test_the_checkpoints_that_stay_are_where_the_training_looks_for_them(
    folder, monkeypatch, module, function, overrides
):
    make_chain(folder)
    store, config = Store(str(folder)), chain_config(folder, *overrides)
    looked = []
    monkeypatch.setattr(module, "run_training", lambda _, task, *__, **___: looked.append(task.checkpoints))
    context = Context(None, store, config, (), print)
    stage = next(each for each in garbage_collection.STAGES if each.name == function)
    stage.function(context, None, None, *([store.commits(TOP_MODEL)[WHOLE]] if function == "fine_tune" else []))
    assert looked == [garbage_collection._training_folder(store, config, stage)]


# An object store, and the command


def test_a_store_of_objects_is_collected_as_a_folder_is(folder, monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    store = make_chain("memory://chain")
    before = sorted(store.file_system.find("/chain"))
    for name in ("images/shard=0/part-orphan.parquet", "_set_aside/x", "others/x"):
        store.write_bytes(name, b"12345")
    config = dataclasses.replace(chain_config(folder), store="memory://chain")
    found = list_unneeded(config, min_age=0.0)
    assert paths(found.removable) == ["_set_aside/x", "images/shard=0/part-orphan.parquet"]
    assert paths(list_unneeded(config, min_age=60.0).removable) == []
    remove_unneeded(config, found, lambda _: None)
    assert sorted(store.file_system.find("/chain")) == sorted([*before, "/chain/others/x"])


def command(folder, *more):
    config = chain_config(folder)
    chosen = [f"store={folder}", f"index.num_shards={NUM_SHARDS}"]
    chosen += [f"inputs.{name}={getattr(config.inputs, name)}" for name in ("train_csv", "test_csv")]
    return ["gc", *(word for each in chosen for word in ("--set", each)), "--min-age", "0", *more]


def test_without_a_terminal_it_lists_and_asks_for_yes(folder, capsys, monkeypatch):
    make_chain(folder)
    plant(folder, "images/shard=0/part-orphan.parquet")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    assert main(command(folder)) == 0
    output = capsys.readouterr().out
    assert "named by no commit (1 file, 10 bytes):\n            10  images/shard=0/part-orphan.parquet\n" in output
    assert "remove these 1 file, 10 bytes? nothing is removed without --yes" in output
    assert (folder / "images/shard=0/part-orphan.parquet").exists()
    assert main(command(folder, "--yes")) == 0
    assert "removed 1 file, 10 bytes" in capsys.readouterr().out
    assert main(command(folder)) == 0
    assert capsys.readouterr().out == "nothing to remove: everything is needed\n"


@pytest.mark.parametrize(("answer", "is_removed"), [("y", True), ("", False), ("n", False)])
def test_at_a_terminal_it_asks(folder, capsys, monkeypatch, answer, is_removed):
    make_chain(folder)
    plant(folder, "images/shard=0/part-orphan.parquet")
    asked = []
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    assert main(command(folder)) == 0
    assert asked == ["remove these 1 file, 10 bytes? [y/N] "]
    assert (folder / "images/shard=0/part-orphan.parquet").exists() is not is_removed


def test_a_folder_that_was_never_a_store_loses_nothing(folder):
    plant(folder, "images/2019/me.jpg", "records/tax.pdf", "report/thesis.pdf", "images/shard=0/part-1.parquet")
    (folder / "landmarks").mkdir()
    assert listed(folder).removable == ()


def test_what_somebody_put_beside_the_stores_own_files_stays(folder):
    make_chain(folder)
    plant(folder, "images/2019/me.jpg", "images/shard=0/notes.txt", "top_model/readme.txt")
    assert listed(folder).removable == ()


def test_data_whose_commits_are_all_lost_stays(folder):
    make_chain(folder)
    before = files(folder)
    shutil.rmtree(folder / "_commits")
    assert paths(listed(folder).removable) == []
    assert {path: data for path, data in before.items() if not path.startswith("_commits/")} == files(folder)
