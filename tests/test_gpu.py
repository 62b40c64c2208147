import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from landmark_spark.gpu import DeviceError, _quiet_import, prepare_framework, task_gpus

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import os
from landmark_spark.gpu import prepare_framework
prepare_framework(num_threads=3, gpus={gpus})
import tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads(), os.environ.get("TF_NUM_INTRAOP_THREADS"))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["TF_FORCE_GPU_ALLOW_GROWTH"])
"""


def run(script, **added):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "CUDA", "KERAS", "OMP"))}
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)} | added,
        check=True,
        timeout=120,
    )


def test_a_task_sees_its_own_gpu_and_threads_and_loads_quietly():
    done = run(SCRIPT.format(gpus=("2",)))
    assert done.stdout.split() == ["0", "3", "2", "true"]  # 0: TensorFlow reads the number from the environment
    assert done.stderr == ""


def test_without_gpus_of_spark_the_machines_own_setting_stays():
    assert run(SCRIPT.format(gpus=None), CUDA_VISIBLE_DEVICES="1").stdout.split()[2] == "1"


def test_jax_and_pytorch_see_the_same_gpu_and_take_its_memory_as_they_need_it():
    script = (
        "import os, sys\nfrom landmark_spark.gpu import prepare_framework\n"
        "prepare_framework(num_threads=3, gpus=('2', '5'))\n"
        "names = 'CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER', 'XLA_PYTHON_CLIENT_PREALLOCATE', 'OMP_NUM_THREADS'\n"
        "print(*(os.environ[name] for name in names), 'tensorflow' in sys.modules)\n"
    )
    assert run(script, KERAS_BACKEND="jax").stdout.split() == ["2,5", "PCI_BUS_ID", "false", "3", "False"]


@pytest.fixture
def loaded_framework(monkeypatch):
    """A process whose framework is loaded on GPU 0; a module without content stands for the framework."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))


def test_a_worker_that_is_on_another_tasks_gpu_refuses_to_compute(loaded_framework):
    with pytest.raises(DeviceError, match=r"should compute on GPU 1\. Received: .* is on GPU 0; set"):
        prepare_framework(num_threads=1, gpus=("1",))


def test_a_worker_that_is_on_its_tasks_gpu_goes_on(loaded_framework, monkeypatch):
    prepare_framework(num_threads=1, gpus=("0",))
    prepare_framework(num_threads=1, gpus=None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(DeviceError, match="is on all GPUs"):
        prepare_framework(num_threads=1, gpus=("0",))


def test_an_import_that_fails_shows_what_was_held_back(capfd):
    with pytest.raises(ImportError), _quiet_import():
        os.write(2, b"the reason\n")
        raise ImportError
    assert "the reason" in capfd.readouterr().err


@pytest.mark.jvm
def test_outside_a_task_spark_gives_no_gpu():
    assert task_gpus() is None
