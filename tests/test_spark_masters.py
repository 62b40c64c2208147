import pytest

from landmark_spark.config import load_config
from landmark_spark.settings import ConfigError
from landmark_spark.spark_masters import is_master


@pytest.mark.parametrize(
    "master",
    [
        "local",
        "local[8]",
        "local[*]",
        "local[*, 3]",
        "local-cluster[2,1,1024]",
        "local-cluster[ 2 , 1 , 1024 ]",
        "spark://node-1.example:7077",
        "spark://[::1]:7077",
        "spark://one:7077,two:7077",
        "yarn",
        "k8s://https://10.0.0.1:6443",
        "k8s://api.example:443",
        "k8s://https://rancher.example/k8s/clusters/c-1",
    ],
)
def test_the_masters_of_spark_are_taken(master):
    assert is_master(master)
    assert load_config(None, [f"spark.master={master}"]).spark.master == master


@pytest.mark.parametrize(
    "master",
    [
        "",
        "nonsense://x",
        "local[0]",  # Spark: asked to run locally with 0 threads
        "local[]",
        "local[-1]",
        "local-cluster[2,1]",
        "spark://host",  # Spark wants the port
        "spark://host:70770",
        "spark://one:7077,two",
        "spark://user@host:7077",
        "spark://host:7077/path",
        "host:7077",
        "yarn-client",  # of Spark 1
        "mesos://host:5050",  # of Spark 3
        "k8s://",
        "k8s://ftp://host",
    ],
)
def test_what_is_no_master_is_refused(master):
    assert not is_master(master)
    with pytest.raises(ConfigError, match="spark.master should be local, "):
        load_config(None, [f"spark.master={master}"])
