"""spark-submit job: the stage download_images."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("download_images")
