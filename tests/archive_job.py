"""spark-submit job: a run of the tiny pipeline, then where each executor's Python had everything from, as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path


def where_from(_):
    """Return what a task on a node sees: its Python, the project, and what its process has of places outside both."""
    import cv2  # noqa: F401

    import landmark_spark.stages.download_images as project

    own = (f"{sys.prefix}/", f"{os.environ['SPARK_HOME']}/python/", "/usr/lib/", "/lib/", "/proc/", "/dev/")
    modules = {str(getattr(each, "__file__", None) or "") for each in list(sys.modules.values())}
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = {line.split(maxsplit=5)[5] for line in lines if len(line.split()) > 5}
    used = {os.path.realpath(each) for each in modules | mapped if each.startswith("/")}
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = ["python3", "-c", "import landmark_spark"]
    tried = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    return {
        "prefix": sys.prefix,
        "project": project.__file__,
        "outside": sorted(each for each in used if not each.startswith(own)),
        "path": os.environ["PATH"],
        "without_the_archive": tried.stderr.strip().splitlines()[-1:],
    }


if __name__ == "__main__":
    from pyspark.sql import SparkSession

    from landmark_spark.cli import main

    status = main(["run", *sys.argv[1:]])
    context = SparkSession.builder.getOrCreate().sparkContext
    seen = context.parallelize(range(2), 2).map(where_from).collect()
    sys.stdout.write(f"driver: {sys.executable}\nseen: {json.dumps(seen)}\n")
    sys.exit(status)
