import time

import pyarrow as pa
import pytest

from landmark_spark import accelerator_load, partition_writer
from landmark_spark.accelerator_load import AcceleratorLoad
from landmark_spark.commits import Note, Stamp, StoreError
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.store import Store


@pytest.fixture
def machine(tmp_path):
    """A machine whose nvidia-smi answers as told and notes what it was asked."""

    def made(answer, status=0, gpus=None, **environment):
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nprintf "{answer}"\nexit {status}\n')
        program.chmod(0o755)
        return AcceleratorLoad(gpus, {"PATH": str(tmp_path), **environment})

    made.asked = lambda: (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    return made


def test_the_share_is_the_mean_over_all_accelerators(machine):
    assert machine("83\\n41\\n").busy() == pytest.approx(0.62)
    assert machine.asked() == ["--query-gpu=utilization.gpu --format=csv,noheader,nounits"]


def test_only_those_that_this_process_sees_count(machine):
    assert machine("7\\n", CUDA_VISIBLE_DEVICES="1").busy() == pytest.approx(0.07)
    assert machine.asked() == ["--id=1 --query-gpu=utilization.gpu --format=csv,noheader,nounits"]


@pytest.mark.parametrize("none", ["", "-1"])
def test_where_none_is_to_be_seen_nobody_is_asked(machine, none):
    assert machine("7\\n", CUDA_VISIBLE_DEVICES=none).busy() is None
    assert machine.asked() == []


@pytest.mark.parametrize(("answer", "status"), [("[N/A]\\n", 0), ("", 0), ("7\\n", 9), ("No devices were found\\n", 6)])
def test_one_that_does_not_answer_is_asked_once(machine, answer, status):
    load = machine(answer, status)
    assert load.busy() is None
    assert load.busy() is None
    assert len(machine.asked()) == 1


def test_those_of_a_task_count_alone(machine):
    assert machine("7\\n9\\n", gpus=("2", "5"), CUDA_VISIBLE_DEVICES="1").busy() == pytest.approx(0.08)
    assert machine.asked() == ["--id=2,5 --query-gpu=utilization.gpu --format=csv,noheader,nounits"]


def test_a_task_without_any_asks_nobody(machine):
    assert machine("7\\n", gpus=()).busy() is None
    assert machine.asked() == []


def test_whoever_does_not_wait_is_told_the_answer_before(machine, tmp_path):
    go = tmp_path / "go"
    load = machine(f"$(while [ ! -e {go} ]; do /bin/sleep 0.01; done)40\\n")
    assert load.busy(wait=0) is None
    assert load.busy(wait=0) is None
    go.touch()
    assert load.busy(wait=10) == pytest.approx(0.4)
    go.unlink()
    assert load.busy(wait=0) == pytest.approx(0.4)
    go.touch()
    assert load.busy(wait=10) == pytest.approx(0.4)
    assert len(machine.asked()) == 2


def test_one_that_hangs_is_given_up(machine, monkeypatch):
    monkeypatch.setattr(accelerator_load, "_SECONDS", 0.2)
    load = machine("$(exec /bin/sleep 60)")
    asked = time.monotonic()
    assert load.busy(wait=0.3) is None
    assert load.busy() is None
    assert time.monotonic() - asked < 10
    assert len(machine.asked()) == 1


def test_without_nvidia_smi_there_is_nothing_to_say(tmp_path):
    assert AcceleratorLoad(environment={"PATH": str(tmp_path)}).busy() is None


def test_a_task_notes_how_busy_its_own_gpu_is(machine, tmp_path, monkeypatch):
    load = machine("83\\n", gpus=("3",))
    assert load.busy() == pytest.approx(0.83)
    given = []
    monkeypatch.setattr(partition_writer, "task_gpus", lambda: ("3",))
    monkeypatch.setattr(partition_writer, "_load_of", lambda gpus: given.append(gpus) or load)
    store = Store(str(tmp_path / "store"))
    noted = []
    monkeypatch.setattr(partition_writer.Ledger, "leave_note", lambda ledger, note: noted.append(note))
    batch = pa.RecordBatch.from_pylist(
        [{"id": "a", "rank": 0, "landmark_id": 1, "class_index": 0, "score": 0.5, "shard": 0}],
        schema=PREDICTIONS.schema.append(pa.field("shard", pa.int32())),
    )
    list(PartitionWriter(store.url, PREDICTIONS, {0: Stamp("predict_landmarks", "f")}, {})(iter([batch])))
    assert given == [("3",)]
    assert noted[0].accelerator_busy == pytest.approx(0.83)
    assert Note.from_json(noted[0].to_json()) == noted[0]


@pytest.mark.parametrize("share", ["high", 1.1, -0.1])
def test_a_note_that_says_no_share_is_none(share):
    text = Note("images", 0, 0, {}, "then").to_json()
    with pytest.raises(StoreError):
        Note.from_json(text.replace('"accelerator_busy": null', f'"accelerator_busy": {share!r}'.replace("'", '"')))
