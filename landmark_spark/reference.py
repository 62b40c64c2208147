"""Writes the reference as Markdown out of what the code declares: commands, settings, tables, artifacts, reasons."""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from landmark_spark.core.records import REASONS
from landmark_spark.descriptions import describe_stages, describe_statuses, describe_tables, table_cell
from landmark_spark.pipeline import STAGES
from landmark_spark.schemas import Artifact
from landmark_spark.settings import Config

__all__ = ["describe_artifacts", "describe_commands", "describe_reference", "describe_settings"]

_NO_SECTION = "the whole"
_HEAD = """# Reference

<!-- Written by scripts/reference out of the code: change the code, then run it again. -->

* [Commands](#commands), with their options
* [Settings](#settings), with default and range
* [Stages](#stages), [tables](#tables) and [artifacts](#artifacts) of a store
* [Statuses of downloads](#statuses-of-downloads) and [reasons for refusing a row](#reasons-for-refusing-a-row)"""


def describe_reference(parser: argparse.ArgumentParser) -> str:
    """Return the whole reference; parser: the command line's."""
    reasons = ["| reason | what is wrong with the row |", "|---|---|"]
    reasons += [f"| `{word}` | {table_cell(meaning)} |" for word, meaning in REASONS.items()]
    parts = [
        _HEAD,
        "## Commands",
        describe_commands(parser),
        "## Settings",
        "A YAML file gives them by section, `--set SECTION.KEY=VALUE` over it. *Speed*: the setting is no part of a "
        "stage's fingerprint, a changed one makes nothing stale.",
        describe_settings(),
        "## Stages",
        describe_stages(),
        "## Tables",
        "Each is a folder of Parquet files in the store.",
        describe_tables(),
        "## Artifacts",
        describe_artifacts(),
        "## Statuses of downloads",
        describe_statuses(),
        "## Reasons for refusing a row",
        "Of the csv files; the rows are in the table `rejects`.",
        "\n".join(reasons),
    ]
    return "\n\n".join(parts)


def describe_commands(parser: argparse.ArgumentParser) -> str:
    """Return every command with its options as Markdown."""
    return "\n\n".join(_described(name, help_text, each) for name, help_text, each in _commands(parser, parser.prog))


def _commands(parser: argparse.ArgumentParser, prefix: str) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield name, help and parser of each command, commands of commands after their own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            for name, each in action.choices.items():
                yield f"{prefix} {name}", helps.get(name, ""), each
                yield from _commands(each, f"{prefix} {name}")


def _described(name: str, help_text: str, parser: argparse.ArgumentParser) -> str:
    rows = [
        f"| {_usage(action)} | {table_cell(_default(action))} | {table_cell(_help(action))} |"
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    table = ["", "| option | default | |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"### `{name}`", "", _sentence(help_text), *table])


def _usage(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings)
    value = action.metavar or (action.dest.upper() if name else action.dest)
    words = " ".join(value) if isinstance(value, tuple) else str(value)
    if action.choices:
        words = " or ".join(map(str, action.choices))
    if not name:
        return f"`{words}`"
    return f"`{name}`" if action.nargs == 0 else f"`{name} {words}`"


def _default(action: argparse.Action) -> str:
    if action.default is None or action.default is False or action.default in ([], argparse.SUPPRESS):
        return "needed" if action.required else ""
    value = action.default
    return f"`{','.join(map(str, value)) if isinstance(value, tuple | list) else value}`"


def _help(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def describe_settings() -> str:
    """Return every setting by section: type, default, range and doc line, as Markdown."""
    hints = typing.get_type_hints(Config)
    sections = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    alone = [each for each in dataclasses.fields(Config) if each.name not in sections]
    blocks = [_section(_NO_SECTION, Config.__doc__ or "", alone, hints, frozenset())]
    for name, kind in sections.items():
        fields = list(dataclasses.fields(typing.cast(Any, kind)))
        speed: frozenset[str] = getattr(kind, "SPEED", frozenset())
        blocks.append(_section(name, kind.__doc__ or "", fields, typing.get_type_hints(kind), speed))
    return "\n\n".join(blocks)


def _section(
    name: str, doc: str, fields: list[dataclasses.Field[Any]], hints: Mapping[str, Any], speed: frozenset[str]
) -> str:
    rows = [
        f"| `{each.name}` | {_kind(hints[each.name])} | `{_value(each.default)}` | {_range(each.metadata)} "
        f"| {'yes' if each.name in speed else ''} | {table_cell(str(each.metadata.get('doc', '')))} |"
        for each in fields
    ]
    title = "### Without a section" if name == _NO_SECTION else f"### `{name}`"
    heads = ["| setting | type | default | range | speed | |", "|---|---|---|---|---|---|"]
    return "\n".join([title, "", " ".join(doc.replace("``", "`").split()), "", *heads, *rows])


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(f"`{each}`" for each in typing.get_args(hint))
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(hint, str(hint))


def _value(default: Any) -> str:
    if isinstance(default, str):
        return default or '""'
    return json.dumps(default) if not isinstance(default, float) else f"{default:.6g}"


def _range(limits: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
    return ", ".join(f"{word} {limits[key]:,}" for key, word in words.items() if key in limits)


def describe_artifacts() -> str:
    """Return what stages write that is no table, as Markdown."""
    rows = [
        f"| `{each.path}` | `{stage.name}` | {table_cell(each.doc)} |"
        for stage in STAGES
        for each in stage.outputs
        if isinstance(each, Artifact)
    ]
    return "\n".join(["| path in the store | written by | |", "|---|---|---|", *rows])
