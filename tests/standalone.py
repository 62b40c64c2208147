"""A real standalone cluster on loopback, for the tests that need one: a master and two workers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark
from java_options import java_options

from landmark_spark.session import find_java

__all__ = ["ROOT", "SPARK", "bare_environment", "environment", "spark_submit", "standalone_cluster", "start_submit"]

ROOT = Path(__file__).resolve().parent.parent
SPARK = Path(pyspark.__file__).parent


def environment():
    added = {"JAVA_HOME": find_java(), "SPARK_HOME": str(SPARK), "SPARK_LOCAL_IP": "127.0.0.1"}
    added |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    return {name: value for name, value in os.environ.items() if name != "PYSPARK_GATEWAY_PORT"} | added


def bare_environment():
    """Of a node that has Java, Spark and what its system ships, and does not know this project or its Python."""
    known = environment()
    names = ("JAVA_HOME", "SPARK_HOME", "SPARK_LOCAL_IP", "SPARK_DAEMON_JAVA_OPTS")
    kept = {name: known[name] for name in names if name in known}
    return kept | {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def standalone_cluster(folder, num_workers=2, *, cores=1, gpus=0, prefix=(), apart=False, known=None):
    """Yield the master's URL once every worker has registered; each has ``gpus`` GPUs of its own, which are made up.

    prefix: what stands before the command of each of its processes. apart: the workers have hosts of their own, of the
    loopback network, as Spark wants for a task's second attempt at once. known: the whole environment of its processes
    in place of the tests' own.
    """
    known = known or environment()
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    log = folder / "master.log"
    deploy = "org.apache.spark.deploy"
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    with contextlib.ExitStack() as stack:
        start(stack, [f"{deploy}.master.Master", *common, "--port", str(port)], log, prefix=prefix, known=known)
        wait_for(log, "I have been elected leader", 1)
        for number in range(num_workers):
            given = {"SPARK_WORKER_OPTS": find_made_up_gpus(folder, number, gpus)} if gpus else {}
            host = f"127.0.0.{number + 1}" if apart else "127.0.0.1"
            start_worker(stack, master, folder, number, host=host, cores=cores, prefix=prefix, known=known | given)
        wait_for(log, "Registering worker", num_workers)
        yield master


def start_worker(stack, master, folder, number, *, host="127.0.0.1", cores=1, prefix=(), known=None):
    options = ["--host", host, "--webui-port", "0", "--cores", str(cores), "--memory", "3g"]
    options += ["--work-dir", str(folder / f"work{number}"), master]
    log = folder / f"worker{number}.log"
    start(stack, ["org.apache.spark.deploy.worker.Worker", *options], log, prefix=prefix, known=known)


def find_made_up_gpus(folder, number, gpus):
    """Write a discovery script that tells a worker its addresses: 0 and 1 the first, 2 and 3 the second ..."""
    script = folder / f"find_gpus{number}"
    addresses = [str(number * gpus + each) for each in range(gpus)]
    script.write_text(f"#!/bin/sh\necho '{json.dumps({'name': 'gpu', 'addresses': addresses})}'\n")
    script.chmod(0o755)
    settings = {"amount": gpus, "discoveryScript": script}
    return " ".join(f"-Dspark.worker.resource.gpu.{name}={value}" for name, value in settings.items())


def start(stack, arguments, log, *, prefix=(), known=None):
    with log.open("w") as file:
        process = subprocess.Popen(
            [*prefix, SPARK / "bin" / "spark-class", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=known or environment(),
        )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def wait_for(log, text, count, seconds=180):
    deadline = time.monotonic() + seconds
    while log.read_text().count(text) < count:
        assert time.monotonic() < deadline, f"{text!r} should appear {count} times. Received: {log.read_text()}"
        time.sleep(0.2)


def spark_submit(master, job, arguments, timeout=540, properties=()):
    """Submit a job file of the project; return what it printed."""
    process = start_submit(master, job, arguments, properties)
    printed, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, printed
    return printed


def start_submit(master, job, arguments, properties=(), *, added=(), prefix=()):
    """Submit a job file of the project in a process group of its own, so that all of the driver can be killed."""
    command = [*prefix, SPARK / "bin" / "spark-submit", "--master", master]
    given = {"spark.executor.memory": "2g", "spark.ui.enabled": "false"}
    given |= {"spark.executor.extraJavaOptions": java_options()} | dict(properties)
    command += [word for key, value in given.items() for word in ("--conf", f"{key}={value}")]
    return subprocess.Popen(
        [*command, ROOT / "jobs" / job, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | dict(added),
        start_new_session=True,
    )
