"""Every table of the pipeline: columns, Arrow types, shapes and units. Knows pyarrow only.

Vectors are ``binary`` columns (little-endian, C order; dtype and shape stand in the column's doc), never lists of
floats: Arrow moves them without a copy and Parquet keeps them small.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = [
    "Artifact",
    "BOTTLENECKS",
    "CANDIDATES",
    "DELF_MODEL",
    "FINE_TUNED_MODEL",
    "FUSION",
    "GLOBAL_DESCRIPTORS",
    "IMAGES",
    "LANDMARKS",
    "LOCAL_FEATURES",
    "METRICS",
    "NO_CLASS",
    "PREDICTIONS",
    "RECORDS",
    "REJECTS",
    "REPORT",
    "RETRIEVAL_MODEL",
    "SCORES",
    "SUBMISSION",
    "TOP_MODEL",
    "Table",
    "VERIFICATIONS",
    "column_doc",
]

NO_CLASS = -1
"""Stands in ``landmark_id`` and ``class_index`` where there is none, so that label columns are never nullable."""


@dataclass(frozen=True)
class Table:
    """A table of the store: its name, its columns, and the columns its rows are ordered by within a shard.

    A sharded table has the partition column ``shard`` besides its columns; one that is not is a single part.
    ``counted`` names string columns: the commit of each shard says how many rows have which values of them.
    ``rows_per_group``: of a Parquet file: what a reader holds at once, and all that it reads for one row.
    """

    name: str
    schema: pa.Schema
    order: tuple[str, ...]
    sharded: bool = True
    counted: tuple[str, ...] = ()
    doc: str = ""
    rows_per_group: int = 512  # of images then about 30 MB, of bottlenecks 8 MB


@dataclass(frozen=True)
class Artifact:
    """A result that is no table: one file, or one folder of files, at ``path`` in the store."""

    name: str
    path: str
    doc: str = ""

    @property
    def sharded(self) -> bool:
        """Always False: an artifact is made whole."""
        return False


def _column(name: str, kind: pa.DataType, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


def column_doc(field: pa.Field) -> str:
    """Return the doc line of a column."""
    return str((field.metadata or {}).get(b"doc", b"").decode())


_ID = _column("id", pa.string(), "image id of the challenge, unique over all splits")
_SPLIT = _column("split", pa.string(), "train | test | non_landmark")
_LANDMARK_ID = _column("landmark_id", pa.int64(), f"landmark of the challenge; {NO_CLASS} = none known")
_CLASS_INDEX = _column("class_index", pa.int32(), f"dense 0-based class number of the landmark; {NO_CLASS} = none")
_REFERENCE_RANK = _column(
    "reference_rank",
    pa.int32(),
    f"0-based place among the landmark's training images, by hash; {NO_CLASS} = none",
)
_HOLDOUT = _column("holdout", pa.float32(), "hash of the id in [0, 1): below train.validation_fraction it is held out")

RECORDS = Table(
    "records",
    pa.schema(
        [
            _ID,
            _SPLIT,
            _column("url", pa.string(), "as published; relative URLs are resolved when they are fetched"),
            _LANDMARK_ID,
            _CLASS_INDEX,
            _REFERENCE_RANK,
            _HOLDOUT,
            _column("line_number", pa.int64(), "1-based line of test.csv, for its order; 0 for other splits"),
        ]
    ),
    order=("split", "id"),
    doc="the valid rows of the csv files",
)

REJECTS = Table(
    "rejects",
    pa.schema(
        [
            _column("source", pa.string(), "name of the csv file"),
            _column("line_number", pa.int64(), "1-based line of the csv file"),
            _SPLIT,
            _column("id", pa.string(), "image id where the row has one", nullable=True),
            _column("reason", pa.string(), "why the row was refused: a word of core.records.REASONS"),
            _column("line", pa.string(), "the line as it stands in the file, at most 1,000 characters"),
        ]
    ),
    order=("split", "line_number"),
    sharded=False,
    doc="the rows of the csv files that were refused, with a reason",
)

LANDMARKS = Table(
    "landmarks",
    pa.schema(
        [
            _LANDMARK_ID,
            _CLASS_INDEX,
            _column("num_train_images", pa.int64(), "valid rows of train.csv with this landmark"),
            _column("name", pa.string(), "name from landmarks.csv; empty where there is none"),
        ]
    ),
    order=("class_index",),
    sharded=False,
    doc="one row a landmark of the training set",
)

IMAGES = Table(
    "images",
    pa.schema(
        [
            _ID,
            _SPLIT,
            _LANDMARK_ID,
            _CLASS_INDEX,
            _REFERENCE_RANK,
            _HOLDOUT,
            _column("status", pa.string(), "ok, or why there is no picture: a word of core.statuses.STATUSES"),
            _column("image", pa.binary(), "JPEG, RGB, download.image_size x download.image_size", nullable=True),
            _column("large_image", pa.binary(), "JPEG, RGB, for test and reference images only", nullable=True),
            _column("width", pa.int32(), "of the original after EXIF rotation, pixels; 0 = unknown"),
            _column("height", pa.int32(), "of the original after EXIF rotation, pixels; 0 = unknown"),
            _column("num_bytes", pa.int64(), "length of the body received"),
            _column("sha256", pa.string(), "of the body received, in hex; empty where there is none"),
            _column(
                "num_attempts",
                pa.int32(),
                "attempts made, each with its redirects; retries that changed something add theirs",
            ),
            _column("host", pa.string(), "of the URL asked for, without port, user name and password"),
            _column("url", pa.string(), "as in records"),
            _column(
                "final_url",
                pa.string(),
                "where redirects led, without user name and password; relative to base_url where it stayed below it",
            ),
        ]
    ),
    order=("split", "id"),
    counted=("status", "host"),
    doc="one row a record: the resized pictures, or a status",
)

BOTTLENECKS = Table(
    "bottlenecks",
    pa.schema(
        [
            _ID,
            _SPLIT,
            _LANDMARK_ID,
            _CLASS_INDEX,
            _REFERENCE_RANK,
            _HOLDOUT,
            _column("features", pa.binary(), "(H, W, F) float16, last feature map, 4x4x512 for VGG16; (F,) if pooled"),
        ]
    ),
    order=("split", "id"),
    doc="convolutional features of every image that could be fetched",
)

PREDICTIONS = Table(
    "predictions",
    pa.schema(
        [
            _ID,
            _column("rank", pa.int32(), "0 = the best"),
            _LANDMARK_ID,
            _CLASS_INDEX,
            _column("score", pa.float32(), "softmax probability in [0, 1]"),
        ]
    ),
    order=("id", "rank"),
    doc="the k best landmarks of every test image that could be fetched",
)

GLOBAL_DESCRIPTORS = Table(
    "global_descriptors",
    pa.schema(
        [
            _ID,
            _SPLIT,
            _LANDMARK_ID,
            _CLASS_INDEX,
            _REFERENCE_RANK,
            _column("descriptor", pa.binary(), "(C,) float16, pooled over the image and its views, of unit length"),
        ]
    ),
    order=("split", "id"),
    doc="one vector of every image that keeps a larger copy",
)

CANDIDATES = Table(
    "candidates",
    pa.schema(
        [
            _ID,
            _column("split", pa.string(), "test; train and non_landmark: plays a test image, to weigh the evidence by"),
            _column("true_landmark_id", pa.int64(), f"of an image that plays one; {NO_CLASS} = of none, or not known"),
            _column(
                "fold", pa.int32(), "of an image that plays one: the part that what it meets has not seen; -1 = test"
            ),
            _column("rank", pa.int32(), "0 = the one whose images are closest"),
            _LANDMARK_ID,
            _CLASS_INDEX,
            _column("neighbours", pa.float32(), "vote of the nearest training images for it; 0 = none is of it"),
            _column("closest", pa.float32(), "mean similarity to the three nearest of its training images"),
            _column("centroid", pa.float32(), "similarity to the mean of the landmark's images, -1 to 1"),
            _column("head", pa.float32(), "probability by the linear head; 0 without a head"),
            _column("non_landmark", pa.float32(), "mean similarity to the nearest photos of no landmark"),
            _column("reference_non_landmark", pa.float32(), "that of the three training images, on average"),
            _column("references", pa.float32(), "log2(1 + number of its training images)"),
        ]
    ),
    order=("split", "id", "rank"),
    doc="landmarks that retrieval and head name for test images and for those that play one, with the evidence",
)

LOCAL_FEATURES = Table(
    "local_features",
    pa.schema(
        [
            _ID,
            _SPLIT,
            _LANDMARK_ID,
            _REFERENCE_RANK,
            _column("width", pa.int32(), "of the image the features were found in, pixels"),
            _column("height", pa.int32(), "of the image the features were found in, pixels"),
            _column("num_keypoints", pa.int32(), "N"),
            _column("keypoints", pa.binary(), "(N, 2) float32, (x, y) in pixels of the stored larger image"),
            _column("descriptors", pa.binary(), "(N, D) float16, unit length; D = 128 for SIFT, 40 for DELF"),
        ]
    ),
    order=("split", "id"),
    rows_per_group=8,  # rows are up to 0.27 MB, and are looked up one by one
    doc="keypoints and descriptors of test images, of those that play one, and of references of landmarks named",
)

VERIFICATIONS = Table(
    "verifications",
    pa.schema(
        [
            _ID,
            _LANDMARK_ID,
            _column("num_inliers", pa.int32(), "largest number of RANSAC inliers over the references compared"),
            _column("num_comparisons", pa.int32(), "references compared before the decision"),
            _column("num_references", pa.int32(), "references there were"),
            _column("best_reference_id", pa.string(), "reference with the most inliers", nullable=True),
            _column("is_verified", pa.bool_(), "num_inliers > verify.min_inliers"),
        ]
    ),
    order=("id", "landmark_id"),
    doc="geometric verification of the verify.candidates best predictions of every test image, and of all candidates",
)

SCORES = Table(
    "scores",
    pa.schema(
        [
            _ID,
            _column("rank", pa.int32(), "0 = the best"),
            _LANDMARK_ID,
            _column("num_inliers", pa.int32(), "as in verifications; 0 where it was not verified"),
            _column("score", pa.float64(), "probability that the landmark is right, by all evidence"),
        ]
    ),
    order=("id", "rank"),
    doc="the candidates of every test image by the learned weights of the evidence",
)

TOP_MODEL = Artifact("top_model", "top_model", doc="Keras model, class map, training history and seed")
FINE_TUNED_MODEL = Artifact(
    "fine_tuned_model",
    "fine_tuned_model",
    doc="Keras model from pixels to scores, class map and history; fine_tuning.json alone where nothing is fine-tuned",
)
DELF_MODEL = Artifact(
    "delf_model",
    "delf_model",
    doc="our own DELF: network, PCA and history; delf.json alone where local_features.kind is not delf_vgg16",
)
RETRIEVAL_MODEL = Artifact(
    "retrieval_model",
    "retrieval_model",
    doc="whitening, whitened training images, centroids and heads: of all images, and of all but each fold",
)
FUSION = Artifact("fusion", "fusion.json", doc="the weights of the evidence, and the GAP that cross-validation gave")
SUBMISSION = Artifact("submission", "submission.csv", doc="id,landmarks: a row for every id of test.csv, in its order")
METRICS = Artifact("metrics", "metrics.json", doc="GAP and top-1 of the classifier and of each submission mode")
REPORT = Artifact("report", "report", doc="the HTML report and its pictures")
