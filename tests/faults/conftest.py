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
