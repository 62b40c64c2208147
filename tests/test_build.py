"""The archive of scripts/build: what is in it, and that a cluster whose nodes have nothing of ours runs on it."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from base64 import urlsafe_b64encode
from importlib.metadata import version
from pathlib import Path

import pytest
from java_options import java_options
from standalone import ROOT, SPARK, bare_environment, spark_submit, standalone_cluster

from landmark_spark.schemas import IMAGES
from landmark_spark.store import Store
from scripts.archive.__main__ import add_project
from scripts.archive.interpreter import ArchiveError
from scripts.archive.locked import files_of, locked_versions, with_requirements
from scripts.archive.packing import open_archive

TESTS = Path(__file__).resolve().parent


def test_a_lock_file_names_each_package_once_with_its_version(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("# c\nruamel.yaml==0.18 \\\n    --hash=sha256:aa==\n    # via x\nA_b[c]==1.0 ; sys_platform=='x'\n")
    assert locked_versions(lock) == {"ruamel-yaml": "0.18", "a-b": "1.0"}


def test_the_lock_file_of_a_run_has_no_tool_of_development():
    names = set(locked_versions(ROOT / "requirements.lock"))
    assert {"pyspark", "tensorflow", "opencv-python"} <= names
    assert not {"pytest", "ruff", "mypy", "import-linter"} & names


def test_a_part_has_what_its_packages_require():
    versions = {"requests": version("requests"), "urllib3": version("urllib3"), "idna": version("idna")}
    versions |= {"certifi": version("certifi"), "charset-normalizer": version("charset-normalizer"), "numpy": "0"}
    assert with_requirements(["Requests"], versions).keys() == versions.keys() - {"numpy"}
    with pytest.raises(ArchiveError, match="should name pytest"):
        with_requirements(["pytest"], versions)


def test_another_version_than_the_locked_one_is_refused():
    with pytest.raises(ArchiveError, match=r"idna should have the locked version 0\.1; .*Received: \d"):
        list(files_of({"idna": "0.1"}))
    with pytest.raises(ArchiveError, match=r"no-such-package 1 should be installed"):
        list(files_of({"no-such-package": "1"}))


def test_packages_come_without_programs_and_compiled_modules():
    files = list(files_of({"idna": version("idna"), "pip": version("pip")}))
    assert {"idna/core.py", "pip/__main__.py"} <= {each.relative for each in files}
    assert not [each for each in files if "__pycache__" in each.relative or each.relative.startswith("..")]


def test_the_same_files_give_the_same_bytes(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("x = 1\n")
    (tmp_path / "link").symlink_to("a.py")
    digests = []
    for number in (1, 2):
        source.touch()
        with open_archive(tmp_path / f"{number}.tar.gz", 1) as archive:
            archive.add(source, "bin/a.py", urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).decode().rstrip("="))
            archive.add(tmp_path / "link", "bin/link")
            assert archive.num_bytes == 6
        digests.append(hashlib.sha256((tmp_path / f"{number}.tar.gz").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    with tarfile.open(tmp_path / "1.tar.gz") as made:
        assert [(each.name, each.mtime, each.uid) for each in made] == [("bin/a.py", 0, 0), ("bin/link", 0, 0)]


def test_a_file_that_was_changed_after_its_installation_is_refused_and_leaves_no_archive(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("x = 2\n")
    with pytest.raises(ArchiveError, match="another content"), open_archive(tmp_path / "x.tar.gz", 0) as archive:
        archive.add(source, "a.py", urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).decode().rstrip("="))
    assert [each.name for each in tmp_path.iterdir()] == ["a.py"]


def test_the_project_comes_with_what_it_reads_beside_its_code(tmp_path):
    with open_archive(tmp_path / "project.tar.gz", 0) as archive:
        add_project(archive, "lib")
    with tarfile.open(tmp_path / "project.tar.gz") as made:
        names = set(made.getnames())
    shutil.unpack_archive(tmp_path / "project.tar.gz", tmp_path / "unpacked")
    beside = {
        "rates.json",
        "py.typed",
        "report/page.html.jinja",
        "report/web/page.css",
        "report/vendor/chart.umd.min.js",
    }
    assert {f"lib/landmark_spark/{each}" for each in beside} <= names
    assert {"jobs/pipeline.py", "jobs/doctor.py", "bin/landmark-spark", "lib/landmark_spark/cli.py"} <= names
    assert not [each for each in names if "__pycache__" in each]
    program = "from landmark_spark import rates; from landmark_spark.report import assets; "
    program += "assert assets.load_assets().scripts and rates.load_rates(); print(rates.__file__, assets.__file__)"
    known = {"PYTHONPATH": str(tmp_path / "unpacked" / "lib")}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=known, capture_output=True, text=True, check=True
    )
    assert all(each.startswith(str(tmp_path)) for each in told.stdout.split())


# What a driver imports, and index_images and download_images on the nodes: without the networks, 2 of 2.4 GB.
PART = ["pyarrow", "pandas", "numpy", "opencv-python", "pillow", "requests", "certifi", "fsspec", "pyyaml"]
PART += ["jinja2", "matplotlib"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "environment.tar.gz"
    command = [sys.executable, "-m", "scripts.archive", path, "--level", "0", "--only", *PART]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield path
    path.unlink()  # pytest keeps the folders of three runs


@pytest.mark.jvm
def test_the_archive_has_the_locked_versions_and_no_other_package(archive):
    with gzip.open(archive) as packed, tarfile.open(fileobj=packed) as made:
        names = [each.name for each in made]
        told = json.loads(made.extractfile("landmark_spark.json").read())
    infos = [each.removesuffix(".dist-info/RECORD") for each in names if each.endswith(".dist-info/RECORD")]
    found = [Path(each).name.rpartition("-") for each in infos]
    assert {name.lower().replace("_", "-"): number for name, _, number in found} == told["packages"]
    assert told["packages"].items() <= locked_versions(ROOT / "requirements.lock").items()
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert not [each for each in names if "/pytest" in each or each.startswith("/") or "__pycache__" in each]


@pytest.fixture(scope="module")
def bare_cluster(tmp_path_factory):
    """The master's URL and the folder of two workers that know neither the project nor its Python."""
    folder = tmp_path_factory.mktemp("bare")
    with standalone_cluster(folder, known=bare_environment()) as master:
        yield master, folder
    shutil.rmtree(folder)


def assert_all_is_from_the_archive(printed, store):
    """Check what archive_job.py printed, and the pictures that it fetched; return where its executors' Pythons are."""
    (line,) = [each for each in printed.splitlines() if each.startswith("seen: ")]
    seen = json.loads(line.removeprefix("seen: "))
    for each in seen:
        assert Path(each["prefix"]).name == "environment"
        assert each["project"].startswith(each["prefix"])
        assert each["outside"] == []
        assert each["path"] == "/usr/bin:/bin"
        assert each["without_the_archive"] == ["ModuleNotFoundError: No module named 'landmark_spark'"]
    statuses = Store(str(store)).read_arrow(IMAGES, ["status"])["status"].to_pylist()
    assert len(statuses) == 52  # 4 landmarks of 6 photos, 24 test photos, 4 of no landmark
    assert statuses.count("ok") > 40
    return {Path(each["prefix"]) for each in seen}


@pytest.mark.jvm
def test_nodes_that_know_nothing_of_the_project_run_it_from_the_archive(
    bare_cluster, archive, tiny_arguments, tmp_path
):
    master, folder = bare_cluster
    properties = {
        "spark.archives": f"{archive}#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
        "spark.cores.max": "1",  # one executor: each unpacks the archive
    }
    words = [*tiny_arguments("run", tmp_path / "store")[1:], "--to", "download_images"]
    printed = spark_submit(master, TESTS / "archive_job.py", words, properties=properties)
    (prefix,) = assert_all_is_from_the_archive(printed, tmp_path / "store")
    assert prefix.is_relative_to(folder)  # in its worker's own folder


@pytest.mark.jvm
def test_the_driver_runs_on_a_node_from_an_archive_that_lies_unpacked(bare_cluster, archive, tiny_arguments, tmp_path):
    master, folder = bare_cluster
    unpacked = tmp_path / "environment"
    unpacked.mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", unpacked], check=True)
    job = shutil.copy(TESTS / "archive_job.py", unpacked)
    words = [*tiny_arguments("run", tmp_path / "store")[1:], "--to", "download_images"]
    command = [SPARK / "bin" / "spark-submit", "--master", master, "--deploy-mode", "cluster"]
    command += ["--class", "org.apache.spark.deploy.PythonRunner"]
    given = {"spark.pyspark.python": unpacked / "bin" / "python", "spark.ui.enabled": "false"}
    given |= {"spark.standalone.submit.waitAppCompletion": "true", "spark.executor.extraJavaOptions": java_options()}
    command += [word for key, value in given.items() for word in ("--conf", f"{key}={value}")]
    jar = next((SPARK / "jars").glob("slf4j-api-*.jar"))  # any will do: spark-submit wants one
    done = subprocess.run(
        [*command, jar, job, "", *words],
        capture_output=True,
        text=True,
        check=False,
        env=bare_environment(),
        timeout=300,
    )
    (driver,) = folder.glob("work*/driver-*")
    printed = (driver / "stdout").read_text()
    assert "is FINISHED" in done.stderr, done.stderr + printed + (driver / "stderr").read_text()
    assert assert_all_is_from_the_archive(printed, tmp_path / "store") == {unpacked}
    assert f"driver: {unpacked}/bin/python\n" in printed
    shutil.rmtree(unpacked)
