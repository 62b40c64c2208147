"""Finds what the documents tell people to type: fenced blocks, and in them the command lines."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Command", "Fence", "commands", "documents", "fences"]

ROOT = Path(__file__).resolve().parent.parent
SHELL = {"", "sh", "bash", "shell", "console"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "2>", "2>&1", "<"}


@dataclass(frozen=True)
class Fence:
    """A fenced block: where it begins, its language, its text without the fence's indentation."""

    document: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line of a document: its words, without comments, assignments before it and what it is piped into."""

    document: str
    line: int
    words: tuple[str, ...]

    def __str__(self):
        return f"{self.document}:{self.line} {' '.join(self.words)}"


def documents():
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences():
    found = []
    for path in documents():
        name, begun = str(path.relative_to(ROOT)), None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            match = re.fullmatch(r"(\s*)```(\S*).*", line)
            if match and begun is None:
                begun = (number, match[2], len(match[1]), [])
            elif match:
                found.append(Fence(name, begun[0], begun[1], "\n".join(begun[3]) + "\n"))
                begun = None
            elif begun:
                begun[3].append(line[begun[2] :])
        assert begun is None, f"{name}: the fence of line {begun and begun[0]} is not closed"
    return found


def commands():
    """Return the command lines of all shell blocks: those of this project's programs and files, and no others'."""
    found = []
    for fence in fences():
        if fence.language not in SHELL:
            continue
        text = fence.text.replace("\\\n", " \0")  # a line that goes on is one command; lines keep their numbers
        number = fence.line
        for line in text.splitlines():
            number += 1
            for words in _split(line.replace("\0", "")):
                if words and (words[0] == "landmark-spark" or words[0].startswith(("scripts/", "./scripts/", "jobs/"))):
                    found.append(Command(fence.document, number, words))
            number += line.count("\0")
    return found


def _split(line):
    """Return the commands of a line, each as its words."""
    line = line.removeprefix("$ ")
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a line of an output with an apostrophe, say
        return []
    parts, part, is_ended = [], [], False
    for word in words:
        if word in _ENDS:
            parts.append(part)
            part, is_ended = [], word in ("|", ">", ">>", "2>", "<")
        elif not is_ended or word in ("landmark-spark",):
            is_ended = False
            part.append(word)
    parts.append(part)
    return [tuple(_bare(each)) for each in parts]


def _bare(words):
    """Return words without assignments and `source` before them, and without the brackets of what may be left out."""
    while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] in ("source", "time", "exec", "sudo")):
        words = words[1:]
    if words and words[0] == "landmark-spark":
        words = [each.strip("[]") if each.startswith("[") or each.endswith("]") else each for each in words]
    return [each for each in words if each]
