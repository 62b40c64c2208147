"""Calls img2dataset once, with the interpreter of its own environment; knows nothing of this project.

The arguments are img2dataset's, as one JSON object; the answer, wall_seconds, goes to the file named second.
"""

import json
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # img2dataset's processes import this file again
    from img2dataset import download

    started = time.perf_counter()
    download(**json.loads(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps({"wall_seconds": time.perf_counter() - started}))
