"""What a download task runs in its child process: a pool of threads that fetch, decode and shrink."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from landmark_spark.child_process import Report, Submit
from landmark_spark.core.fetch_limits import FetchLimits
from landmark_spark.core.fetching import Fetched, FetchPool
from landmark_spark.core.images import ImageError
from landmark_spark.core.pictures import PicturePlan, make_pictures
from landmark_spark.core.urls import parse_http_url
from landmark_spark.gpu import limit_native_threads
from landmark_spark.settings import DownloadSettings

__all__ = ["Downloaded", "Job", "Worker", "worker_of"]


@dataclass(frozen=True)
class Job:
    """One URL to fetch; where ``body`` is given, that is what was received already."""

    url: str = field(repr=False)
    with_large: bool
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Downloaded:
    """What became of it: the columns of ``images`` by the same names."""

    status: str
    num_attempts: int = 0
    num_bytes: int = 0
    final_url: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    image: bytes | None = None
    large_image: bytes | None = None


def worker_of(settings: DownloadSettings, *, base_url: str, num_tasks: int) -> Worker:
    """Return what each of num_tasks tasks at once runs in its child: its share of what a host may be asked."""
    limits = FetchLimits(
        deadline=settings.deadline,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        max_bytes=settings.max_bytes,
        max_attempts=settings.max_attempts,
        user_agent=settings.user_agent,
        max_connections_per_host=max(1, settings.max_connections_per_host // num_tasks),
        requests_per_second_per_host=settings.max_requests_per_second_per_host / num_tasks,
        opt_out_directives=tuple(settings.opt_out.split()),
        allow_private_addresses=settings.allow_private_addresses,
        trusted_origins=_origin(base_url),
    )
    plan = PicturePlan(
        image_size=settings.image_size,
        resize_mode=settings.resize_mode,
        jpeg_quality=settings.jpeg_quality,
        large_side=settings.large_side,
        large_jpeg_quality=settings.large_jpeg_quality,
        max_pixels=settings.max_pixels,
    )
    return Worker(limits, plan, settings.num_threads)


@dataclass(frozen=True)
class Worker:
    """Fetches and decodes in the child process of a task."""

    limits: FetchLimits
    plan: PicturePlan
    num_threads: int

    def __call__(self, report: Report) -> Submit[Job]:
        """Start the threads; return what takes a job."""
        limit_native_threads()

        def finish(key: tuple[int, Job], fetched: Fetched) -> None:
            number, job = key
            if fetched.body is not None:
                report.begin(number)
            report.done(number, self._decode(job, fetched))

        pool: FetchPool[tuple[int, Job]] = FetchPool(self.limits, num_threads=self.num_threads, finish=finish)

        def submit(number: int, job: Job) -> None:
            if job.body is None:
                pool.submit((number, job), job.url)
            else:
                finish((number, job), Fetched("ok", job.body, num_bytes=len(job.body)))

        return submit

    def _decode(self, job: Job, fetched: Fetched) -> Downloaded:
        facts = (fetched.num_attempts, fetched.num_bytes, fetched.final_url)
        if fetched.body is None:
            return Downloaded(fetched.status, *facts)
        digest = hashlib.sha256(fetched.body).hexdigest()
        try:
            pictures = make_pictures(fetched.body, self.plan, with_large=job.with_large)
        except ImageError as error:
            return Downloaded(error.status, *facts, digest)
        except Exception:  # a job that is never done would hold up its task for ever
            return Downloaded("internal_error", *facts, digest)
        sides = (pictures.width, pictures.height)
        return Downloaded("ok", *facts, digest, *sides, pictures.image, pictures.large_image)


def _origin(base_url: str) -> tuple[str, ...]:
    url = parse_http_url(base_url)
    return (str(replace(url, target="/", authorization="")),) if url else ()
