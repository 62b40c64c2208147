"""spark-submit job: every stage that is not up to date, or those of --from, --to, --only."""

from landmark_spark.cli import job

if __name__ == "__main__":
    job(None)
