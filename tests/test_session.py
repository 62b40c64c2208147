import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landmark_spark.session import (
    JavaNotFoundError,
    SessionError,
    _worker_properties,
    cause_of,
    check_master,
    find_java,
)


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]"])
@pytest.mark.parametrize("key", ["spark.task.resource.gpu.amount", "spark.executor.resource.gpu.amount"])
def test_gpu_amounts_on_a_local_master_are_refused(master, key):
    with pytest.raises(SessionError, match="should only be set on a cluster"):
        check_master(master, {key: "1"})


def test_gpu_amounts_on_a_cluster_and_local_masters_without_them_are_fine():
    check_master("spark://host:7077", {"spark.task.resource.gpu.amount": "1"})
    check_master("local-cluster[2,1,1024]", {"spark.task.resource.gpu.amount": "1"})
    check_master("local[2]", {"spark.task.cpus": "1"})


def test_python_workers_are_kept_for_the_next_task_only_where_an_executor_has_one_gpu(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert _worker_properties({}) == {}
    assert _worker_properties({"spark.executor.resource.gpu.amount": "1"}) == {}
    assert _worker_properties({"spark.executor.resource.gpu.amount": "2"}) == {"spark.python.worker.reuse": "false"}


def test_executors_compute_with_the_backend_of_the_driver(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert _worker_properties({}) == {"spark.executorEnv.KERAS_BACKEND": "jax"}
    assert _worker_properties({"spark.executorEnv.KERAS_BACKEND": "torch"}) == {}  # their own choice


def fake_java(home, version):
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    return home


def test_a_java_that_is_too_new_is_passed_over(tmp_path, monkeypatch):
    new, right = fake_java(tmp_path / "25", "25.0.1"), fake_java(tmp_path / "17", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(new))
    monkeypatch.setenv("PATH", str(right / "bin"))
    monkeypatch.setattr("landmark_spark.session._SYSTEM_JAVAS", tmp_path / "none")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert find_java() == str(right)


def test_no_java_is_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "8", "1.8.0_402")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("landmark_spark.session._SYSTEM_JAVAS", tmp_path / "none")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(JavaNotFoundError, match=r"Java 17 or 21.*openjdk-17-jre-headless.*/8 \(1\)"):
        find_java()


def test_the_cause_is_what_lies_below_sparks_layers():
    python = "Thrown:\nTraceback (most recent call last):\n  File x\n  y\nlandmark_spark.feed.FeedError: why\n\n"
    assert cause_of(RuntimeError(python + "\tat java.base")) == "landmark_spark.feed.FeedError: why"
    java = "An error occurred while calling o1.x.\n: a.Aborted: job\n\tat b\nCaused by: c.IOError: disk\n\tat d"
    assert cause_of(RuntimeError(java)) == "c.IOError: disk"
    assert cause_of(RuntimeError("An error occurred while calling o1.x.\n: a.Broken: why\n\tat b")) == "a.Broken: why"
    native = "Traceback (most recent call last):\n  File x\n    y\ncv2.error: (-215) empty\n\n\tat x.y(Z.scala:1)"
    assert cause_of(RuntimeError(native)) == "cv2.error: (-215) empty"
    of_an_rdd = (
        "api.python.PythonException: Traceback (most recent call last):\n  File x\na.Killed: why\n\n\tat java.base"
    )
    assert cause_of(RuntimeError(of_an_rdd)) == "a.Killed: why"
    assert cause_of(ValueError("short")) == "ValueError: short"


@pytest.mark.jvm
def test_a_master_that_is_none_is_one_line(monkeypatch):
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    script = (
        "from landmark_spark.settings import SparkSettings\n"
        "from landmark_spark.session import open_session, SessionError\n"
        "try:\n    open_session(SparkSettings(master='bogus'), num_shards=1)\n"
        "except SessionError as error:\n    print(error)\n"
    )
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.stdout.startswith("Spark should start on master bogus. Received: ")
    assert done.stdout.count("\n") == 1


@pytest.mark.jvm
def test_an_interrupt_while_java_starts_leaves_no_java(tmp_path):
    home = tmp_path / "spark"
    (home / "bin").mkdir(parents=True)
    java = home / "bin" / "spark-submit"  # takes for ever to say its port, as Java does on a machine under load
    java.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/new\nmv {tmp_path}/new {tmp_path}/java\nexec sleep 600\n")
    java.chmod(0o755)
    script = (
        "from landmark_spark.settings import SparkSettings\n"
        "from landmark_spark.session import open_session\n"
        "try:\n    open_session(SparkSettings(), num_shards=1)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "SPARK_HOME": str(home)}
    environment.pop("PYSPARK_GATEWAY_PORT", None)
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 100
    while not (tmp_path / "java").exists():
        assert driver.poll() is None and time.monotonic() < deadline, "Java should have been started"
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    printed, _ = driver.communicate(timeout=100)  # what it started would hold on to the pipe
    assert printed == "interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "java").read_text()), 0)


@pytest.mark.jvm
def test_a_local_run_with_gpu_amounts_ends_at_once_with_the_reason(tmp_path):
    script = (
        "from landmark_spark.settings import SparkSettings\n"
        "from landmark_spark.session import open_session, SessionError\n"
        "try:\n    open_session(SparkSettings(), num_shards=1)\n"
        "except SessionError as error:\n    print(error)\n"
    )
    (tmp_path / "job.py").write_text(script)
    submit = Path(__import__("pyspark").__file__).parent / "bin" / "spark-submit"
    command = [submit, "--master", "local[1]", "--conf", "spark.task.resource.gpu.amount=1", tmp_path / "job.py"]
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"JAVA_HOME": find_java(), "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert "spark.task.resource.gpu.amount should only be set on a cluster" in done.stdout
