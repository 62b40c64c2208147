"""A real standalone cluster on loopback, for the tests that need one: a master and two workers."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark

from landmark_spark.session import find_java

__all__ = ["ROOT", "environment", "spark_submit", "standalone_cluster", "start_submit"]

ROOT = Path(__file__).resolve().parent.parent
SPARK = Path(pyspark.__file__).parent


def environment():
    added = {"JAVA_HOME": find_java(), "SPARK_HOME": str(SPARK), "SPARK_LOCAL_IP": "127.0.0.1"}
    added |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    return {name: value for name, value in os.environ.items() if name != "PYSPARK_GATEWAY_PORT"} | added


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def standalone_cluster(folder, num_workers=2):
    """Yield the master's URL once every worker has registered."""
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    log = folder / "master.log"
    deploy = "org.apache.spark.deploy"
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    with contextlib.ExitStack() as stack:
        start(stack, [f"{deploy}.master.Master", *common, "--port", str(port)], log)
        wait_for(log, "I have been elected leader", 1)
        for number in range(num_workers):
            options = ["--cores", "1", "--memory", "3g", "--work-dir", str(folder / f"work{number}")]
            start(stack, [f"{deploy}.worker.Worker", *common, *options, master], folder / f"worker{number}.log")
        wait_for(log, "Registering worker", num_workers)
        yield master


def start(stack, arguments, log):
    with log.open("w") as file:
        process = subprocess.Popen(
            [SPARK / "bin" / "spark-class", *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment()
        )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def wait_for(log, text, count, seconds=60):
    deadline = time.monotonic() + seconds
    while log.read_text().count(text) < count:
        assert time.monotonic() < deadline, f"{text!r} should appear {count} times. Received: {log.read_text()}"
        time.sleep(0.2)


def spark_submit(master, job, arguments, timeout=540):
    """Submit a job file of the project; return what it printed."""
    process = start_submit(master, job, arguments)
    printed, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, printed
    return printed


def start_submit(master, job, arguments):
    """Submit a job file of the project in a process group of its own, so that all of the driver can be killed."""
    command = [SPARK / "bin" / "spark-submit", "--master", master, "--conf", "spark.executor.memory=2g"]
    return subprocess.Popen(
        [*command, ROOT / "jobs" / job, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        start_new_session=True,
    )
