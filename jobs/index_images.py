"""spark-submit job: the stage index_images."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("index_images")
