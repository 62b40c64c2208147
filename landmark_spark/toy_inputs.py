"""Lets the toy world stand in where a configuration names no csv files: it is drawn into the store."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from landmark_spark.core.submission import parse_solution
from landmark_spark.settings import Config, ConfigError
from landmark_spark.toy.world import holds_world, make_world, write_tables

__all__ = ["TOY_WORLD", "check_places", "described_inputs", "draw_inputs", "has_inputs"]

TOY_WORLD = "toy_world"
"""Folder of the world in a store."""


def check_places(config: Config) -> None:
    """Raise ConfigError where the served folder is not there, or the toy world could not lie in the store."""
    if config.serve_folder and not Path(config.serve_folder).is_dir():
        raise ConfigError(f"serve_folder should be a folder. Received: {config.serve_folder}")
    if not config.inputs.train_csv and "://" in config.store and not config.store.startswith("file://"):
        raise ConfigError(f"store should be a local folder for the toy world. Received: {config.store}")


def has_inputs(config: Config) -> bool:
    """Whether the csv files are there: given, or the toy world that the configuration asks for, drawn."""
    return bool(config.inputs.train_csv) or holds_world(_place(config), **dataclasses.asdict(config.toy))


def draw_inputs(config: Config) -> Config:
    """Return the configuration with its csv files: the toy world's, drawn into the store, where none are given.

    For who holds the lock. Raises ConfigError.
    """
    check_places(config)
    if config.inputs.train_csv:
        return config
    _written(make_world, _place(config), config)
    return _pointed_at(config, _place(config))


@contextlib.contextmanager
def described_inputs(config: Config) -> Iterator[tuple[Config, Mapping[str, str]]]:
    """Give the configuration with its csv files, for as long as the block, and write nothing into the store.

    A toy world that is not drawn yet, or other than asked for, is described by its csv files alone in a temporary
    folder; the mapping says for which folder of the store that one stands. Raises ConfigError.
    """
    check_places(config)
    if config.inputs.train_csv:
        yield config, {}
    elif has_inputs(config):
        yield _pointed_at(config, _place(config)), {}
    else:
        with tempfile.TemporaryDirectory(prefix="toy_world-") as name:
            _written(write_tables, Path(name), config)
            yield _pointed_at(config, Path(name)), {name: str(_place(config))}


def _place(config: Config) -> Path:
    return Path(config.store.removeprefix("file://")) / TOY_WORLD


def _written(write: Callable[..., None], folder: Path, config: Config) -> None:
    try:
        write(folder, **dataclasses.asdict(config.toy))
    except (OSError, ValueError) as error:
        raise ConfigError(f"store should be a folder that the toy world can be made in. Received: {error}") from error


def _pointed_at(config: Config, folder: Path) -> Config:
    names = ("train_csv", "test_csv", "non_landmark_csv", "landmarks_csv")
    paths = {name: str(folder / f"{name.removesuffix('_csv')}.csv") for name in names}
    solution = folder / "solution.csv"
    with solution.open("rb") as file:  # a handful of test photos may show no landmark at all: nothing to measure by
        shows_any = any(parse_solution(file, source=str(solution)).values())
    inputs = dataclasses.replace(config.inputs, solution_csv=str(solution) if shows_any else "", **paths)
    return dataclasses.replace(config, inputs=inputs, serve_folder=str(folder), base_url="")
