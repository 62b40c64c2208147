"""spark-submit job: the stage train_top_model."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("train_top_model")
