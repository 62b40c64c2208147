"""The command as a whole: on local Spark where all is well, and where nothing is."""

import json
import socket

import pytest

from landmark_spark.cli import main


def asked(capsys, *words):
    status = main(["doctor", "--json", *words])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return status, {each["name"]: each for each in json.loads(printed.out)}


@pytest.mark.jvm
def test_all_is_well_on_local_spark(spark, capsys, tmp_path, tiny_arguments, monkeypatch):
    monkeypatch.setattr("pyspark.sql.SparkSession.stop", lambda session: None)  # it is the other tests' too
    words = tiny_arguments("doctor", tmp_path / "store")[1:]
    status, checks = asked(capsys, *words)
    names = ["java", "spark", "python", "project", "packages", "gpus", "store", "inputs", "network", "disk", "weights"]
    assert list(checks) == names
    assert {each["name"] for each in checks.values() if each["state"] == "failed"} == set()
    assert status == 0
    assert "1 executor" in checks["project"]["found"]
    assert not (tmp_path / "store").exists()


@pytest.fixture
def wrong_java(monkeypatch, tmp_path):
    home = tmp_path / "java25"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"25.0.1\" 2025-10-21' >&2\n")
    (home / "bin" / "java").chmod(0o755)
    monkeypatch.setattr("landmark_spark.session._SYSTEM_JAVAS", tmp_path / "none")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    return home


def test_nothing_is_well(wrong_java, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LANDMARK_SPARK_WEIGHTS", str(tmp_path / "no_weights"))
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("id,url,landmark_id\na,a.jpg,1\n")
    test.write_text("id,url\nb,b.jpg\n")
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        url = f"http://127.0.0.1:{dead.getsockname()[1]}"
        given = ["store=/proc/landmarks", f"base_url={url}", f"inputs.train_csv={train}", f"inputs.test_csv={test}"]
        given.append(f"inputs.landmarks_csv={tmp_path / 'gone.csv'}")
        status, checks = asked(capsys, *(word for each in given for word in ("--set", each)))
    assert status == 1
    states = {name: each["state"] for name, each in checks.items()}
    wrong = dict.fromkeys(["java", "spark", "store", "inputs", "network", "weights"], "failed")
    assert {name: states[name] for name in wrong} == wrong
    assert f"{wrong_java} (25)" in checks["java"]["found"]
    assert "cannot write" in checks["store"]["found"]
    assert "gone.csv on the driver" in checks["inputs"]["found"]
    assert f"127.0.0.1:{url.rpartition(':')[2]}: connection_failed on the driver (no" in checks["network"]["found"]
    assert "/proc/landmarks" not in checks["disk"]["found"]  # why it is not there is told once, as the store's
    assert "$LANDMARK_SPARK_WEIGHTS should be" in checks["weights"]["found"]
    assert all(each["advice"] for each in checks.values() if each["state"] != "ok")


def test_no_java_at_all_is_told_in_lines(wrong_java, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME")
    assert main(["doctor", "--set", f"store={tmp_path / 'store'}", "--set", "backbone.weights=random"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=2) == ["failed", "java", "no Java 17 or 21; tried: nothing found"]
    assert lines[1].split(":")[0].strip() == "what to do"
    assert lines[2].split()[:2] == ["failed", "spark"]


def test_a_setting_that_is_none_is_the_callers_mistake(capsys):
    assert main(["doctor", "--set", "no.such=1"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("words", [["--master", "nonsense://x"], ["--set", "spark.master=nonsense://x"]])
def test_a_master_that_spark_does_not_know_is_a_line_before_any_java(words, capsys, wrong_java):
    assert main(["doctor", *words]) == 2
    printed = capsys.readouterr()
    option = "--master" if words[0] == "--master" else "spark.master"
    assert printed.out == ""
    assert printed.err.startswith(f"error: {option} should be local, local[N], ")
    assert printed.err.endswith("yarn or k8s://HOST:PORT. Received: 'nonsense://x'\n")
