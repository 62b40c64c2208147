import re
from pathlib import Path

from landmark_spark.pipeline import STAGES, describe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_table_of_stages_is_the_one_that_describe_prints():
    start, end = "<!-- stages: landmark-spark describe -->\n", "\n<!-- end of stages -->"
    assert README[README.index(start) + len(start) : README.index(end)] == describe()


def test_nothing_is_left_to_be_filled_in():
    assert not re.findall(r"^[A-Z]+_[A-Z_]+$", README, re.MULTILINE)


def test_every_stage_has_a_job_file_of_its_name():
    names = {each.stem for each in (ROOT / "jobs").glob("*.py")}
    assert names == {each.name for each in STAGES} | {"pipeline"}
    for stage in STAGES:
        assert f'job("{stage.name}")' in (ROOT / "jobs" / f"{stage.name}.py").read_text()
