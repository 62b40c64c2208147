"""What the tests share: one Spark session, the tiny world, and where the real photos are."""

import os
import sys
from pathlib import Path

import pytest
from java_options import java_options

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ.setdefault("SPARK_SUBMIT_OPTS", java_options())  # of drivers, however they are started
os.environ.setdefault("SPARK_DAEMON_JAVA_OPTS", java_options())


@pytest.fixture(scope="session")
def photos():
    """The folder of real photos; skips where it is not there."""
    folder = SHARED / "data" / "landmark_mini"
    if not folder.is_dir():
        pytest.skip(f"the real photos are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def delf_fixtures():
    """The folder of official DELF files; skips where it is not there."""
    folder = SHARED / "fixtures" / "delf"
    if not folder.is_dir():
        pytest.skip(f"the official DELF files are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def spark():
    """The session that the run itself would open, on two cores."""
    from landmark_spark.session import open_session
    from landmark_spark.settings import SparkSettings

    session = open_session(SparkSettings(master="local[2]", driver_memory="2g"), num_shards=4)
    yield session
    session.stop()


TINY = [
    "toy.num_landmarks=4",
    "toy.photos_per_landmark=6",
    "toy.num_test=24",
    "index.num_shards=3",
    "backbone.weights=random",
    "train.epochs=4",
    "download.references_per_landmark=5",
    "verify.max_comparisons=5",
    "descriptors.sides=64",
    "local_features.kind=sift",
    "report.num_examples=1",
]


@pytest.fixture(scope="session")
def tiny_arguments():
    """Command-line arguments of a run on a tiny world."""

    def arguments(command, store, *more):
        chosen = [f"store={store}", "spark.master=local[2]", *TINY, *more]
        return [command, *(word for each in chosen for word in ("--set", each))]

    return arguments


@pytest.fixture(scope="session")
def finished(tmp_path_factory, spark, tiny_arguments):
    """The store of a finished run on the tiny world."""
    from landmark_spark.cli import main

    store = tmp_path_factory.mktemp("run") / "store"
    assert main(tiny_arguments("run", store)) == 0
    return store
