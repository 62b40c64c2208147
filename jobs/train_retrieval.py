"""spark-submit job: the stage train_retrieval."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("train_retrieval")
