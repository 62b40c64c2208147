"""The estimate against two measured runs on two idle cores with AVX-512 and without AMX.

Most rates come from these very runs (rates.json says which): what is held here is that one set of them fits both sizes,
and every stage of theirs.
"""

from pathlib import Path

import pytest

from landmark_spark.config import load_config
from landmark_spark.core.estimates import Cluster, Workload, total_seconds
from landmark_spark.core.stage_costs import Case, estimate_run
from landmark_spark.estimating import recipe_of
from landmark_spark.rates import load_rates, values_of

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = Cluster(num_nodes=1, cores_per_node=2, cpu="avx512")
FACTOR = 1.5  # of stages and groups that take 10 s or more, in either direction
WHOLE = 1.2  # of a whole run

TOY = {  # seconds of scripts/demo, as the README shows them
    "index_images": 20.0,
    "download_images": 2.3,
    "extract_bottlenecks": 15.5,
    "train_top_model": 16.8,
    "fine_tune": 0.1,
    "predict_landmarks": 3.2,
    "extract_global_descriptors": 38.3,
    "train_retrieval": 1.2,
    "retrieve_neighbours": 2.8,
    "train_delf": 0.1,
    "extract_local_features": 15.8,
    "verify_landmarks": 37.7,
    "fuse_evidence": 1.9,
    "write_submission": 1.4,
    "write_report": 6.0,
}
MINI = {  # seconds of the groups of stages of conf/mini.yaml with descriptors of 256 pixels, and of that run in all
    ("extract_bottlenecks", "train_top_model", "fine_tune", "predict_landmarks"): 92.0,
    ("extract_global_descriptors", "train_retrieval", "retrieve_neighbours"): 190.0,
    ("train_delf", "extract_local_features", "verify_landmarks"): 390.0,
}
MINI_WHOLE = 720.0


def predicted(config, work, image_bytes, overrides=()):
    rates = values_of(load_rates()) | {"bytes_original": image_bytes}
    found = estimate_run(Case(work, CLUSTER, recipe_of(load_config(ROOT / "conf" / config, overrides)), rates))
    return {each.stage: each.seconds for each in found}, total_seconds(found)


def toy():
    return predicted("toy.yaml", Workload(num_train=144, num_test=120, num_landmarks=12, num_non_landmark=24), 32_400)


def mini():
    work = Workload(num_train=589, num_test=887, num_landmarks=44, num_non_landmark=340)
    return predicted("mini.yaml", work, 68_900, ["descriptors.sides=256"])


@pytest.mark.parametrize("stage", [name for name, seconds in TOY.items() if seconds >= 10])
def test_a_stage_of_the_toy_world_takes_what_is_predicted(stage):
    ratio = toy()[0][stage] / TOY[stage]
    assert 1 / FACTOR < ratio < FACTOR


def test_a_stage_that_took_less_than_ten_seconds_is_not_predicted_to_take_more_than_twenty():
    seconds = toy()[0]
    assert {name for name, taken in TOY.items() if taken < 10 and seconds[name] > 20} == set()


@pytest.mark.parametrize("stages", list(MINI), ids=lambda stages: stages[0])
def test_a_group_of_stages_of_the_real_photos_takes_what_is_predicted(stages):
    seconds = mini()[0]
    assert 1 / FACTOR < sum(seconds[each] for each in stages) / MINI[stages] < FACTOR


def test_whole_runs_take_what_is_predicted():
    assert 1 / WHOLE < toy()[1] / sum(TOY.values()) < WHOLE
    assert 1 / WHOLE < mini()[1] / MINI_WHOLE < WHOLE


def test_the_page_shows_both_beside_each_other():
    page = (ROOT / "docs" / "scaling.md").read_text()
    (seconds, whole), (of_mini, mini_whole) = toy(), mini()
    rows = [("toy", f"`{name}`", seconds[name], taken) for name, taken in TOY.items()]
    rows.append(("toy", "in all", whole, sum(TOY.values())))
    rows += [
        ("mini", ", ".join(f"`{each}`" for each in stages), sum(of_mini[each] for each in stages), taken)
        for stages, taken in MINI.items()
    ]
    rows.append(("mini", "in all", mini_whole, MINI_WHOLE))
    lines = [f"| {run} | {name} | {guess:.1f} | {taken:.1f} |" for run, name, guess, taken in rows]
    assert "\n".join(lines) in page, "\n".join(lines)
