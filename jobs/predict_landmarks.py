"""spark-submit job: the stage predict_landmarks."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("predict_landmarks")
