"""Says which settings decide what a stage gives: all of its section but those for speed alone."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from landmark_spark.settings import Config

__all__ = ["results_of"]


def results_of(config: Config, *sections: type) -> dict[str, Any]:
    """Return the settings of some sections, given by their classes, that decide results: by ``section.key``."""
    names = {kind: name for name, kind in typing.get_type_hints(Config).items()}
    return {
        f"{names[section]}.{key}": value
        for section in sections
        for key, value in dataclasses.asdict(getattr(config, names[section])).items()
        if key not in section.SPEED  # type: ignore[attr-defined]
    }
