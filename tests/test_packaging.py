"""What an installed package holds: a wheel is built of a copy of the checkout, and looked into."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from landmark_spark import __version__
from landmark_spark.pipeline import STAGES

ROOT = Path(__file__).resolve().parent.parent
DATA = {".jinja", ".js", ".css", ".svg", ".yaml", ".json", ".csv", ".txt", ".md", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that ``pip install .`` makes; the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("package") / "checkout"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "landmark_spark", copy / "landmark_spark", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", "from setuptools import build_meta; print(build_meta.build_wheel('.'))"]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    return copy / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel's files in it, which comes before this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_there(installed, tmp_path, *words):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_wheel_holds_every_source_and_every_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = {
        str(each.relative_to(ROOT))
        for each in (ROOT / "landmark_spark").rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }
    unknown = [each for each in wanted if Path(each).suffix not in {".py", *DATA}]
    assert not unknown, "setup.py's DATA should have the ends of these names"
    assert wanted <= held
    assert {"landmark_spark/py.typed", "landmark_spark/report/page.html.jinja"} <= held
    others = {each for each in held - wanted if ".dist-info/" not in each}
    assert not others


def test_the_wheel_names_its_license_version_and_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {each.partition("/")[0] for each in archive.namelist() if ".dist-info/" in each}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        scripts = archive.read(f"{folder}/entry_points.txt").decode()
    assert "landmark-spark = landmark_spark.cli:main" in scripts
    assert metadata["Version"] == __version__
    assert metadata["License"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_the_installed_package_says_its_version_and_plans_the_toy_world_without_any_configuration(installed, tmp_path):
    version = run_there(installed, tmp_path, sys.executable, "-m", "landmark_spark", "--version")
    assert version.stdout == f"landmark-spark {__version__}\n"
    place = "import landmark_spark; print(landmark_spark.__file__)"
    where = run_there(installed, tmp_path, sys.executable, "-c", place)
    assert where.stdout.strip() == str(installed / "landmark_spark" / "__init__.py")
    plan = run_there(installed, tmp_path, sys.executable, "-m", "landmark_spark", "plan")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.count(" not made yet") == len(STAGES)
    assert not list(tmp_path.iterdir())  # plan writes nothing
