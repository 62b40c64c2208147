import pytest

from landmark_spark.input_checks import DamagedInputError
from landmark_spark.pipeline import stage_named
from landmark_spark.planning import Choice, PlanError
from landmark_spark.run_records import RunRecord
from landmark_spark.runner import _run_stages
from landmark_spark.stage_run import _check_reach


@pytest.mark.parametrize("master", ["local", "local[4]", "local-cluster[2,1,1024]", "spark://127.0.0.1:7077"])
def test_a_folder_is_served_to_executors_on_this_machine(master):
    _check_reach(master)


@pytest.mark.parametrize("master", ["spark://host:7077", "yarn", "k8s://https://10.0.0.1:443"])
def test_a_folder_is_not_served_where_executors_could_not_reach_it(master):
    with pytest.raises(PlanError, match="serve_folder should only be used where all executors are on this machine"):
        _check_reach(master)


class Damaged:
    """A run whose stages find an input damaged: so many times, or for ever."""

    def __init__(self, stages, times):
        self.choice = Choice(tuple(map(stage_named, stages)))
        self.times = times
        self.ran, self.said, self.failed = [], [], []

    def bring_up_to_date(self, stage):
        self.ran.append(stage.name)
        if stage.name == "extract_bottlenecks" and self.times > 0:
            self.times -= 1
            raise DamagedInputError("images shard 3 is damaged", [stage_named("download_images")])
        return RunRecord(stage.name, 1, 5, 1.0, "made")

    def tell(self, line):
        self.said.append(line)

    def note_failure(self, stage, error):
        self.failed.append((stage.name, error))


def test_a_run_goes_back_to_what_makes_a_damaged_input():
    run = Damaged(["download_images", "extract_bottlenecks", "write_report"], 1)
    assert [record.stage for record in _run_stages(run)] == ["download_images", "extract_bottlenecks", "write_report"]
    assert run.ran == ["download_images", "extract_bottlenecks"] * 2 + ["write_report"]
    assert run.said == ["warning: images shard 3 is damaged"]


@pytest.mark.parametrize("stages", [["download_images", "extract_bottlenecks"], ["extract_bottlenecks"]])
def test_a_run_that_does_not_make_the_damaged_shard_ends(stages):
    run = Damaged(stages, 100)
    with pytest.raises(DamagedInputError):
        _run_stages(run)
    assert run.failed == [("extract_bottlenecks", "images shard 3 is damaged")]
    assert run.ran.count("extract_bottlenecks") == len(stages)
