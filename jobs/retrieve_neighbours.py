"""spark-submit job: the stage retrieve_neighbours."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("retrieve_neighbours")
