"""Every setting: one frozen dataclass a stage, each field with its default, unit, reason and range.

Defaults live here, once. A setting whose name is in its class's ``SPEED`` changes how fast a stage runs, or how hard it
tries, and not what it gives where it succeeds: it is no part of the stage's fingerprint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from landmark_spark.delf_settings import DelfSettings
from landmark_spark.model_settings import BackboneSettings, FineTuneSettings, PredictSettings, TrainSettings
from landmark_spark.retrieval_settings import EVIDENCE, DescriptorSettings, FusionSettings, RetrievalSettings
from landmark_spark.setting_fields import setting
from landmark_spark.setting_text import shown
from landmark_spark.spark_masters import MASTERS, is_master
from landmark_spark.verification_settings import LocalFeatureSettings, VerifySettings

__all__ = [
    "BackboneSettings",
    "Config",
    "ConfigError",
    "DelfSettings",
    "DescriptorSettings",
    "DownloadSettings",
    "FineTuneSettings",
    "FusionSettings",
    "IndexSettings",
    "InputSettings",
    "LocalFeatureSettings",
    "PredictSettings",
    "ReportSettings",
    "RetrievalSettings",
    "SparkSettings",
    "SubmissionSettings",
    "ToySettings",
    "TrainSettings",
    "VerifySettings",
]


class ConfigError(ValueError):
    """A setting that is unknown, of the wrong type or out of range; the message says what was wanted."""


@dataclass(frozen=True)
class InputSettings:
    """The csv files; without ``train_csv`` the run makes and uses the toy world."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    train_csv: str = setting("", "id,url,landmark_id; empty = the toy world", is_path=True)
    test_csv: str = setting("", "id,url", is_path=True)
    non_landmark_csv: str = setting("", "id,url of photos without any landmark; optional", is_path=True)
    landmarks_csv: str = setting("", "landmark_id,name; optional, for names in the report", is_path=True)
    solution_csv: str = setting("", "id,landmarks: the true answers of some test images; optional", is_path=True)


@dataclass(frozen=True)
class ToySettings:
    """The synthetic world that stands in where no csv files are given."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    num_landmarks: int = setting(12, "facades to draw", minimum=2)
    photos_per_landmark: int = setting(12, "training photos of each facade", minimum=2)
    num_test: int = setting(120, "test photos", minimum=1)
    landmark_fraction: float = setting(0.5, "share of test photos that show a landmark", above=0.0, maximum=1.0)
    seed: int = setting(7, "of the whole world", minimum=0)


@dataclass(frozen=True)
class IndexSettings:
    """Stage index_images."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    num_shards: int = setting(8, "shards of every table: the unit of work, commit and retry", minimum=1, maximum=100000)
    seed: int = setting(0, "of the hashes that give reference rank and hold-out", minimum=0)


@dataclass(frozen=True)
class DownloadSettings:
    """Stage download_images.

    The limits are no part of the fingerprint: a changed one counts for what is fetched from then on, and
    ``run --retry`` fetches again what failed by the old one.
    """

    SPEED: ClassVar[frozenset[str]] = frozenset(
        {
            "num_threads",
            "deadline",
            "connect_timeout",
            "read_timeout",
            "decode_timeout",
            "max_bytes",
            "max_pixels",
            "max_attempts",
            "max_connections_per_host",
            "max_requests_per_second_per_host",
            "allow_private_addresses",
            "user_agent",
        }
    )

    image_size: int = setting(128, "side of the square picture, pixels; 128 as the challenge entry had it", minimum=32)
    resize_mode: Literal["stretch", "crop", "pad"] = setting(
        "stretch", "stretch ignores the aspect ratio, crop takes the centre square, pad adds black bars"
    )
    large_side: int = setting(512, "longest side of the larger copy, pixels; never enlarged", minimum=64)
    large_images: Literal["all", "references"] = setting(
        "all",
        "which images keep a larger copy: all, which global descriptors need; or test images and references alone",
    )
    references_per_landmark: int = setting(
        20, "training images of a landmark that others may be verified against; they keep a larger copy", minimum=0
    )
    jpeg_quality: int = setting(95, "of the square picture", minimum=1, maximum=100)
    large_jpeg_quality: int = setting(90, "of the larger copy", minimum=1, maximum=100)
    opt_out: str = setting(
        "noai noimageai noindex noimageindex",
        "directives of the header X-Robots-Tag by which a server keeps its pictures out; empty = none is respected",
    )
    deadline: float = setting(30.0, "seconds for one URL, redirects and retries included", above=0.0, maximum=86_400.0)
    connect_timeout: float = setting(10.0, "seconds to connect", above=0.0, maximum=86_400.0)
    read_timeout: float = setting(10.0, "longest silence of a server, seconds", above=0.0, maximum=86_400.0)
    decode_timeout: float = setting(60.0, "seconds to decode and resize one picture", above=0.0, maximum=86_400.0)
    max_bytes: int = setting(50_000_000, "largest body accepted, bytes", minimum=1)
    max_pixels: int = setting(100_000_000, "largest picture decoded, pixels", minimum=1)
    max_attempts: int = setting(3, "requests for one URL; only what can heal is tried again", minimum=1)
    max_connections_per_host: int = setting(
        64, "requests at once to one host, of the whole run: shared by its tasks, each of which has one", minimum=1
    )
    max_requests_per_second_per_host: float = setting(
        0.0, "of the whole run, shared by its tasks; 0 = as many as the connections allow", minimum=0.0
    )
    allow_private_addresses: bool = setting(
        False, "fetch from private, loopback and link-local addresses; base_url's own host is always allowed"
    )
    num_threads: int = setting(16, "requests at once in one task", minimum=1, maximum=1024)
    user_agent: str = setting(
        "landmark-spark (batch image download)", "User-Agent header; put an address in where you can be reached"
    )


@dataclass(frozen=True)
class SubmissionSettings:
    """Stage write_submission."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    mode: Literal["learned", "fused", "decision", "classifier"] = setting(
        "learned",
        "learned: probability by all that fuse_evidence weighs; fused: confidence + min(inliers, full) / full; "
        "decision: only what was verified; classifier: confidence alone",
    )
    full_inliers: int = setting(35, "inliers from which the fused score rises no further", minimum=1)


@dataclass(frozen=True)
class ReportSettings:
    """Stage write_report."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    num_examples: int = setting(6, "match pictures in each gallery", minimum=0, maximum=100)


@dataclass(frozen=True)
class SparkSettings:
    """The session; spark-submit's own options win over these."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"master", "driver_memory", "log_level"})

    master: str = setting("local[*]", "used when spark-submit gives none")
    driver_memory: str = setting("2g", "JVM heap of the driver when the run starts it itself")
    log_level: Literal["FATAL", "ERROR", "WARN", "INFO"] = setting(
        "FATAL", "of Spark's own log; a failed stage says its cause in one line, ERROR adds Spark's stack traces"
    )


@dataclass(frozen=True)
class Config:
    """The whole configuration. Relative paths in a YAML file count from that file, in ``--set`` from the caller."""

    store: str = setting("runs/toy", "folder or URL of all tables and results", is_path=True)
    base_url: str = setting("", "relative URLs of the csv files are resolved against it", is_secret=True)
    serve_folder: str = setting("", "folder that the run serves over loopback as base_url", is_path=True)
    check_inputs: bool = setting(
        True, "before a stage reads what earlier runs made, compare its bytes with their digests: it is read once more"
    )
    inputs: InputSettings = field(default_factory=InputSettings)
    toy: ToySettings = field(default_factory=ToySettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    download: DownloadSettings = field(default_factory=DownloadSettings)
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    fine_tune: FineTuneSettings = field(default_factory=FineTuneSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    descriptors: DescriptorSettings = field(default_factory=DescriptorSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    delf: DelfSettings = field(default_factory=DelfSettings)
    local_features: LocalFeatureSettings = field(default_factory=LocalFeatureSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    spark: SparkSettings = field(default_factory=SparkSettings)

    def __post_init__(self) -> None:
        """Check what spans sections."""
        if self.verify.max_comparisons > self.download.references_per_landmark:
            raise ConfigError(
                "verify.max_comparisons should be at most download.references_per_landmark "
                f"({self.download.references_per_landmark}): other images keep no larger copy. "
                f"Received: {self.verify.max_comparisons}"
            )
        if self.train.early_stopping_patience and not self.train.validation_fraction:
            raise ConfigError(
                "train.validation_fraction should be above 0 where train.early_stopping_patience is: nothing else "
                f"tells when to stop. Received: 0 and {self.train.early_stopping_patience}"
            )
        if self.verify.candidates > self.predict.top_k:
            raise ConfigError(
                f"verify.candidates should be at most predict.top_k ({self.predict.top_k}): no more are predicted. "
                f"Received: {self.verify.candidates}"
            )
        if bool(self.inputs.train_csv) != bool(self.inputs.test_csv):
            missing = "inputs.test_csv" if self.inputs.train_csv else "inputs.train_csv"
            raise ConfigError(f"{missing} should be given too: both csv files, or neither for the toy world")
        if not self.store or set(self.store) & set("#?*[]{}"):
            raise ConfigError(
                f"store should be a path or URL without any of # ? * [ ] {{ }}. Received: {shown(self.store)}"
            )
        if not is_master(self.spark.master):
            raise ConfigError(f"spark.master should be {MASTERS}. Received: {shown(self.spark.master)}")
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            public = re.sub("//[^/]*@", "//", self.base_url)  # without user name and password
            raise ConfigError(f"base_url should begin with http:// or https://. Received: {shown(public)}")
        if self.base_url and not _has_host(self.base_url):
            raise ConfigError("base_url should have a valid host and port. Received: another")
        if self.base_url and self.serve_folder:
            raise ConfigError("base_url and serve_folder should not both be given: the second sets the first")
        self._check_words()

    def _check_words(self) -> None:
        agent = self.download.user_agent
        if not agent.strip() or not (agent.isascii() and agent.isprintable()):
            raise ConfigError(f"download.user_agent should be printable ASCII. Received: {shown(agent)}")
        for word in self.download.opt_out.split():
            if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", word):
                raise ConfigError(f"download.opt_out should be words with spaces between. Received: {shown(word)}")
        kinds = self.fusion.kinds
        if not kinds or len(set(kinds)) < len(kinds) or set(kinds) - set(EVIDENCE):
            raise ConfigError(
                f"fusion.evidence should be some of {' '.join(EVIDENCE)}, each once. "
                f"Received: {shown(self.fusion.evidence)}"
            )


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address without its bracket, a port above 65535
        return False
