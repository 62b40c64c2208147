"""What a child notes of its jobs: threads come and go, and none writes over another's note."""

import tempfile
import threading

import pytest

from landmark_spark import child_process
from landmark_spark.child_process import Notes


@pytest.fixture
def notes(monkeypatch):
    monkeypatch.setattr(child_process, "_MAX_THREADS", 2)
    with tempfile.TemporaryFile() as shared:
        shared.truncate(2 * 16)
        yield Notes(shared.fileno())


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_a_job_is_begun_until_it_ends(notes):
    notes.begin(7)
    assert list(notes.begun()) == [7]
    notes.end()
    assert notes.begun() == {}


def test_an_end_without_a_beginning_changes_nothing(notes):
    notes.end()
    notes.begin(0)
    assert list(notes.begun()) == [0]


def test_many_threads_one_after_another_leave_the_note_of_one_that_hangs(notes):
    notes.begin(1)

    def work():
        notes.begin(2)
        assert sorted(notes.begun()) == [1, 2]
        notes.end()

    for _ in range(5):  # more threads than there are places
        in_a_thread(work)
    assert list(notes.begun()) == [1]
    in_a_thread(lambda: notes.begin(3))  # its thread ends in the middle of it
    assert sorted(notes.begun()) == [1, 3]
