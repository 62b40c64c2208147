"""The toy world of a store: drawn by who runs on it, described to who only asks."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.pipeline import expectations
from landmark_spark.planning import choose
from landmark_spark.run_lock import Asking, LockedError, held_lock, living_claims
from landmark_spark.runner import claimed, run
from landmark_spark.settings import ConfigError
from landmark_spark.store import Store
from landmark_spark.toy_inputs import described_inputs, draw_inputs, has_inputs

SMALL = ["toy.num_landmarks=2", "toy.photos_per_landmark=2", "toy.num_test=4", "backbone.weights=random"]


@pytest.fixture
def config(tmp_path):
    return load_config(None, [f"store={tmp_path / 'store'}", *SMALL])


def words(config):
    return [word for each in (f"store={config.store}", *SMALL) for word in ("--set", each)]


def expected_of(config):
    with described_inputs(config) as (described, stands_for):
        return expectations(described, stands_for=stands_for)


@pytest.mark.parametrize("command", ["status", "plan", "verify-store", "gc"])
def test_who_only_asks_leaves_a_mistyped_store_as_it_is(config, tmp_path, command, capsys):
    main([command, *words(config)])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "holiday.jpg").write_bytes(b"mine")
    main([command, *words(config)])
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["holiday.jpg"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_world_that_is_described_is_expected_as_the_one_that_is_drawn(config):
    described = expected_of(config)
    assert not has_inputs(config)
    drawn = draw_inputs(config)
    assert has_inputs(config)
    assert expectations(drawn) == described == expected_of(config)


def test_another_world_is_described_and_the_one_in_the_store_stays(config, tmp_path):
    draw_inputs(config)
    before = (tmp_path / "store/toy_world/test.csv").read_bytes()
    other = dataclasses.replace(config, toy=dataclasses.replace(config.toy, num_test=5))
    described = expected_of(other)
    assert (tmp_path / "store/toy_world/test.csv").read_bytes() == before
    assert expectations(draw_inputs(other)) == described


def test_csv_files_that_are_given_are_used_as_they_are(config):
    given = dataclasses.replace(config, inputs=dataclasses.replace(config.inputs, train_csv="a.csv", test_csv="b.csv"))
    assert has_inputs(given) and draw_inputs(given) is given
    with described_inputs(given) as (described, stands_for):
        assert (described, stands_for) == (given, {})


def test_a_folder_that_cannot_be_is_refused_in_a_line(config, tmp_path):
    with pytest.raises(ConfigError, match=r"serve_folder should be a folder. Received: /no/such"):
        draw_inputs(dataclasses.replace(config, serve_folder="/no/such"))
    with pytest.raises(ConfigError, match="store should be a local folder for the toy world. Received: s3://b/c"):
        expected_of(dataclasses.replace(config, store="s3://b/c"))
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ConfigError, match="store should be a folder that the toy world can be made in"):
        draw_inputs(config)


def test_a_world_is_not_replaced_under_a_run_that_reads_it(config):
    draw_inputs(config)
    store = Store(config.store)
    other = dataclasses.replace(config, toy=dataclasses.replace(config.toy, num_test=5))
    reader = Asking("landmark-spark run", *claimed(choose(only="extract_bottlenecks")))
    with held_lock(store, reader, print), pytest.raises(LockedError, match="this run's own for toy_world"):
        run(other, choose(only="fine_tune"), print)
    assert has_inputs(config)


def test_parts_of_one_run_may_draw_the_same_world_at_once(config):
    parts = [claimed(choose(only="download_images", shard=f"{part}/2"), draws_world=True) for part in (1, 2)]
    store = Store(config.store)
    with held_lock(store, Asking("one", *parts[0]), print), held_lock(store, Asking("two", *parts[1]), print):
        assert len(living_claims(store)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_while_the_world_is_drawn_leaves_nothing(config, tmp_path, number):
    command = [sys.executable, "-m", "landmark_spark", "run", *words(config), "--set", "toy.num_test=5000", "--force"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("store/.toy_world.*/new/images/*")):
        assert process.poll() is None and time.monotonic() < deadline, "the world should be drawn"
        time.sleep(0.05)
    os.kill(process.pid, number)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "without --force it makes what is not up to date" in printed and "Traceback" not in printed
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
