import re
from pathlib import Path

from document_commands import commands

from landmark_spark.descriptions import describe_stages, describe_statuses
from landmark_spark.pipeline import STAGES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name):
    start, end = f"<!-- {name}: landmark-spark describe -->\n", f"\n<!-- end of {name} -->"
    return README[README.index(start) + len(start) : README.index(end)]


def test_the_readmes_tables_are_those_that_describe_prints():
    assert block("stages") == describe_stages(), "the README is old: run scripts/reference"
    assert block("statuses") == describe_statuses(), "the README is old: run scripts/reference"


def test_nothing_is_left_to_be_filled_in():
    assert not re.findall(r"^[A-Z]+_[A-Z_]+$", README, re.MULTILINE)


def test_every_stage_has_a_job_file_of_its_name():
    names = {each.stem for each in (ROOT / "jobs").glob("*.py")}
    assert names == {each.name for each in STAGES} | {"pipeline", "doctor"}
    for stage in STAGES:
        assert f'job("{stage.name}")' in (ROOT / "jobs" / f"{stage.name}.py").read_text()


def test_the_readme_begins_with_what_one_begins_with():
    typed = [each.words for each in commands() if each.document == "README.md"]
    assert [words[:2] for words in typed[:9]] == [
        ("scripts/demo",),
        ("scripts/environment",),
        ("landmark-spark", "ingest"),
        ("landmark-spark", "run"),
        ("landmark-spark", "answers"),
        ("landmark-spark", "identify"),
        ("scripts/build",),
        ("scripts/submit", "--master"),
        ("scripts/submit", "--master"),
    ]
    quickstart = [each.words for each in commands() if each.document == "docs/quickstart.md"]
    assert [each for each in typed[:9] if each not in quickstart] == []
