import pytest

from landmark_spark.planning import PlanError
from landmark_spark.stage_run import _check_reach


@pytest.mark.parametrize("master", ["local", "local[4]", "local-cluster[2,1,1024]", "spark://127.0.0.1:7077"])
def test_a_folder_is_served_to_executors_on_this_machine(master):
    _check_reach(master)


@pytest.mark.parametrize("master", ["spark://host:7077", "yarn", "k8s://https://10.0.0.1:443"])
def test_a_folder_is_not_served_where_executors_could_not_reach_it(master):
    with pytest.raises(PlanError, match="serve_folder should only be used where all executors are on this machine"):
        _check_reach(master)
