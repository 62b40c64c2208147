"""Loads the settings from YAML and ``--set``; what is unknown, of a wrong type or out of range is refused."""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, Literal

from landmark_spark.setting_text import MAX_BYTES, TextError, parse_settings, shown
from landmark_spark.settings import Config, ConfigError

__all__ = ["load_config"]

_MAX_INT64 = 2**63 - 1
_LIMITS = (
    ("minimum", "at least", operator.ge),
    ("maximum", "at most", operator.le),
    ("above", "above", operator.gt),
    ("below", "below", operator.lt),
)


def load_config(path: str | Path | None = None, overrides: typing.Sequence[str] = ()) -> Config:
    """Load a YAML file over the defaults, then ``section.key=value`` overrides over both.

    Raises ConfigError for a file that cannot be read, an unknown key, a wrong type or a value out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read_yaml(Path(path))
        _anchor_paths(Config, values, Path(path).resolve().parent)
    for override in overrides:
        _apply_override(values, override)
    values.setdefault("store", _anchored("store", Config.store, Path.cwd(), {}))
    config: Config = _build(Config, values, "")
    return config


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            loaded = parse_settings(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise ConfigError(f"--config should be a readable YAML file. Received: {path} ({error.strerror})") from error
    except TextError as error:
        raise ConfigError(f"{path} should be {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} should be a mapping of sections. Received: {type(loaded).__name__}")
    return loaded


def _anchor_paths(kind: type, values: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of a YAML file absolute, in place."""
    for each in dataclasses.fields(kind):
        value = values.get(each.name)
        if each.metadata.get("is_path") and isinstance(value, str):
            values[each.name] = _anchored(each.name, value, folder, each.metadata)
        elif isinstance(value, dict) and each.name in _sections():
            _anchor_paths(_sections()[each.name], value, folder)


def _anchored(name: str, value: str, folder: Path, limits: typing.Mapping[Any, Any]) -> str:
    if not value or "://" in value or value in limits.get("words", ()):
        return value
    _check_text(name, value)
    try:
        return str((folder / Path(value).expanduser()).resolve())
    except (OSError, RuntimeError) as error:  # a home that nobody has, links in a circle
        raise ConfigError(f"{name} should be a path. Received: {shown(value)} ({error})") from error


@cache
def _sections() -> dict[str, type]:
    kinds = _kinds(Config)
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


@cache
def _kinds(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names) or len(names) > 2:
        raise ConfigError(f"--set should be key=value or section.key=value. Received: {shown(override)}")
    key = ".".join(shown(each).strip("'\"") for each in names)
    try:
        value = parse_settings(text)
    except TextError as error:
        raise ConfigError(f"--set {key}: the value should be plain YAML. Received: {shown(text)}") from error
    if len(names) == 2 and values.get(names[0]) is None:
        values[names[0]] = {}
    target = values[names[0]] if len(names) == 2 else values
    if not isinstance(target, dict):
        raise ConfigError(f"--set {key}: {shown(names[0])} is no section. Received: {shown(override)}")
    kind: type = _sections().get(names[0], Config) if len(names) == 2 else Config
    known: dict[str, Any] = {each.name: each.metadata for each in dataclasses.fields(kind)}
    if _kinds(kind).get(names[-1]) is str:
        value = str(value) if isinstance(value, str) else text.strip()  # store=2018 names a folder, not a number
    if known.get(names[-1], {}).get("is_path"):
        value = _anchored(key, value, Path.cwd(), known[names[-1]])
    target[names[-1]] = value


def _build(kind: type, values: Any, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix.rstrip('.')} should be a section of settings. Received: {shown(values)}")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    hints = _kinds(kind)
    arguments = {}
    for name, value in values.items():
        if name not in fields:
            raise ConfigError(_unknown(f"{prefix}{_word(name)}", [f"{prefix}{known}" for known in fields]))
        if dataclasses.is_dataclass(hints[name]):
            arguments[name] = _build(hints[name], value if value is not None else {}, f"{prefix}{name}.")
        else:
            arguments[name] = _checked(f"{prefix}{name}", value, hints[name], fields[name].metadata)
    return kind(**arguments)


def _word(name: Any) -> str:
    """Return a key as it stands in the file, or the beginning of one that nobody would have typed."""
    return name if isinstance(name, str) and name.isprintable() and len(name) <= 100 else shown(name)


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else f" Known here: {', '.join(known)}"
    return f"{name} is no setting.{hint}"


def _checked(name: str, value: Any, kind: Any, limits: types.MappingProxyType[Any, Any]) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ConfigError(f"{name} should be one of {', '.join(choices)}. Received: {shown(value)}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INT64:
        value = float(value)
    if limits.get("may_be_number") and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # YAML reads 256 as a number, and 256 384 as text
    if kind is float and isinstance(value, str):
        value = _number(value)  # YAML reads 1e-4 as text
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise ConfigError(f"{name} should be of type {kind.__name__}. Received: {shown(value)}")
    _check_limits(name, value, limits)
    if isinstance(value, str):
        _check_text(name, value)
    elif abs(value) > _MAX_INT64 if kind is int else not math.isfinite(value):
        raise ConfigError(f"{name} should be a finite number of at most 64 bits. Received: {shown(value)}")
    return value


def _check_text(name: str, value: str) -> None:
    """Refuse what no path, URL or header can hold: control characters, and halves of characters."""
    if any(letter < " " or "\x7f" <= letter <= "\x9f" or "\ud800" <= letter <= "\udfff" for letter in value):
        raise ConfigError(f"{name} should be text without control characters. Received: {shown(value)}")


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _check_limits(name: str, value: Any, limits: types.MappingProxyType[Any, Any]) -> None:
    for key, words, holds in _LIMITS:
        if key in limits and not holds(value, limits[key]):  # a NaN holds nowhere
            raise ConfigError(f"{name} should be {words} {limits[key]}. Received: {shown(value)}")
