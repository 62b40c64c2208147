"""What is judged of made-up facts."""

from dataclasses import replace

import pytest

from landmark_spark.doctor.checks import Check, Node
from landmark_spark.doctor.judgement import (
    judge_disk,
    judge_gpus,
    judge_inputs,
    judge_java,
    judge_network,
    judge_packages,
    judge_project,
    judge_python,
    judge_store,
)
from landmark_spark.doctor.node_probes import judge_silence

STEPS = ("reach", "find", "write", "rename", "list and read", "delete")
DRIVER = Node(
    "driver /work",
    "3.11.7",
    project="abc",
    packages={"numpy": "1.26.4", "keras": "3.15.0"},
    store=dict.fromkeys(STEPS, ""),
    inputs={"/data/train.csv": ""},
    statuses={"http://one.example/a.jpg": "ok", "http://two.example/b.jpg": "ok"},
    free_bytes={"/work": 50_000_000_000},
)
ONE, TWO = replace(DRIVER, place="one /w/0"), replace(DRIVER, place="two /w/1")


@pytest.mark.parametrize(
    ("found", "java_home", "state", "words"),
    [
        ([("/jvm/17", 17)], "", "ok", "Java 17 at /jvm/17"),
        ([("/jvm/25", 25), ("/jvm/21", 21)], "", "ok", "Java 21 at /jvm/21"),
        ([("/jvm/25", 25), ("/jvm/21", 21)], "/jvm/25", "warning", "JAVA_HOME is /jvm/25 (25); a run takes Java 21"),
        ([("/gone", None), ("/jvm/17", 17)], "/gone", "warning", "JAVA_HOME is /gone (no java)"),
        ([("/jvm/25", 25), ("/gone", None)], "/jvm/25", "failed", "tried: /jvm/25 (25), /gone (no java)"),
        ([], "", "failed", "nothing found"),
    ],
)
def test_a_java_of_17_or_21_is_wanted_and_java_home_should_be_it(found, java_home, state, words):
    check = judge_java(found, java_home)
    assert check.state == state
    assert words in check.found
    assert bool(check.advice) == (state != "ok")


def test_where_all_is_alike_every_check_is_ok():
    nodes = [ONE, TWO]
    checks = [each(DRIVER, nodes) for each in (judge_python, judge_project, judge_packages, judge_inputs)]
    checks += [judge_network(DRIVER, nodes), judge_gpus(nodes, 0), judge_store("/store", DRIVER, nodes)]
    checks.append(judge_disk("/store", 20_000_000_000, {"driver": DRIVER}))
    assert [each.state for each in checks] == ["ok"] * 8
    assert [each.advice for each in checks] == [""] * 8


def test_another_minor_version_of_python_fails_and_another_patch_does_not():
    assert judge_python(DRIVER, [replace(ONE, python="3.11.2")]).state == "ok"
    check = judge_python(DRIVER, [ONE, replace(TWO, python="3.12.1")])
    assert (check.state, check.found) == ("failed", "the driver has 3.11.7; 3.12.1 on two /w/1")


def test_a_project_that_is_missing_or_of_other_sources_fails():
    gone = replace(TWO, project="", project_error="ModuleNotFoundError: No module named 'landmark_spark'")
    check = judge_project(DRIVER, [ONE, gone])
    assert check.state == "failed"
    assert check.found == "not importable on two /w/1: ModuleNotFoundError: No module named 'landmark_spark'"
    assert "scripts/build" in check.advice
    check = judge_project(DRIVER, [ONE, replace(TWO, project="def")])
    assert (check.state, check.found) == ("failed", "the driver's sources are abc; def on two /w/1")


def test_another_version_of_a_package_is_a_warning_and_a_missing_one_a_failure():
    check = judge_packages(DRIVER, [replace(ONE, packages={"numpy": "1.26.0", "keras": "3.15.0"})])
    assert (check.state, check.found) == (
        "warning",
        "driver and executors differ: numpy 1.26.4 and 1.26.0 on one /w/0",
    )
    check = judge_packages(DRIVER, [replace(ONE, packages={"numpy": "1.26.4", "keras": ""})])
    assert (check.state, check.found) == ("failed", "driver and executors differ: keras 3.15.0 and none on one /w/0")
    bare = replace(DRIVER, packages={"numpy": ""})
    assert judge_packages(bare, [replace(ONE, packages={"numpy": ""})]).state == "failed"


@pytest.mark.parametrize(
    ("node", "wanted", "state", "words"),
    [
        (ONE, 0.0, "ok", "none there, none asked for"),
        (replace(ONE, gpus=("H100",), framework_gpus=1), 0.0, "ok", "1 seen by TensorFlow"),
        (replace(ONE, gpus=("H100",), framework_gpus=0), 0.0, "warning", "1 named by nvidia-smi, none seen"),
        (replace(ONE, gpus=("H100",), framework_error="TimeoutExpired"), 0.0, "warning", "TimeoutExpired"),
        (replace(ONE, gpus=("H100",), given=("0",), framework_gpus=1), 1.0, "ok", "1 given to tasks of 1 executor"),
        (replace(ONE, gpus=("H100",), given=("0",), framework_gpus=0), 1.0, "failed", "none seen by TensorFlow"),
        (replace(ONE, framework_gpus=0), 1.0, "failed", "Spark gave no GPU to tasks on one /w/0"),
    ],
)
def test_a_gpu_that_is_asked_for_has_to_be_seen_and_one_that_is_there_should_be(node, wanted, state, words):
    check = judge_gpus([node], wanted)
    assert check.state == state
    assert words in check.found


def test_the_first_step_that_fails_in_the_store_is_told_with_its_place():
    refused = replace(TWO, store={"reach": "", "find": "", "write": "PermissionError: no"})
    check = judge_store("/store", DRIVER, [ONE, refused])
    assert (check.state, check.found) == ("failed", "/store: cannot write (PermissionError: no) on two /w/1")
    check = judge_store("/store", replace(DRIVER, store={"reach": "ImportError: s3fs"}), [ONE])
    assert check.found == "/store: cannot reach (ImportError: s3fs) on the driver"


def test_a_store_that_the_executors_do_not_share_is_told_apart():
    alone = replace(ONE, store={"reach": "", "find": "FileNotFoundError: it is not there"})
    check = judge_store("/store", DRIVER, [alone])
    assert check.state == "failed"
    assert check.advice.startswith("name a folder that all nodes share")


def test_a_csv_file_that_an_executor_cannot_read_fails():
    check = judge_inputs(DRIVER, [ONE, replace(TWO, inputs={"/data/train.csv": "FileNotFoundError: none"})])
    assert check.found == "not readable: /data/train.csv on two /w/1 (FileNotFoundError: none)"
    assert judge_inputs(replace(DRIVER, inputs={}), []).state == "ok"


def test_one_dead_url_is_a_warning_and_none_that_answers_a_failure():
    dead = replace(ONE, statuses={"http://one.example/a.jpg": "http_404", "http://two.example/b.jpg": "ok"})
    check = judge_network(DRIVER, [dead])
    assert (check.state, check.found) == ("warning", "one.example:80: http_404 on one /w/0; the driver reaches them")
    cut_off = replace(TWO, statuses=dict.fromkeys(DRIVER.statuses, "dns_failed"))
    check = judge_network(DRIVER, [ONE, cut_off])
    assert check.state == "failed"
    assert check.found.startswith("one.example:80: dns_failed on two /w/1, two.example:80: dns_failed on two /w/1")


def test_addresses_of_the_urls_are_not_told_only_their_hosts():
    secret = replace(DRIVER, statuses={"http://user:pass@one.example/a?key=1": "http_403"})
    assert judge_network(secret, []).found == "one.example:80: http_403 on the driver (no executor was asked)"


def test_ports_of_one_host_are_named_each():
    statuses = {"http://one.example:8001/a.jpg": "ok", "http://one.example:8002/b.jpg": "http_404"}
    statuses |= {"https://one.example/c.jpg": "http_500", "http://[::1]:8003/d.jpg": "timeout"}
    check = judge_network(replace(DRIVER, statuses=statuses), [replace(ONE, statuses=statuses)])
    dead = ("one.example:8002: http_404", "one.example:443: http_500", "[::1]:8003: timeout")
    assert check.found == ", ".join(f"{each} on one /w/0" for each in dead) + "; the driver reaches them"


def test_where_no_executor_was_asked_the_drivers_own_result_is_told_as_that():
    assert judge_network(DRIVER, []).found == "2 URLs fetched by the driver (no executor was asked)"


def test_pictures_that_the_run_serves_are_for_executors_of_this_machine():
    quiet = replace(DRIVER, statuses={})
    assert judge_network(quiet, [], served_to="local[2]").state == "ok"
    assert judge_network(quiet, [], served_to="spark://host:7077").state == "warning"


@pytest.mark.parametrize(("free", "state"), [(10**9 - 1, "failed"), (10**9, "warning"), (10**10, "ok")])
def test_free_disk_is_judged_by_the_fullest_place(free, state):
    check = judge_disk("/store", free, {"driver": DRIVER})
    assert check.state == state
    assert check.found.startswith(f"{free / 1e9:.1f} GB free in /store on the driver")


def test_a_folder_that_could_not_be_looked_at_is_not_taken_for_a_full_one():
    assert judge_disk("s3://bucket/store", None, {"driver": replace(DRIVER, free_bytes={})}).state == "warning"


def test_silent_executors_are_judged_by_what_spark_says():
    mismatch = judge_silence("PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different version")
    assert (mismatch.name, mismatch.state) == ("python", "failed")
    assert judge_silence('java.io.IOException: Cannot run program "./environment/bin/python"').name == "python"
    assert judge_silence("no answer within 240 s") == Check(
        "executors", "failed", "no answer within 240 s", "look into the log of an executor, which says more"
    )
