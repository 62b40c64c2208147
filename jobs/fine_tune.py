"""spark-submit job: the stage fine_tune."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("fine_tune")
