import subprocess

import pytest

from landmark_spark.accelerator_load import AcceleratorLoad


@pytest.fixture
def machine(tmp_path):
    """A machine whose nvidia-smi answers as told and notes what it was asked."""

    def made(answer, status=0, **environment):
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nprintf "{answer}"\nexit {status}\n')
        program.chmod(0o755)
        return AcceleratorLoad({"PATH": str(tmp_path), **environment})

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


def test_one_that_hangs_is_not_waited_for(machine, monkeypatch):
    load = machine("7\\n")

    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert load.busy() is None


def test_without_nvidia_smi_there_is_nothing_to_say(tmp_path):
    assert AcceleratorLoad({"PATH": str(tmp_path)}).busy() is None
