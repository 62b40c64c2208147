"""spark-submit job: the stage verify_landmarks."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("verify_landmarks")
