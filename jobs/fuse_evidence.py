"""spark-submit job: the stage fuse_evidence."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("fuse_evidence")
