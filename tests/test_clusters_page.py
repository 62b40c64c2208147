"""docs/clusters.md names what there is: files, commands, options, checks."""

import re
from pathlib import Path

import pytest

from landmark_spark.cli import main
from landmark_spark.doctor import judgement

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def test_every_file_of_the_project_that_the_page_names_is_there():
    named = set(re.findall(r"(?<![\w/$])(?:scripts|jobs|conf|tests)/[\w./]*\w", PAGE))
    assert {"scripts/build", "jobs/doctor.py", "conf/spark/Dockerfile", "tests/test_build.py"} <= named
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


def test_every_option_of_the_doctor_that_the_page_names_is_taken(capsys):
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    told = capsys.readouterr().out
    named = {option for line in re.findall(r"^landmark-spark doctor (.*)$", PAGE, re.M) for option in line.split()}
    assert {"--config", "--master", "--json"} <= named
    assert [each for each in named if each.startswith("--") and each not in told] == []


def test_every_check_is_told_of():
    names = {name.removeprefix("judge_") for name in judgement.__all__} | {"spark", "weights"}
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert set(rows) == names
    assert len(rows) == len(names)
