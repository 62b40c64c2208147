"""spark-submit job: the stage extract_global_descriptors."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job("extract_global_descriptors")
