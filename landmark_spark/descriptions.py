"""Writes what the code declares as Markdown: the stages, the tables, the statuses of downloads. The README shows it."""

from __future__ import annotations

from landmark_spark.core.statuses import ADVICE, STATUSES
from landmark_spark.pipeline import STAGES
from landmark_spark.schemas import Artifact, Table, column_doc

__all__ = ["describe_stages", "describe_statuses", "describe_tables", "table_cell"]


def describe_stages() -> str:
    """Return the stages and the tables as Markdown: the README's."""
    lines = ["| stage | reads | writes | GPU | what it does |", "|---|---|---|---|---|"]
    for stage in STAGES:
        gpu = "yes" if stage.accelerator is True else ""
        reads = ", ".join(f"`{each.output.name}`" for each in stage.reads) or "the csv files"
        writes = ", ".join(f"`{each.path if isinstance(each, Artifact) else each.name}`" for each in stage.outputs)
        lines.append(f"| `{stage.name}` | {reads} | {writes} | {gpu} | {stage.summary} |")
    return "\n".join(lines)


def describe_tables() -> str:
    """Return every table's columns as Markdown."""
    tables = [each for stage in STAGES for each in stage.outputs if isinstance(each, Table)]
    blocks = []
    for table in tables:
        rows = [f"| `{each.name}` | {each.type} | {table_cell(column_doc(each))} |" for each in table.schema]
        blocks.append(
            "\n".join([f"### `{table.name}`: {table.doc}", "", "| column | type | |", "|---|---|---|", *rows])
        )
    return "\n\n".join(blocks)


def table_cell(text: str) -> str:
    """Return a text as a cell of a table holds it: on one line, and no | of it begins another cell."""
    return " ".join(text.split()).replace("|", "\\|")


def describe_statuses() -> str:
    """Return what can become of a URL, and what to do about it, as Markdown."""
    lines = ["| status | what happened | what to do |", "|---|---|---|"]
    for status, meaning in STATUSES.items():
        lines.append(f"| `{status}` | {meaning} | {ADVICE[status]} |")
        if status == "http_<code>":
            codes = [code for code in ADVICE if code.startswith("http_") and code != status]
            lines += [f"| `{code}` | | {ADVICE[code]} |" for code in codes]
    return "\n".join(lines)
