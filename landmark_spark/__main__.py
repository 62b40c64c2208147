"""Runs the command line: ``python -m landmark_spark``."""

import sys

from landmark_spark.cli import main

if __name__ == "__main__":
    sys.exit(main())
