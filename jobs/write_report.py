"""spark-submit job: the stage write_report."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("write_report")
