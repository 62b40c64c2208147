"""Reads the YAML of settings: plain values alone, each key once, and nothing that grows as it is read."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["MAX_BYTES", "TextError", "parse_settings", "shown"]

MAX_BYTES = 100_000
"""No configuration is longer."""

_MAX_SHOWN = 200
_MERGE = "tag:yaml.org,2002:merge"


class TextError(ValueError):
    """A text that is not the YAML of settings: "YAML. Received: ..."."""


def parse_settings(text: str | bytes) -> Any:
    """Return the value that a YAML document holds; bytes are UTF-8.

    Raises TextError for anything else, whatever it is: tags that make objects, keys that stand twice, merges (<<),
    which double with each line, nesting without an end, numbers that Python refuses.
    """
    if len(text) > MAX_BYTES:
        raise TextError(f"YAML of at most {MAX_BYTES} bytes. Received: more")
    try:
        return _Loader(text if isinstance(text, str) else text.decode("utf-8")).get_single_data()
    except RecursionError as error:
        raise TextError("YAML. Received: values within values without an end") from error
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise TextError(f"YAML. Received: {_one_line(error)}") from error  # PyYAML lets Python's own errors out


class _Loader(yaml.SafeLoader):
    """Makes plain values, and refuses a key that stands twice in a mapping: one of the two would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[tuple[str, str]] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == _MERGE:
                raise yaml.constructor.ConstructorError(None, None, "a merge (<<)", key_node.start_mark)
            if isinstance(key_node, yaml.ScalarNode):
                key = (key_node.tag, key_node.value)
                if key in keys:
                    problem = f"the key {shown(key_node.value)} twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
                keys.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def shown(value: Any) -> str:
    """Return a value as a message quotes it: on one line, and of a length that can be read, whatever the value."""
    if isinstance(value, str):
        return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    return f"a {type(value).__name__}"  # its repr may be exponentially longer than the text it was read from


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable if len(printable) <= 3 * _MAX_SHOWN else printable[: 3 * _MAX_SHOWN] + "..."
