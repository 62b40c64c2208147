"""Says whether a store is finished, and made with the settings of a configuration: before its models answer."""

from __future__ import annotations

import dataclasses

from landmark_spark.commits import StoreError
from landmark_spark.inventory import take_inventory
from landmark_spark.pipeline import Expectation, Stage, columns_of, expectations, stage_named, upstream_of
from landmark_spark.planning import Choice, Inventory, decide
from landmark_spark.result_settings import results_of
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["check_ready"]

_FROM_OUTSIDE = ("index_images", "download_images")
"""Stages that depend on csv files and on where images are served too: once they are done neither need be there."""


def check_ready(config: Config, store: Store, last: str, *, wants: str) -> None:
    """Raise StoreError unless all that a stage makes, and all it depends on, is made and up to date.

    As ``landmark-spark status`` has it, but that csv files and served folders may have changed, or be gone. last: the
    stage's name. wants: who asks, for the message.
    """
    stage = stage_named(last)
    needed = (*upstream_of(stage), stage)
    inventory = take_inventory(store, config, needed)
    expected = expectations(config, tuple(each for each in needed if each.name not in _FROM_OUTSIDE))
    for each in needed:
        expectation = expected.get(each.name) or _expected_of(each, config, inventory)
        found = decide(each, config, Choice(), inventory, expected=expectation, will_change={})
        if found.shards:
            raise StoreError(
                f"{wants} should have a store that is up to date with its configuration. Received: {each.name} in "
                f"{store.url} is not: {found.reason}; run landmark-spark run with the same --config and --set first"
            )


def _expected_of(stage: Stage, config: Config, inventory: Inventory) -> Expectation:
    """Return what to expect of a stage: whatever came from outside, with its section's settings as they are now."""
    now = Expectation(
        settings=results_of(config, stage.settings),
        fingerprint="",
        stage=stage.name,
        version=stage.version,
        num_shards=config.index.num_shards,
        columns={each.name: columns_of(each) for each in stage.outputs},
    )
    stamps = [commit.stamp for each in stage.outputs for commit in inventory.commits[each.name].values()]
    if not stamps:
        return now
    before = stamps[0]
    as_now = dataclasses.replace(now, settings={**before.settings, **now.settings})
    facts = (as_now.settings, as_now.version, as_now.num_shards, as_now.columns)
    is_same = facts == (before.settings, before.version, before.num_shards, before.columns)
    return dataclasses.replace(as_now, fingerprint=before.fingerprint if is_same else "")
