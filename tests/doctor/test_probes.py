"""What the probes see of real folders, programs and servers, without Spark."""

import socket
import subprocess
import sys
import time

import pytest

from landmark_spark.config import load_config
from landmark_spark.doctor.checks import Node, TooSlowError, limited
from landmark_spark.doctor.node_facts import take_facts
from landmark_spark.doctor.node_probes import _connect
from landmark_spark.doctor.samples import sample_urls

QUESTION = {"store": "", "left_there": "", "inputs": [], "urls": [], "limits": {}, "gpus": False}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder of programs that comes first on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def add(name, text):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    return add


def test_facts_are_those_of_this_process():
    node = Node(**take_facts(QUESTION))
    assert node.python == ".".join(map(str, sys.version_info[:3]))
    assert len(node.project) == 12
    assert node.packages["numpy"].startswith("1.26")
    assert node.store is None
    assert min(node.free_bytes.values()) > 0


def test_a_node_without_the_project_says_so(tmp_path):
    """The module stands alone: a node gets it by value."""
    from landmark_spark.doctor import node_facts

    code = f"exec(open({node_facts.__file__!r}).read()); f = take_facts({QUESTION!r}); print(f['project_error'])"
    command = [sys.executable, "-S", "-E", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": ""})
    assert (done.stdout, done.stderr) == ("ModuleNotFoundError: No module named 'landmark_spark'\n", "")


def test_every_step_is_tried_in_a_store_that_is_left_as_it_was(tmp_path):
    (tmp_path / "left").touch()
    node = Node(**take_facts(QUESTION | {"store": str(tmp_path), "left_there": "left"}))
    assert node.store == dict.fromkeys(["reach", "find", "write", "rename", "list and read", "delete"], "")
    assert [each.name for each in tmp_path.iterdir()] == ["left"]


def test_a_store_may_be_a_url():
    node = Node(**take_facts(QUESTION | {"store": "memory://doctor"}))
    assert set(node.store.values()) == {""}


def test_the_first_failing_step_ends_the_trial(tmp_path):
    node = Node(**take_facts(QUESTION | {"store": str(tmp_path), "left_there": "gone"}))
    assert list(node.store) == ["reach", "find"]
    assert node.store["find"].startswith("FileNotFoundError: what the driver has written")
    node = Node(**take_facts(QUESTION | {"store": "/proc/landmarks", "left_there": ""}))  # written by nobody, not root
    assert list(node.store) == ["reach", "find", "write"]
    assert node.store["write"].startswith("FileNotFoundError")
    assert Node(**take_facts(QUESTION | {"store": "nosuch://x"})).store["reach"].startswith("ValueError")


def test_gpus_are_what_nvidia_smi_lists_and_the_framework_is_asked_for_them(machine, monkeypatch, tmp_path):
    machine("nvidia-smi", 'echo "NVIDIA H100"; echo "NVIDIA H100"')
    machine("python", "echo 'gpus: 1'")
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    node = Node(**take_facts(QUESTION))
    assert (node.gpus, node.framework_gpus, node.framework_error) == (("NVIDIA H100", "NVIDIA H100"), 1, "")
    machine("python", "echo 'ImportError: no libcuda' >&2; exit 3")
    node = Node(**take_facts(QUESTION))
    assert (node.framework_gpus, node.framework_error) == (None, "ImportError: no libcuda")
    machine("nvidia-smi", "echo 'no driver'; exit 9")
    assert Node(**take_facts(QUESTION)).gpus == ()


def test_a_url_is_fetched_as_a_run_would():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/a.jpg"
    limits = {"max_attempts": 1, "deadline": 5.0}
    assert Node(**take_facts(QUESTION | {"urls": [url], "limits": limits})).statuses == {url: "forbidden_address"}
    limits["allow_private_addresses"] = True
    assert Node(**take_facts(QUESTION | {"urls": [url], "limits": limits})).statuses == {url: "connection_failed"}


def test_the_first_url_of_each_host_is_tried(tmp_path):
    train = tmp_path / "train.csv"
    train.write_text("id,url,landmark_id\na,http://one.example/1,1\nb,http://one.example/2,1\nc,x/3.jpg,2\n")
    test = tmp_path / "test.csv"
    test.write_text("id,url\nd,http://two.example/4\ne,http://three.example/5\nf,http://four.example/6\n")
    given = [f"inputs.train_csv={train}", f"inputs.test_csv={test}"]
    config = load_config(None, [*given, "base_url=http://base.example/folder"])
    assert sample_urls(config) == ["http://one.example/1", "http://base.example/folder/x/3.jpg", "http://two.example/4"]
    assert sample_urls(load_config(None, given))[1] == "http://two.example/4"
    assert sample_urls(load_config(None, [])) == []


def test_ports_of_one_host_are_tried_each(tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("id,url,landmark_id\na,http://one.example:8001/1,1\nb,http://one.example:8001/2,1\n")
    test.write_text("id,url\nc,http://one.example:8002/3\nd,http://one.example/4\ne,http://one.example:80/5\n")
    tried = sample_urls(load_config(None, [f"inputs.train_csv={train}", f"inputs.test_csv={test}"]))
    assert tried == ["http://one.example:8001/1", "http://one.example:8002/3", "http://one.example/4"]


def test_a_probe_that_hangs_is_given_up():
    started = time.monotonic()
    with pytest.raises(TooSlowError, match=r"no answer within 0\.1 s"):
        limited(lambda: time.sleep(20), 0.1)
    assert time.monotonic() - started < 5
    assert limited(lambda: 3, 5) == 3
    with pytest.raises(KeyError):
        limited(lambda: {}["a"], 5)


def test_a_master_that_takes_no_connection_is_told_before_spark_is_started():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        with pytest.raises(ConnectionError, match=rf"no master at 127\.0\.0\.1:{port}: "):
            _connect(f"spark://127.0.0.1:{port}")
        listening.listen()
        _connect(f"spark://127.0.0.1:1,127.0.0.1:{port}")
        _connect(f"k8s://https://127.0.0.1:{port}")
    _connect("local[2]")
    _connect("yarn")
