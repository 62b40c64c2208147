import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import os
from landmark_spark.gpu import prepare_framework
prepare_framework(num_threads=3, gpus={gpus})
import tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads(), os.environ.get("TF_NUM_INTRAOP_THREADS"))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["TF_FORCE_GPU_ALLOW_GROWTH"])
"""


def run(gpus, **added):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "CUDA"))}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(gpus=gpus)],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)} | added,
        check=True,
        timeout=120,
    )


def test_a_task_sees_its_own_gpu_and_threads_and_loads_quietly():
    done = run(("2",))
    assert done.stdout.split() == ["0", "3", "2", "true"]  # 0: TensorFlow reads the number from the environment
    assert done.stderr == ""


def test_without_gpus_of_spark_the_machines_own_setting_stays():
    assert run(None, CUDA_VISIBLE_DEVICES="1").stdout.split()[2] == "1"


def test_an_import_that_fails_shows_what_was_held_back(capfd):
    from landmark_spark.gpu import _quiet_import

    with pytest.raises(ImportError), _quiet_import():
        os.write(2, b"the reason\n")
        raise ImportError
    assert "the reason" in capfd.readouterr().err


@pytest.mark.jvm
def test_outside_a_task_spark_gives_no_gpu():
    from landmark_spark.gpu import task_gpus

    assert task_gpus() is None
