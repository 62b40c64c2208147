import errno
import hashlib
import os

import pytest

from landmark_spark.commits import FileEntry
from landmark_spark.contents import _num_tasks, check_file, find_damage
from landmark_spark.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path))


def written(ledger, name, data):
    entry = ledger.write_bytes(name, data)
    assert entry == FileEntry(name, len(data), hashlib.sha256(data).hexdigest())
    return entry


def test_a_file_that_is_as_it_was_committed_has_no_fault(ledger):
    assert check_file(ledger, written(ledger, "images/a", b"x" * (9 << 20))) == ""
    assert check_file(ledger, written(ledger, "images/empty", b"")) == ""


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"pictuse", "images/a has other bytes than were committed (SHA-256)"),  # r is 0x72, s is 0x73: one bit
        (b"pictur", "images/a should have 7 bytes and has 6"),
        (b"pictures", "images/a should have 7 bytes and has 8"),
        (None, "images/a is missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(ledger, data, fault):
    entry = written(ledger, "images/a", b"picture")
    ledger.remove([entry.path])
    if data is not None:
        ledger.write_bytes(entry.path, data)
    assert check_file(ledger, entry) == fault


def test_a_folder_in_a_files_place_is_said(ledger, tmp_path):
    entry = written(ledger, "images/a", b"picture")
    ledger.remove([entry.path])
    (tmp_path / "images" / "a").mkdir()
    assert check_file(ledger, entry).startswith("images/a should be readable. Received: ")


def unreadable(monkeypatch, ledger, number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(type(ledger.file_system), "open", fail)


def test_a_place_on_a_disk_that_cannot_be_read_any_more_is_damage(ledger, monkeypatch):
    entry = written(ledger, "images/a", b"picture")
    unreadable(monkeypatch, ledger, errno.EIO)
    assert check_file(ledger, entry) == "images/a should be readable. Received: [Errno 5] Input/output error"


@pytest.mark.parametrize(
    ("url", "number"), [("", errno.EACCES), ("", errno.ESTALE), ("memory://away", errno.EIO), ("memory://away", 0)]
)
def test_a_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path, monkeypatch, url, number):
    ledger = Ledger(url or str(tmp_path))
    entry = written(ledger, "images/a", b"picture")
    unreadable(monkeypatch, ledger, number)
    with pytest.raises(OSError):
        check_file(ledger, entry)


def test_files_are_compared_in_an_object_store_too():
    ledger = Ledger("memory://contents")
    entry = written(ledger, "images/a", b"picture")
    assert check_file(ledger, entry) == ""
    ledger.write_bytes("images/a", b"pictuse")
    assert check_file(ledger, entry) == "images/a has other bytes than were committed (SHA-256)"


@pytest.mark.jvm
def test_tasks_find_the_damaged_among_many(ledger, tmp_path, spark):
    entries = [written(ledger, f"images/{k}", bytes([k]) * 1000) for k in range(40)]
    (tmp_path / "images" / "7").write_bytes(b"short")
    (tmp_path / "images" / "31").unlink()
    found = find_damage(spark, ledger.url, entries)
    assert found == {"images/7": "images/7 should have 1000 bytes and has 5", "images/31": "images/31 is missing"}
    assert find_damage(spark, ledger.url, []) == {}


@pytest.mark.parametrize(
    ("num_files", "num_cores", "num_tasks"),
    [(1, 2, 1), (8, 2, 8), (100, 2, 8), (1024, 2, 32), (1024, 64, 256), (100_000, 64, 3125)],
)
def test_files_share_tasks_once_there_are_many(num_files, num_cores, num_tasks):
    assert _num_tasks(num_files, num_cores) == num_tasks
