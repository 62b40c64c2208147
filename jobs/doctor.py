"""spark-submit job: what landmark-spark doctor checks, on the cluster that it is submitted to."""

import sys

from landmark_spark.cli import main

if __name__ == "__main__":
    sys.exit(main(["doctor", *sys.argv[1:]]))
