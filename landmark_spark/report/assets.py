"""The page's style and scripts, and the policy that lets a browser run these and no others."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Assets", "load_assets"]

_STYLE = "web/page.css"
_SCRIPTS = ("vendor/chart.umd.min.js", "web/chart_config.js", "web/charts.js", "web/gallery.js")


@dataclass(frozen=True)
class Assets:
    """Texts that stand between <style> and <script> tags as they are.

    policy: for Content-Security-Policy. Scripts and style are named by their hashes, so that nothing that comes from a
    csv file could ever run, and nothing is loaded but the pictures beside the page.
    """

    style: str
    scripts: tuple[str, ...]
    policy: str


@cache
def load_assets() -> Assets:
    """Read style and scripts from the package.

    Raises:
        ValueError: one holds what would end its element.
    """
    style, *scripts = (_read(name) for name in (_STYLE, *_SCRIPTS))
    policy = (
        f"default-src 'none'; img-src 'self' data:; style-src {_hash(style)};"
        f" script-src {' '.join(map(_hash, scripts))}; base-uri 'none'; form-action 'none'"
    )
    return Assets(style, tuple(scripts), policy)


def _read(name: str) -> str:
    text = (files("landmark_spark.report") / name).read_text(encoding="utf-8")
    # The library's last line names a file for debuggers, which is not there.
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("//# sourceMappingURL="))
    if any(end in text.lower() for end in ("</script", "</style", "<!--")):
        raise ValueError(f"{name} should not hold what ends its element. Received: </script, </style or <!--")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
