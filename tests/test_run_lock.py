"""Two runs on one store: on one machine, where processes can be looked up, and on two, where they cannot."""

import dataclasses
import json
import multiprocessing
import os
import threading
import time

import pytest

from landmark_spark import processes, run_lock
from landmark_spark.claims import ALL, Claim, Process
from landmark_spark.commits import FORMAT, NewerFormatError, StoreError
from landmark_spark.ledger import LOCKS, Ledger
from landmark_spark.processes import is_gone, this_process
from landmark_spark.run_lock import Asking, LockedError, held_lock, living_claims

_CONTEXT = multiprocessing.get_context("forkserver")


def nothing_to_say(line):
    raise AssertionError(f"nothing should be said. Received: {line}")


def asking(wait=False, part=ALL):
    return Asking("a run", {"images": part}, wait=wait)


def hold(url, connection):
    """Hold a lock until the process is killed, or told to let go."""
    with held_lock(Ledger(url), asking(), nothing_to_say):
        connection.send("held")
        connection.recv()


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock, and the connection to it."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=hold, args=(str(tmp_path), theirs))
    process.start()
    assert ours.recv() == "held"
    yield process, ours
    process.kill()
    process.join()


def locks(folder):
    return list((folder / LOCKS).glob("*"))


def test_a_lock_is_there_for_as_long_as_the_block(tmp_path):
    ledger = Ledger(str(tmp_path))
    with held_lock(ledger, asking(), nothing_to_say) as lock:
        lock.at("download_images")
        (claim,) = living_claims(ledger)
        assert (claim.process, claim.state, claim.stage) == (this_process(), "held", "download_images")
        assert ledger.exists(lock.path)
    assert locks(tmp_path) == []


def test_it_goes_with_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), held_lock(Ledger(str(tmp_path)), asking(), nothing_to_say):
        raise KeyboardInterrupt
    assert locks(tmp_path) == []


def test_a_command_with_what_a_terminal_would_obey_is_claimed_without_it(tmp_path):
    ledger = Ledger(str(tmp_path))
    with held_lock(ledger, Asking("a \x1b[2Jrun\udcff", {"images": ALL}), nothing_to_say):
        assert [claim.command for claim in living_claims(ledger)] == ["a \ufffd[2Jrun\ufffd"]


def test_a_second_run_is_refused_with_who_holds_it(tmp_path, holder):
    process, _ = holder
    message = f"for images. Received: it is held by 'a run' on host .*, process {process.pid}, since 20..-..-..T"
    with pytest.raises(LockedError, match=message), held_lock(Ledger(str(tmp_path)), asking(), nothing_to_say):
        pass
    assert len(locks(tmp_path)) == 1


def test_a_part_of_other_shards_is_not_refused(tmp_path):
    ledger = Ledger(str(tmp_path))
    with held_lock(ledger, asking(part=(1, 2)), nothing_to_say), held_lock(ledger, asking(part=(2, 2)), nothing_to_say):
        assert len(locks(tmp_path)) == 2


def test_who_waits_gets_it_when_the_other_lets_go(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(run_lock, "_POLL", 0.02)
    _, connection = holder
    said = []

    def tell(line):
        said.append(line)
        connection.send("let go")

    with held_lock(Ledger(str(tmp_path)), asking(wait=True), tell):
        assert len(locks(tmp_path)) == 1
    assert len(said) == 1 and said[0].startswith("waiting for 'a run' on host")


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, holder):
    process, _ = holder
    process.kill()
    process.join()
    said = []
    assert living_claims(Ledger(str(tmp_path))) == []
    with held_lock(Ledger(str(tmp_path)), asking(), said.append):
        assert len(locks(tmp_path)) == 1
    assert [line.split(" on host")[0] for line in said] == ["taking over from 'a run'"]
    assert f"process {process.pid}," in said[0]


def test_a_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it():
    me = this_process()
    assert is_gone(me) is False
    assert is_gone(dataclasses.replace(me, started=str(int(me.started) - 1))) is True
    assert is_gone(dataclasses.replace(me, pid=2**22 + 1)) is True  # above the largest of Linux
    assert is_gone(dataclasses.replace(me, machine="another")) is None


def test_a_dead_child_that_nobody_has_reaped_is_gone():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    started = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[19]  # noqa: SIM115, PTH123
    child = dataclasses.replace(this_process(), pid=pid, started=started)
    assert is_gone(child) is False
    os.kill(pid, 9)
    deadline = time.monotonic() + 10
    while not is_gone(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.waitpid(pid, 0)


def test_where_processes_are_hidden_only_one_without_a_number_is_known_to_have_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_PROC", tmp_path)  # as with hidepid: no entry of another user's process
    hidden = dataclasses.replace(this_process(), pid=1, started="100")
    assert is_gone(hidden) is None
    assert is_gone(dataclasses.replace(hidden, pid=2**22 + 1)) is True
    monkeypatch.setattr(os, "kill", forbid)
    assert is_gone(hidden) is None


def forbid(pid, signal):
    assert (pid, signal) == (1, 0)
    raise PermissionError


def test_ps_is_asked_for_times_that_are_the_same_for_every_user(tmp_path, monkeypatch):
    ps = tmp_path / "ps"
    ps.write_text('#!/bin/sh\necho "$TZ $LC_ALL $*"\n')
    ps.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr(processes, "_BOOT", tmp_path / "none")
    assert this_process().started == f"UTC C -o lstart= -p {os.getpid()}"


def test_a_process_that_ps_says_nothing_of_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_BOOT", tmp_path / "none")
    me = this_process()
    assert is_gone(me) is False
    assert is_gone(dataclasses.replace(me, pid=2**22 + 1)) is True


def leave_claim_of_another_machine(ledger, beat=0):
    claim = Claim(
        "ab" * 16, "far run", Process("far", "other boot", 5, "1"), "then", {"images": ALL}, {}, "held", beat=beat
    )
    ledger.write_bytes(f"{LOCKS}/{claim.run}.json", claim.to_json().encode())
    return claim


def test_a_claim_of_another_machine_that_stands_still_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_POLL", 0.02)
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.3)
    ledger, said = Ledger(str(tmp_path)), []
    leave_claim_of_another_machine(ledger)
    began = time.monotonic()
    with held_lock(ledger, asking(), said.append):
        assert time.monotonic() - began >= 0.3
        assert len(locks(tmp_path)) == 1
    assert [line.split(" ")[0] for line in said] == ["looking", "taking"]


def test_a_claim_of_another_machine_that_beats_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_POLL", 0.02)
    monkeypatch.setattr(run_lock, "_PATIENCE", 30)
    ledger = Ledger(str(tmp_path))
    leave_claim_of_another_machine(ledger)

    def beat(line):
        assert "whether it is still alive" in line
        leave_claim_of_another_machine(ledger, beat=1)

    with pytest.raises(LockedError, match="held by 'far run' on host far"), held_lock(ledger, asking(), beat):
        pass
    assert len(locks(tmp_path)) == 1  # theirs


def test_a_lock_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_BEAT", 0.01)
    ledger = Ledger(str(tmp_path))
    with held_lock(ledger, asking(), nothing_to_say):
        deadline = time.monotonic() + 20
        while living_claims(ledger)[0].beat < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_run_whose_lock_was_taken_over_does_not_go_on_and_its_tasks_commit_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_BEAT", 0.01)
    ledger = Ledger(str(tmp_path))
    with held_lock(ledger, asking(), nothing_to_say) as lock:
        ledger.check_lock(lock.path)
        ledger.remove([lock.path])
        time.sleep(0.1)  # ten beats, none of which may bring it back
        with pytest.raises(LockedError, match="is gone: the run stood still"):
            lock.at("next stage")
        written = ledger.write_bytes("images/shard=0/part-x.parquet", b"x").path
        with pytest.raises(StoreError, match="nothing of it is committed any more"):
            ledger.check_lock(lock.path, written)
        assert not ledger.exists(written)


def test_of_many_that_ask_at_once_one_at_a_time_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "_POLL", 0.01)
    monkeypatch.setattr(run_lock, "_MAX_PAUSE", 0.02)
    inside, most, turns = [], [], []

    def take_a_turn():
        with held_lock(Ledger(str(tmp_path)), asking(wait=True), lambda line: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            turns.append(1)

    threads = [threading.Thread(target=take_a_turn) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert (len(turns), max(most)) == (8, 1)
    assert locks(tmp_path) == []


def leave_claim_that_only_asks(ledger, run):
    """As a stopped process leaves it: it lives, and does not go on."""
    claim = Claim(run, "stopped run", this_process(), "then", {"images": ALL})
    ledger.write_bytes(f"{LOCKS}/{run}.json", claim.to_json().encode())
    return claim


@pytest.fixture
def little_asking(monkeypatch):
    monkeypatch.setattr(run_lock, "_MAX_ASKING", 0.2)
    monkeypatch.setattr(run_lock, "_MAX_PAUSE", 0.02)
    monkeypatch.setattr(run_lock, "_POLL", 0.02)


@pytest.mark.parametrize("run", ["0" * 32, "g" * 32])  # which a run makes way for, and which it does not
def test_a_run_that_only_asks_and_does_not_go_on_is_refused_in_the_end(tmp_path, little_asking, run):
    ledger = Ledger(str(tmp_path))
    leave_claim_that_only_asks(ledger, run)
    began = time.monotonic()
    message = (
        f"for images. Received: 'stopped run' on .*, which has been asking for more than 0 s: .*{LOCKS}/{run}.json"
    )
    with pytest.raises(LockedError, match=message), held_lock(ledger, asking(), nothing_to_say):
        pass
    assert time.monotonic() - began >= 0.2
    assert [each.stem for each in locks(tmp_path)] == [run]


@pytest.mark.parametrize("run", ["0" * 32, "g" * 32])
def test_who_waits_for_one_that_only_asks_is_told_so_once(tmp_path, little_asking, run):
    ledger, said = Ledger(str(tmp_path)), []
    leave_claim_that_only_asks(ledger, run)

    def tell(line):
        said.append(line)
        threading.Timer(0.2, ledger.remove, [[f"{LOCKS}/{run}.json"]]).start()  # ten more looks

    with held_lock(ledger, asking(wait=True), tell):
        assert len(locks(tmp_path)) == 1
    (line,) = said
    assert line.startswith("waiting for 'stopped run' on host")
    assert line.endswith(", which has been asking for more than 0 s: it may be stopped, or hang")


def test_who_asks_anew_after_each_holder_is_not_taken_for_one_that_hangs(tmp_path, little_asking):
    ledger = Ledger(str(tmp_path))
    one = leave_claim_that_only_asks(ledger, "0" * 32)
    holder = dataclasses.replace(one, run="1" * 32, state="held")
    watch = run_lock._Watch(ledger, nothing_to_say)
    assert watch.blocking([one]) == []
    assert watch.blocking([one, holder]) == [holder]
    time.sleep(0.25)
    assert watch.blocking([one]) == []
    assert watch.blocking([]) == []
    time.sleep(0.25)
    assert watch.blocking([one]) == []
    time.sleep(0.25)
    assert watch.blocking([one]) == [one]


def test_an_asker_that_was_taken_for_dead_does_not_hold_beside_who_took_over(tmp_path, monkeypatch):
    store = Ledger(str(tmp_path))
    asking = Asking("late", {"images": ALL})
    looks = []

    def others(watch, mine):  # after the first look, which sees nobody, another takes over and holds
        looks.append(mine.state)
        if len(looks) == 1:
            return []
        if len(looks) == 2:
            run_lock._leave(store, dataclasses.replace(other, state="held"))
        return real(watch, mine)

    other = Claim("0" * 32, "early", this_process(), "2026", {"images": ALL})
    real = run_lock._Watch.others
    monkeypatch.setattr(run_lock._Watch, "others", others)
    with pytest.raises(LockedError, match="held by 'early'"), held_lock(store, asking, print):
        pass
    assert [path.name for path in (tmp_path / "_locks").iterdir()] == [f"{other.run}.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "\udcff"])
def test_a_lock_that_cannot_be_read_holds_nothing_and_is_said_so(tmp_path, text):
    ledger = Ledger(str(tmp_path))
    ledger.write_bytes(f"{LOCKS}/x.json", text.encode(errors="surrogateescape"))
    with held_lock(ledger, asking(), nothing_to_say):
        assert list(ledger.unreadable) == [f"{tmp_path}/{LOCKS}/x.json"]


def test_the_lock_of_a_later_release_is_said_in_one_line_and_stays(tmp_path):
    ledger = Ledger(str(tmp_path))
    text = json.dumps({"format": FORMAT + 1, "holds": "what this release cannot know"})
    ledger.write_bytes(f"{LOCKS}/x.json", text.encode())
    message = f"later release .* Received: a lock of format 3, {tmp_path}/{LOCKS}/x.json: it may be"
    with pytest.raises(NewerFormatError, match=message), held_lock(ledger, asking(wait=True), nothing_to_say):
        pass
    with pytest.raises(NewerFormatError, match=message):
        living_claims(ledger)
    assert [each.read_text() for each in locks(tmp_path)] == [text]


def test_a_lock_named_after_another_file_removes_nothing(tmp_path):
    ledger = Ledger(str(tmp_path))
    claim = leave_claim_of_another_machine(ledger)
    ledger.remove([f"{LOCKS}/{claim.run}.json"])
    evil = dataclasses.replace(claim, run="../precious", process=dataclasses.replace(this_process(), started="1"))
    ledger.write_bytes(f"{LOCKS}/x.json", evil.to_json().encode())
    ledger.write_bytes("precious.json", b"1")
    with held_lock(ledger, asking(), nothing_to_say):
        pass
    assert ledger.exists("precious.json")


def test_a_store_that_cannot_be_written_to_is_said_so(tmp_path):
    (tmp_path / "file").write_text("no folder")
    ledger = Ledger(str(tmp_path / "file"))
    message = "store should be a place that can be written to. Received: .*/file"
    with pytest.raises(StoreError, match=message), held_lock(ledger, asking(), nothing_to_say):
        pass
