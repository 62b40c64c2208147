"""A disk that is full, and a folder that may not be written to: one line that says so, and the same command goes on."""

import contextlib
import os
import subprocess

import pytest

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_and_costs_nothing_that_was_committed(cluster, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "3m"):
        run = cluster.run(disk / "store")
        status, printed = run.finish()
        assert status == 1, printed
        error = printed.strip().splitlines()[-1]
        assert error.startswith("error: ") and "No space left on device" in error
        assert "Traceback" not in printed
        kept = run.files()
        assert kept  # at least what index_images made
        assert all((run.store / file.path).stat().st_size == file.num_bytes for each in kept.values() for file in each)
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        status, printed = run.finish()
        assert status == 0, printed
        assert {key: run.files()[key] for key in kept} == kept
        assert run.submission() == undisturbed.submission()
        assert run.unfinished() == []


@pytest.mark.parametrize("folder", ["predictions/shard=1", "_commits/predictions"])
def test_a_folder_that_may_not_be_written_to_is_named(undisturbed, tmp_path, folder):
    run = undisturbed.copy_to(tmp_path)
    (run.store / "_commits" / "predictions" / "shard=1.json").unlink()
    os.chmod(run.store / folder, 0o555)  # noqa: PTH101
    try:
        status, printed = run.finish()
    finally:
        os.chmod(run.store / folder, 0o755)  # noqa: PTH101
    assert status == 1, printed
    error = printed.strip().splitlines()[-1]
    assert error.startswith("error: predict_landmarks failed: PermissionError: [Errno 13] Permission denied: ")
    assert f"{run.store}/{folder}/_writing-" in error
    status, printed = run.finish()
    assert status == 0, printed
    assert run.submission() == undisturbed.submission()
    assert run.unfinished() == []
