"""Tells what Spark takes for a master, before any Java is started."""

from __future__ import annotations

import re

__all__ = ["MASTERS", "is_master"]

MASTERS = (
    "local, local[N], local[*], local[N,FAILURES], local-cluster[EXECUTORS,CORES,MIB], spark://HOST:PORT[,HOST:PORT], "
    "yarn or k8s://HOST:PORT"
)
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_COUNT = r"0*[1-9][0-9]{0,8}"
_FORMS = (
    r"local",
    rf"local\[(?:{_COUNT}|\*)(?:\s*,\s*{_COUNT})?\]",
    rf"local-cluster\[\s*{_COUNT}\s*,\s*{_COUNT}\s*,\s*{_COUNT}\s*\]",
    rf"spark://{_HOST}:[0-9]{{1,5}}(?:,{_HOST}:[0-9]{{1,5}})*",
    r"yarn",
    rf"k8s://(?:https?://)?{_HOST}(?::[0-9]{{1,5}})?(?:/[!-~]*)?",
)
_PORT = re.compile(r":([0-9]{1,5})(?=[,/]|\Z)")


def is_master(text: str) -> bool:
    """Return whether Spark 4.0 knows such a master; whether one is there is another question."""
    known = any(re.fullmatch(form, text) for form in _FORMS)
    return known and all(0 < int(port) < 65_536 for port in _PORT.findall(text))
