"""What scripts/submit hands to spark-submit; a program that prints its arguments stands in for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from played_kubernetes import played_kubernetes
from standalone import SPARK, environment

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "spark.pyspark.python=./environment/bin/python"


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    program = tmp_path / ".venv" / "bin" / "spark-submit"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "environment.tar.gz").touch()
    return tmp_path


def submit(checkout, *words, profile="standalone", **added):
    known = {name: value for name, value in os.environ.items() if name != "LANDMARK_SPARK_ARCHIVE"}
    command = [checkout / "scripts" / "submit", *words]
    done = subprocess.run(
        command, env=known | {"SPARK_PROFILE": profile} | added, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_without_an_archive_nothing_is_added_to_the_profile(checkout):
    words = ["--properties-file", "conf/spark/standalone.conf", "--master", "spark://host:7077", "jobs/pipeline.py"]
    assert submit(checkout, *words[2:]) == (0, words, "")


def test_in_client_mode_the_driver_keeps_its_own_python(checkout):
    given = ["jobs/pipeline.py", "--deploy-mode", "cluster"]  # the job's own words do not count
    status, words, _ = submit(checkout, "--archive", "environment.tar.gz", *given)
    driver = f"spark.pyspark.driver.python={checkout}/.venv/bin/python"
    added = ["--conf", "spark.archives=environment.tar.gz#environment", "--conf", PYTHON, "--conf", driver]
    assert (status, words[2:]) == (0, [*added, *given])


@pytest.mark.parametrize("profile", ["yarn", "kubernetes"])
def test_in_cluster_mode_the_driver_runs_the_archives_python(checkout, profile):
    archive = "s3a://bucket/environment.tar.gz"
    status, words, _ = submit(checkout, "jobs/pipeline.py", profile=profile, LANDMARK_SPARK_ARCHIVE=archive)
    assert (status, words[2:6]) == (0, ["--conf", f"spark.archives={archive}#environment", "--conf", PYTHON])
    assert words[6:] == ["jobs/pipeline.py"]


def test_the_deploy_mode_of_the_command_line_wins_over_the_profile(checkout):
    words = ["--archive", "environment.tar.gz", "--deploy-mode", "client", "jobs/pipeline.py"]
    assert "spark.pyspark.driver.python" in "".join(submit(checkout, *words, profile="yarn")[1])
    words[2:4] = ["--conf", "spark.submit.deployMode=cluster"]
    assert "spark.pyspark.driver.python" not in "".join(submit(checkout, *words)[1])


@pytest.mark.parametrize(
    ("profile", "words", "wanted"),
    [
        ("standalone", ["--archive"], "--archive should be followed by a file"),
        (
            "standalone",
            ["--archive", "none.tar.gz"],
            "should be a file of scripts/build or a URL. Received: none.tar.gz",
        ),
        ("local", ["--archive", "environment.tar.gz"], "an archive is for a cluster"),
        ("standalone", [], "scripts/submit [--archive FILE] [OPTIONS] jobs/NAME.py ... (--help). Received: nothing"),
        ("standalone", ["--archive", "environment.tar.gz"], "a job should be given"),
        ("mesos", [], "SPARK_PROFILE should be local, standalone, yarn or kubernetes. Received: mesos"),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_a_line(checkout, profile, words, wanted):
    status, printed, error = submit(checkout, *words, profile=profile)
    assert (status, printed) == (2, [])
    assert wanted in error
    assert error.count("\n") == 1


def test_help_after_the_job_is_the_jobs_own(checkout):
    assert submit(checkout, "jobs/pipeline.py", "--help")[1][-2:] == ["jobs/pipeline.py", "--help"]


@pytest.mark.jvm
def test_on_kubernetes_the_drivers_pod_runs_the_job_of_the_image_with_its_python(checkout):
    program = checkout / ".venv" / "bin" / "spark-submit"
    program.write_text(f'#!/bin/sh\nexec {SPARK}/bin/spark-submit "$@"\n')
    with played_kubernetes() as (master, created):
        words = ["--master", master, "--conf", "spark.kubernetes.submission.waitAppCompletion=false"]
        words += ["local:///opt/landmark_spark/jobs/pipeline.py", "--config", "/data/my.yaml"]
        status, _, error = submit(checkout, *words, profile="kubernetes", JAVA_HOME=environment()["JAVA_HOME"])
    assert status == 0, error
    (pod,) = [each for each in created if each["kind"] == "Pod"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "landmark-spark:0.1.0"
    assert container["args"][0] == "driver"
    assert container["args"][-3:] == ["local:///opt/landmark_spark/jobs/pipeline.py", "--config", "/data/my.yaml"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["PYSPARK_PYTHON"] == given["PYSPARK_DRIVER_PYTHON"] == "/opt/environment/bin/python"
    assert container["resources"]["limits"]["memory"] == "4096Mi"  # 2 GB and 2 GB of overhead
    assert pod["spec"]["serviceAccountName"] == "spark"
