"""A disk that is full, and a folder that may not be written to: one line that says so, and the same command goes on."""

import contextlib
import os
import subprocess

import pytest

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]

LARGE = 200 << 20
SPARE = 256 << 10  # room for the lock and the notes, and for no shard of local_features


@contextlib.contextmanager
def disk_at(folder):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def used_bytes(disk):
    room = os.statvfs(disk)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


def resize(disk, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def test_a_full_disk_is_said_and_costs_nothing_that_was_committed(undisturbed, tmp_path):
    disk = tmp_path / "disk"
    with disk_at(disk):
        run = undisturbed.copy_to(disk)
        run.forget("local_features")
        kept = run.files()
        resize(disk, used_bytes(disk) + SPARE)
        status, printed = run.finish()
        assert status == 1, printed
        error = printed.strip().splitlines()[-1]
        assert error.startswith("error: ") and f"No space left on device: '{run.store}/" in error
        assert "Traceback" not in printed
        assert run.files() == kept
        assert all((run.store / file.path).stat().st_size == file.num_bytes for each in kept.values() for file in each)
        resize(disk, LARGE)
        status, printed = run.finish()
        assert status == 0, printed
        assert {key: run.files()[key] for key in kept} == kept
        run.assert_same_submission(undisturbed)
        assert run.unfinished() == []


@contextlib.contextmanager
def mode(path, number):
    before = path.stat().st_mode
    path.chmod(number)
    try:
        yield
    finally:
        path.chmod(before)


def test_what_may_not_be_read_or_written_is_named_and_made_anew_by_nobody(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    (run.store / "_commits" / "predictions" / "shard=1.json").unlink()
    kept = run.files()
    (image,) = kept["images", 1]
    denied = "error: predict_landmarks failed: PermissionError: [Errno 13] Permission denied: "
    for path, number, named in [
        (image.path, 0, image.path),
        ("predictions/shard=1", 0o555, "predictions/shard=1/_writing-"),
        ("_commits/predictions", 0o555, "_commits/predictions/_writing-"),
    ]:
        with mode(run.store / path, number):
            status, printed = run.finish()
        assert status == 1, printed
        error = printed.strip().splitlines()[-1]
        assert error.startswith(f"{denied}'{run.store}/{named}")
        assert "Traceback" not in printed
        assert run.files() == kept
        assert not list(run.store.glob("_marks/**/*.json"))  # nobody can say that it is damaged
    status, printed = run.finish()
    assert status == 0, printed
    assert {key: run.files()[key] for key in kept} == kept
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []
