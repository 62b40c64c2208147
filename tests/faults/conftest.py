"""What the tests of faults share."""

import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def memory():
    """A folder in memory where there is one: ten thousand small files are written there in a second."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None, prefix="untrusted-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two workers of one core, none of whose processes may pass over permissions."""
    from clusters import WITHOUT_OVERRIDE, Cluster
    from standalone import standalone_cluster

    from landmark_spark.toy.world import make_world

    folder = tmp_path_factory.mktemp("cluster")
    make_world(folder / "world", num_landmarks=4, photos_per_landmark=6, num_test=24)
    with standalone_cluster(folder, prefix=WITHOUT_OVERRIDE, apart=True) as master:
        yield Cluster(master, folder / "world")


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory):
    """The run on that cluster that nothing disturbs."""
    run = cluster.run(tmp_path_factory.mktemp("undisturbed") / "store")
    status, printed = run.finish()
    assert status == 0, printed
    assert run.unfinished() == []
    return run
