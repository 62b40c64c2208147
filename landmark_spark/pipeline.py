"""The stages, on one page, and the checks of the graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from landmark_spark.commits import Stamp
from landmark_spark.provenance import code_version
from landmark_spark.result_settings import results_of
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    DELF_MODEL,
    FINE_TUNED_MODEL,
    FUSION,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LANDMARKS,
    LOCAL_FEATURES,
    METRICS,
    PREDICTIONS,
    RECORDS,
    REJECTS,
    REPORT,
    RETRIEVAL_MODEL,
    SCORES,
    SUBMISSION,
    TOP_MODEL,
    VERIFICATIONS,
    Artifact,
    Table,
)
from landmark_spark.settings import (
    BackboneSettings,
    Config,
    DelfSettings,
    DescriptorSettings,
    DownloadSettings,
    FineTuneSettings,
    FusionSettings,
    IndexSettings,
    LocalFeatureSettings,
    PredictSettings,
    ReportSettings,
    RetrievalSettings,
    SubmissionSettings,
    TrainSettings,
    VerifySettings,
)
from landmark_spark.stages.download_images import address_of, download_images
from landmark_spark.stages.extract_bottlenecks import extract_bottlenecks, find_weights, weights_digest
from landmark_spark.stages.extract_global_descriptors import (
    descriptors_also,
    extract_global_descriptors,
    find_descriptor_networks,
)
from landmark_spark.stages.extract_local_features import extract_local_features
from landmark_spark.stages.feature_kinds import features_also, features_on_accelerator, find_features
from landmark_spark.stages.fine_tune import base_and_training, check_fine_tuning, fine_tune
from landmark_spark.stages.fuse_evidence import fuse_evidence
from landmark_spark.stages.index_images import check_headers, csv_digests, index_images
from landmark_spark.stages.predict_landmarks import predict_landmarks
from landmark_spark.stages.retrieve_neighbours import retrieve_neighbours
from landmark_spark.stages.train_delf import check_delf, delf_also, train_delf
from landmark_spark.stages.train_retrieval import train_retrieval
from landmark_spark.stages.train_top_model import train_top_model
from landmark_spark.stages.training_process import check_workers
from landmark_spark.stages.verify_landmarks import verify_landmarks
from landmark_spark.stages.write_report import read_solution, solution_digest, write_report
from landmark_spark.stages.write_submission import submission_also, write_submission

__all__ = [
    "STAGES",
    "Expectation",
    "Input",
    "Output",
    "Stage",
    "check_graph",
    "columns_of",
    "expectations",
    "settings_of",
    "stage_named",
    "upstream_of",
]

Output = Table | Artifact


@dataclass(frozen=True)
class Input:
    """What a stage reads. ``whole``: every shard of it is needed to make any shard of the outputs."""

    output: Output
    whole: bool


def whole(output: Output) -> Input:
    """Declare an input of which a stage reads all shards at once."""
    return Input(output, whole=True)


def _nothing_else(_: Config) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Stage:
    """A function from tables to tables, and what its result depends on.

    inputs: tables read shard by shard, or ``whole(...)``. settings: its section of the configuration. also: what else
    its result depends on, such as the contents of a csv file. version: raised when the same settings give another
    result. accelerator: it is what a GPU is for, or a function that tells by the settings whether it is. keeps_rows:
    every shard has as many rows as the same shard of the first input. fetches: it goes out to the URLs, so that a
    served folder must be up, and what failed there can be retried by its status, the first column that its output
    counts. preflight: raises where something it needs is not there; called before the first stage of a run, so that
    hours of downloads do not end in a missing file.
    """

    function: Callable[..., Any]
    inputs: tuple[Output | Input, ...]
    outputs: tuple[Output, ...]
    settings: type
    also: Callable[[Config], Mapping[str, Any]] = _nothing_else
    accelerator: bool | Callable[[Config], bool] = False
    keeps_rows: bool = False
    fetches: bool = False
    preflight: Callable[[Config], object] | None = None
    version: int = 1

    @property
    def name(self) -> str:
        """The function's name: the CLI's, the job file's and the commit's too."""
        return str(self.function.__name__)

    @property
    def reads(self) -> tuple[Input, ...]:
        """The inputs, each with its mode; what is not sharded is read whole."""
        found = (each if isinstance(each, Input) else Input(each, whole=False) for each in self.inputs)
        return tuple(Input(each.output, each.whole or not each.output.sharded) for each in found)

    def on_accelerator(self, config: Config) -> bool:
        """Whether its tasks are given a GPU each, where Spark hands out any."""
        return self.accelerator(config) if callable(self.accelerator) else self.accelerator

    @property
    def sharded(self) -> bool:
        """Whether shards can be made one by one: all outputs are sharded."""
        return all(each.sharded for each in self.outputs)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def _report_also(config: Config) -> dict[str, Any]:
    """Return what the report shows of other stages' settings, and the solution."""
    return results_of(config, SubmissionSettings, VerifySettings, FusionSettings) | solution_digest(config)


STAGES = (
    Stage(
        index_images,
        inputs=(),
        outputs=(RECORDS, LANDMARKS, REJECTS),
        settings=IndexSettings,
        also=csv_digests,
        preflight=check_headers,
    ),
    Stage(
        download_images,
        inputs=(RECORDS,),
        outputs=(IMAGES,),
        settings=DownloadSettings,
        also=address_of,
        keeps_rows=True,
        fetches=True,
    ),
    Stage(
        extract_bottlenecks,
        inputs=(IMAGES,),
        outputs=(BOTTLENECKS,),
        settings=BackboneSettings,
        also=weights_digest,
        accelerator=True,
        preflight=find_weights,
        version=2,
    ),
    Stage(
        train_top_model,
        inputs=(whole(BOTTLENECKS), LANDMARKS),
        outputs=(TOP_MODEL,),
        settings=TrainSettings,
        accelerator=True,
        preflight=check_workers,
    ),
    Stage(
        fine_tune,
        inputs=(whole(IMAGES), LANDMARKS, TOP_MODEL),
        outputs=(FINE_TUNED_MODEL,),
        settings=FineTuneSettings,
        also=base_and_training,
        accelerator=True,
        preflight=check_fine_tuning,
    ),
    Stage(
        predict_landmarks,
        inputs=(IMAGES, BOTTLENECKS, TOP_MODEL, FINE_TUNED_MODEL),
        outputs=(PREDICTIONS,),
        settings=PredictSettings,
        accelerator=True,
    ),
    Stage(
        extract_global_descriptors,
        inputs=(IMAGES,),
        outputs=(GLOBAL_DESCRIPTORS,),
        settings=DescriptorSettings,
        also=descriptors_also,
        accelerator=True,
        preflight=find_descriptor_networks,
    ),
    Stage(
        train_retrieval,
        inputs=(whole(GLOBAL_DESCRIPTORS), LANDMARKS),
        outputs=(RETRIEVAL_MODEL,),
        settings=RetrievalSettings,
        version=2,
    ),
    Stage(
        retrieve_neighbours,
        inputs=(GLOBAL_DESCRIPTORS, RETRIEVAL_MODEL, LANDMARKS),
        outputs=(CANDIDATES,),
        settings=RetrievalSettings,
    ),
    Stage(
        train_delf,
        inputs=(whole(IMAGES), LANDMARKS),
        outputs=(DELF_MODEL,),
        settings=DelfSettings,
        also=delf_also,
        accelerator=True,
        preflight=check_delf,
    ),
    Stage(
        extract_local_features,
        inputs=(IMAGES, whole(PREDICTIONS), whole(CANDIDATES), DELF_MODEL),
        outputs=(LOCAL_FEATURES,),
        settings=LocalFeatureSettings,
        also=features_also,
        accelerator=features_on_accelerator,
        preflight=find_features,
    ),
    Stage(
        verify_landmarks,
        inputs=(PREDICTIONS, CANDIDATES, LANDMARKS, whole(LOCAL_FEATURES), whole(BOTTLENECKS)),
        outputs=(VERIFICATIONS,),
        settings=VerifySettings,
    ),
    Stage(
        fuse_evidence,
        inputs=(whole(CANDIDATES), whole(VERIFICATIONS)),
        outputs=(SCORES, FUSION),
        settings=FusionSettings,
    ),
    Stage(
        write_submission,
        inputs=(whole(RECORDS), REJECTS, whole(PREDICTIONS), whole(VERIFICATIONS), whole(SCORES)),
        outputs=(SUBMISSION,),
        settings=SubmissionSettings,
        also=submission_also,
        version=2,
    ),
    Stage(
        write_report,
        inputs=(
            whole(IMAGES),
            LANDMARKS,
            REJECTS,
            TOP_MODEL,
            FINE_TUNED_MODEL,
            DELF_MODEL,
            whole(PREDICTIONS),
            whole(CANDIDATES),
            whole(LOCAL_FEATURES),
            whole(VERIFICATIONS),
            whole(SCORES),
            SUBMISSION,
        ),
        outputs=(METRICS, REPORT),
        settings=ReportSettings,
        also=_report_also,
        preflight=read_solution,
        version=5,
    ),
)


def stage_named(name: str) -> Stage:
    """Return the stage of a name; raises ValueError listing the names there are."""
    found = {each.name: each for each in STAGES}
    if name not in found:
        raise ValueError(f"a stage should be one of {', '.join(found)}. Received: {name}")
    return found[name]


def check_graph(stages: tuple[Stage, ...] = STAGES) -> None:
    """Raise ValueError unless every input is made by an earlier stage and every output by exactly one."""
    made: dict[str, str] = {}
    for stage in stages:
        for each in stage.reads:
            if each.output.name not in made:
                raise ValueError(f"{stage.name} reads {each.output.name}, which no earlier stage makes")
        for output in stage.outputs:
            if output.name in made:
                raise ValueError(f"{output.name} should have one maker. Received: {made[output.name]} and {stage.name}")
            made[output.name] = stage.name


def settings_of(stage: Stage, config: Config) -> dict[str, Any]:
    """Return the settings that decide a stage's result, as ``section.key``; those for speed alone are left out."""
    return results_of(config, stage.settings) | dict(stage.also(config))


@dataclass(frozen=True)
class Expectation:
    """What the commits of a stage should say under a configuration.

    The fingerprint is the hash of what decides the stage's result besides the contents it reads: version, settings and
    output schemas. The contents are compared by their digests: a stage upstream that ran anew and gave the same bytes
    makes nothing stale.
    """

    settings: Mapping[str, Any]
    fingerprint: str
    stage: str = ""
    version: int = 0
    num_shards: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    def stamp(self, inputs: Mapping[str, str]) -> Stamp:
        """Return what is noted with an output made of these contents: digest by input."""
        return Stamp(
            stage=self.stage,
            fingerprint=self.fingerprint,
            settings=self.settings,
            inputs=inputs,
            version=self.version,
            num_shards=self.num_shards,
            columns=self.columns,
            code=code_version(),
        )


def expectations(
    config: Config, stages: tuple[Stage, ...] = STAGES, *, stands_for: Mapping[str, str] | None = None
) -> dict[str, Expectation]:
    """Return what to expect of each stage, by name. Reads every csv and weights file: once a run is enough.

    stands_for: what is expected where a setting names one of these folders, which stand for others.
    """
    found = {}
    for stage in stages:
        settings = {
            key: (stands_for or {}).get(value, value) if isinstance(value, str) else value
            for key, value in settings_of(stage, config).items()
        }
        parts = {
            "stage": stage.name,
            "version": stage.version,
            "settings": settings,
            "outputs": [columns_of(each) for each in stage.outputs],
            "num_shards": config.index.num_shards,
        }
        found[stage.name] = Expectation(
            settings=settings,
            fingerprint=hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
            stage=stage.name,
            version=stage.version,
            num_shards=config.index.num_shards,
            columns={each.name: columns_of(each) for each in stage.outputs},
        )
    return found


def upstream_of(stage: Stage) -> tuple[Stage, ...]:
    """Return every stage whose outputs the stage reads, directly or through others, in order."""
    makers = {output.name: maker for maker in STAGES for output in maker.outputs}
    found: set[str] = set()
    waiting = [stage]
    while waiting:
        direct = {makers[each.output.name].name for each in waiting.pop().reads}
        waiting += [stage_named(name) for name in direct - found]
        found |= direct
    return tuple(each for each in STAGES if each.name in found)


def columns_of(output: Output) -> str:
    """Return an output's columns as one text: ``id string False, rank int32 False``; of an artifact its path."""
    if isinstance(output, Artifact):
        return output.path
    return ", ".join(f"{each.name} {each.type} {each.nullable}" for each in output.schema)


check_graph()
