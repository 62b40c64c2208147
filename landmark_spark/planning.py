"""Decides what would run and why: pure, from the configuration and the commits there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from landmark_spark.commits import WHOLE, Commit, Stamp, digest_of
from landmark_spark.core.counted import counted
from landmark_spark.core.printable import printable
from landmark_spark.core.statuses import check_status_words, matches_status
from landmark_spark.pipeline import STAGES, Expectation, Input, Output, Stage, stage_named
from landmark_spark.row_counts import count_by_first
from landmark_spark.settings import Config

__all__ = [
    "Choice",
    "Inventory",
    "PlanError",
    "PlannedStage",
    "changed_columns",
    "choose",
    "damaged_inputs",
    "decide",
    "foreign_inputs",
    "input_digests",
    "missing_inputs",
    "mixed_inputs",
    "needed_shards",
    "plan_stages",
]


_SHOWN_CHARACTERS = 30  # of a setting's value before and after


class PlanError(ValueError):
    """A choice of stages or shards that makes no sense, or lacks its inputs."""


@dataclass(frozen=True)
class Choice:
    """Which stages and shards the caller asked for."""

    stages: tuple[Stage, ...] = STAGES
    force: bool = False
    shard: tuple[int, int] | None = None
    """(i, n), i from 1: the shards s with s % n == i - 1."""
    retry: tuple[str, ...] = ()
    """Statuses to fetch again in shards that are up to date: words of core.statuses.matches_status."""

    def takes(self, shard: int) -> bool:
        """Whether the shard is among those asked for."""
        return self.shard is None or shard % self.shard[1] == self.shard[0] - 1


@dataclass(frozen=True)
class Inventory:
    """What the store has: the commits of each output by shard, and the outputs whose files are not as committed."""

    commits: Mapping[str, Mapping[int, Commit]]
    damaged: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan: the shards to make (WHOLE for what is not sharded; empty = nothing to do), and why.

    retried: those of them that are up to date and in which only the rows of the statuses chosen are made anew.
    """

    stage: Stage
    shards: tuple[int, ...]
    reason: str
    retried: tuple[int, ...] = ()


def choose(
    *,
    first: str | None = None,
    last: str | None = None,
    only: str | None = None,
    force: bool = False,
    shard: str | None = None,
    retry: str | None = None,
) -> Choice:
    """Read ``--from``, ``--to``, ``--only``, ``--force``, ``--shard i/n``, ``--retry WORD,WORD``. Raises PlanError."""
    try:
        if only and (first or last):
            raise PlanError("--only should not be given together with --from or --to")
        start = STAGES.index(stage_named(only or first or STAGES[0].name))
        end = STAGES.index(stage_named(only or last or STAGES[-1].name))
    except ValueError as error:
        raise PlanError(str(error)) from error
    if start > end:
        raise PlanError(f"--from should not come after --to. Received: {first} and {last}")
    stages = STAGES[start : end + 1]
    return Choice(stages, force, _shard_choice(shard), _retry_choice(retry, stages, force=force))


def _retry_choice(text: str | None, stages: Sequence[Stage], *, force: bool) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise PlanError(f"--retry should be statuses, such as timeout,http_5xx. Received: {text!r}")
    try:
        check_status_words(words)
    except ValueError as error:
        raise PlanError(f"--retry: {error}") from error
    if force:
        raise PlanError("--retry should not be given together with --force, which fetches everything again")
    if not any(stage.fetches for stage in stages):
        fetching = next(stage.name for stage in STAGES if stage.fetches)
        raise PlanError(f"--retry should be given for stages that include {fetching}")
    return words


def _shard_choice(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    left, slash, right = text.partition("/")
    if not (slash and left.isascii() and left.isdigit() and right.isascii() and right.isdigit()):
        raise PlanError(f"--shard should be i/n, such as 3/8. Received: {text!r}")
    part, count = int(left), int(right)
    if not 1 <= part <= count:
        raise PlanError(f"--shard i/n should have 1 <= i <= n. Received: {text!r}")
    return part, count


def plan_stages(
    config: Config, choice: Choice, inventory: Inventory, expected: Mapping[str, Expectation]
) -> list[PlannedStage]:
    """Say, for every stage in order, what a run would do now, supposing that what runs changes what it makes."""
    will_change: dict[str, set[int]] = {}
    plans = []
    for stage in STAGES:
        if stage in choice.stages:
            plan = decide(stage, config, choice, inventory, expected=expected[stage.name], will_change=will_change)
        else:
            plan = PlannedStage(stage, (), "not chosen")
        for output in stage.outputs if plan.shards else ():
            will_change[output.name] = set(plan.shards)
        plans.append(plan)
    return plans


def decide(
    stage: Stage,
    config: Config,
    choice: Choice,
    inventory: Inventory,
    *,
    expected: Expectation,
    will_change: Mapping[str, set[int]],
) -> PlannedStage:
    """Decide which shards of one stage must be made, and say why in one line."""
    shards = [each for each in range(config.index.num_shards) if choice.takes(each)] if stage.sharded else [WHOLE]
    if choice.force:
        return PlannedStage(stage, tuple(shards), "forced")
    reasons: dict[int, str] = {}
    for shard in shards:
        reason = _why(stage, shard, config, inventory, expected=expected, will_change=will_change)
        if reason:
            reasons[shard] = reason
    found = _rows_to_retry(stage, [each for each in shards if each not in reasons], choice, inventory)
    retried = tuple(found)
    if found:
        reasons = dict(sorted((reasons | dict.fromkeys(found, _retry_reason(found.values()))).items()))
    if not reasons:
        return PlannedStage(stage, (), "no row to retry" if choice.retry and stage.fetches else "up to date")
    if len(reasons) < len(shards) and len(set(reasons.values())) == 1:
        reason = f"{next(iter(reasons.values()))} (shards {_listed(reasons)})"
        return PlannedStage(stage, tuple(reasons), reason, retried)
    stale = next((reason for shard, reason in reasons.items() if shard not in found), "")
    return PlannedStage(stage, tuple(reasons), stale or next(iter(reasons.values())), retried)


def _rows_to_retry(
    stage: Stage, shards: Sequence[int], choice: Choice, inventory: Inventory
) -> dict[int, dict[str, int]]:
    """Return, for each of the shards that has any, how many rows have a status that is to be retried."""
    if not (choice.retry and stage.fetches):
        return {}
    commits = inventory.commits.get(stage.outputs[0].name, {})
    found = {}
    for shard in shards:
        rows = count_by_first([commits[shard].counts])
        mine = {status: count for status, count in rows.items() if matches_status(status, choice.retry)}
        if mine:
            found[shard] = mine
    return found


def _retry_reason(counts: Iterable[Mapping[str, int]]) -> str:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    listed = ", ".join(f"{count} {printable(status)}" for status, count in sorted(total.items()))
    return f"retry of {counted(total.total(), 'row')}: {listed}"


def _listed(shards: Mapping[int, str]) -> str:
    shown = [str(each) for each in list(shards)[:8]]
    return ", ".join(shown) + (f" and {len(shards) - 8} more" if len(shards) > 8 else "")


def _why(
    stage: Stage,
    shard: int,
    config: Config,
    inventory: Inventory,
    *,
    expected: Expectation,
    will_change: Mapping[str, set[int]],
) -> str:
    for output in stage.outputs:
        for each in _shards_of(output, shard, config):
            commit = inventory.commits.get(output.name, {}).get(each)
            if commit is None:
                return f"{output.name} not made yet"
            if each in inventory.damaged.get(output.name, {}):
                return inventory.damaged[output.name][each]
    changed = [each for each in stage.reads if _changes(each, shard, will_change)]
    if changed:
        return f"{changed[0].output.name} will be made anew"
    current = input_digests(stage, shard, inventory)
    for output in stage.outputs:
        for each in _shards_of(output, shard, config):
            stamp = inventory.commits[output.name][each].stamp
            if stamp.fingerprint != expected.fingerprint:
                return _difference(expected, stamp)
            moved = [name for name, digest in current.items() if stamp.inputs.get(name) != digest]
            if moved:
                return f"{moved[0]} changed"
    return ""


def _shards_of(output: Output, shard: int, config: Config) -> list[int]:
    if not output.sharded:
        return [WHOLE]
    return [shard] if shard != WHOLE else list(range(config.index.num_shards))


def _changes(each: Input, shard: int, will_change: Mapping[str, set[int]]) -> bool:
    changing = will_change.get(each.output.name, set())
    return bool(changing) if each.whole or WHOLE in changing else shard in changing


def _difference(expected: Expectation, stamp: Stamp) -> str:
    """Name what changed since the commit: a setting, the number of shards, the stage's version or its columns."""
    now = expected.settings
    for key in sorted(set(now) | set(stamp.settings)):
        if now.get(key) != stamp.settings.get(key):
            return f"{printable(key)} changed from {_shown(stamp.settings.get(key), now.get(key))}"
    if not stamp.version:
        return "made by an earlier release, or with another number of shards"
    if stamp.num_shards != expected.num_shards:
        return f"the number of shards changed from {stamp.num_shards} to {expected.num_shards}"
    if stamp.version != expected.version:
        return f"made by version {stamp.version} of the stage, this release has version {expected.version}"
    return next(
        (f"{name}: {changed}" for name in expected.columns if (changed := changed_columns(name, stamp, expected))),
        "made by another release",
    )


def changed_columns(name: str, stamp: Stamp, expected: Expectation) -> str:
    """Say which columns of an output have another type than now, or are not there; "" where all are as now."""
    before, after = (set(each.get(name, "").split(", ")) for each in (stamp.columns, expected.columns))
    if not stamp.columns or before == after:
        return ""
    wanted, received = (", ".join(map(_name_and_type, sorted(each))) for each in (after - before, before - after))
    return f"columns should be {wanted or 'fewer'}. Received: {received or 'none of these'}"


def _name_and_type(column: str) -> str:
    return column.rpartition(" ")[0] or column  # without whether it may be null; of an artifact its path


def _shown(before: object, after: object) -> str:
    """Write two values so that their difference is seen: long ones from a little before where they part."""
    texts = [printable(str(before)), printable(str(after))]
    pairs = zip(*texts, strict=False)
    common = next((place for place, (one, other) in enumerate(pairs) if one != other), min(map(len, texts)))
    start = 0 if max(map(len, texts)) <= _SHOWN_CHARACTERS else max(common - 8, 0)
    return " to ".join(_cut(text, start) for text in texts)


def _cut(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN_CHARACTERS]
    return ("..." if start else "") + shown + ("..." if start + _SHOWN_CHARACTERS < len(text) else "")


def input_digests(stage: Stage, shard: int, inventory: Inventory) -> dict[str, str]:
    """Return the digest of each input as it is committed now: of one shard, or of all where it is read whole."""
    found = {}
    for each in stage.reads:
        commits = inventory.commits.get(each.output.name, {})
        if each.whole or shard == WHOLE:
            found[each.output.name] = digest_of({key: commit.digest for key, commit in commits.items()})
        elif shard in commits:
            found[each.output.name] = commits[shard].digest
    return found


def missing_inputs(stage: Stage, shards: Sequence[int], config: Config, inventory: Inventory) -> list[str]:
    """Return the inputs that lack what the stage needs, each with the shards that are missing."""
    missing = []
    for each in stage.reads:
        needed = needed_shards(each, shards, config)
        lacking = sorted(needed - set(inventory.commits.get(each.output.name, {})))
        if lacking == sorted(needed):
            missing.append(each.output.name)
        elif lacking:
            missing.append(f"{each.output.name} (shards {_listed(dict.fromkeys(lacking, ''))})")
    return missing


def needed_shards(each: Input, shards: Sequence[int], config: Config) -> set[int]:
    """Return the shards of an input that are read to make some shards."""
    if not each.output.sharded:
        return {WHOLE}
    return set(range(config.index.num_shards)) if each.whole or WHOLE in shards else set(shards)


def damaged_inputs(stage: Stage, shards: Sequence[int], config: Config, inventory: Inventory) -> dict[str, list[int]]:
    """Return the shards that the stage would read and that are not as they were committed, by name of the input."""
    found = {}
    for each in stage.reads:
        damaged = inventory.damaged.get(each.output.name, {})
        needed = sorted(shard for shard in damaged if shard in needed_shards(each, shards, config))
        if needed:
            found[each.output.name] = needed
    return found


def foreign_inputs(
    stage: Stage, shards: Sequence[int], config: Config, inventory: Inventory, expected: Mapping[str, Expectation]
) -> dict[str, str]:
    """Return what is wrong with inputs whose columns another release wrote, by name: they would be misread."""
    makers = {output.name: maker.name for maker in STAGES for output in maker.outputs}
    found = {}
    for each in stage.reads:
        name = each.output.name
        for shard, commit in inventory.commits.get(name, {}).items():
            fault = changed_columns(name, commit.stamp, expected[makers[name]])
            if fault and shard in needed_shards(each, shards, config):
                found[name] = f"{fault} ({commit.stamp.code})"
    return found


def mixed_inputs(stage: Stage, inventory: Inventory) -> list[str]:
    """Return the inputs of which a stage reads every shard, and whose shards were not all made with one fingerprint."""
    return [
        each.output.name
        for each in stage.reads
        if each.whole and len({commit.stamp.fingerprint for commit in inventory.commits[each.output.name].values()}) > 1
    ]
