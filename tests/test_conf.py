from pathlib import Path

import pytest

from landmark_spark.config import load_config

CONF = Path(__file__).resolve().parent.parent / "conf"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    config = load_config(path)
    assert Path(config.store).is_absolute()
    assert path.read_text().startswith("# ")  # the command that it is for


def properties_of(path):
    """Return the properties of a submit profile, those of commented lines too."""
    lines = [line.lstrip("#") for line in path.read_text().splitlines() if line.lstrip("#").startswith("spark.")]
    return dict(line.split(maxsplit=1) for line in lines)


@pytest.mark.parametrize("path", sorted((CONF / "spark").glob("*.conf")), ids=lambda path: path.name)
def test_profiles_hold_back_no_stage_and_name_no_property_twice(path):
    names = [
        line.lstrip("#").split()[0] for line in path.read_text().splitlines() if line.lstrip("#").startswith("spark.")
    ]
    assert len(names) == len(set(names))
    assert "spark.task.resource.gpu.amount" not in names


@pytest.mark.parametrize("name", ["standalone", "yarn", "kubernetes"])
def test_executors_of_a_cluster_see_no_packages_of_a_users_home(name):
    assert properties_of(CONF / "spark" / f"{name}.conf")["spark.executorEnv.PYTHONNOUSERSITE"] == "1"


def test_yarn_runs_the_archive_that_the_build_makes():
    properties = properties_of(CONF / "spark" / "yarn.conf")
    assert properties["spark.archives"] == "build/environment.tar.gz#environment"
    assert properties["spark.pyspark.python"] == "./environment/bin/python"
    assert (CONF.parent / properties["spark.files"]).stat().st_mode & 0o100  # the discovery script


def instructions(path):
    """Return the instructions of a Dockerfile as (word, rest), lines joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined]


def test_the_image_has_what_the_kubernetes_profile_names():
    found = instructions(CONF / "spark" / "Dockerfile")
    assert {word for word, _ in found} <= {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT"}
    copied = [rest.split() for word, rest in found if word == "COPY" and not rest.startswith("--from=spark ")]
    sources = [each for words in copied for each in words[:-1]]
    assert {"requirements.lock", "landmark_spark", "jobs", "conf", "setup.py"} <= set(sources)
    assert [each for each in sources if not (CONF.parent / each).exists()] == []
    places = {source: words[-1] for words in copied for source in words[:-1]}
    properties = properties_of(CONF / "spark" / "kubernetes.conf")
    script = properties["spark.executor.resource.gpu.discoveryScript"]
    assert script.startswith(places["conf"])
    assert (CONF / script.removeprefix(f"{places['conf']}/")).is_file()
    assert f"python -m venv {properties['spark.pyspark.python'].removesuffix('/bin/python')}" in str(found)


def test_the_images_spark_is_the_one_of_the_lock_file():
    (version,) = [rest.partition("=")[2] for word, rest in instructions(CONF / "spark" / "Dockerfile") if word == "ARG"]
    assert f"pyspark=={version} " in (CONF.parent / "requirements.lock").read_text()
