"""Chooses some URLs of the csv files to try: of as many hosts and ports as possible."""

from __future__ import annotations

import itertools

from landmark_spark.core.records import Row, parse_rows, resolve_url
from landmark_spark.core.urls import parse_http_url
from landmark_spark.settings import Config
from landmark_spark.stages.input_files import input_lines

__all__ = ["sample_urls"]

_ROWS = 200  # of each file, from its beginning
_URLS = 3


def sample_urls(config: Config) -> list[str]:
    """Return at most 3 URLs of the first rows of train.csv and test.csv, of each host and port the first.

    Relative ones are resolved against base_url; where the run serves a folder itself there is nothing to try of them.
    Raises ConfigError and HeaderError.
    """
    first: dict[tuple[str, int], str] = {}
    for name, with_landmark in (("train_csv", True), ("test_csv", False)):
        path = getattr(config.inputs, name)
        if not path:
            continue
        lines = input_lines(f"inputs.{name}", path)
        rows = parse_rows(lines, source=path, with_landmark=with_landmark, allow_relative=bool(config.base_url))
        for row in itertools.islice(rows, _ROWS):
            if isinstance(row, Row):
                url = resolve_url(row.url, config.base_url)
                parsed = parse_http_url(url)
                first.setdefault((parsed.host, parsed.port) if parsed else ("", 0), url)
    return list(first.values())[:_URLS]
