"""Photos are taken in as the batch download takes them: the same pictures, and a status for what gives none."""

import hashlib
import io
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from landmark_spark.config import load_config
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.pictures import PicturePlan, make_pictures
from landmark_spark.photo_intake import PhotoError, is_url, load_intake

PLAN = PicturePlan(
    image_size=32, resize_mode="stretch", jpeg_quality=95, large_side=64, large_jpeg_quality=90, max_pixels=20_000
)
SETTINGS = [
    "download.image_size=32",
    "download.large_side=64",
    "download.max_pixels=20000",
    "download.max_bytes=200000",
    "download.max_attempts=1",
    "download.deadline=5",
]


@pytest.fixture(scope="module")
def intake():
    return load_intake(load_config(None, SETTINGS))


def encoded(kind, mode="RGB", size=(120, 80), **options):
    random = np.random.default_rng(3)
    blocks = random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with io.BytesIO() as file:
        Image.fromarray(blocks).convert(mode).save(file, kind, **options)
        return file.getvalue()


def with_orientation(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded("JPEG", exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG"),
        encoded("JPEG", "CMYK"),
        encoded("PNG", "RGBA"),
        encoded("PNG", "P"),
        encoded("WEBP"),
        encoded("GIF"),
        with_orientation(6),
    ],
    ids=["jpeg", "cmyk", "alpha", "palette", "webp", "gif", "sideways"],
)
def test_a_photo_gives_the_pictures_that_the_batch_stores_of_it(intake, tmp_path, data):
    (tmp_path / "photo").write_bytes(data)
    expected = make_pictures(data, PLAN, with_large=True)
    for photo in (data, tmp_path / "photo", str(tmp_path / "photo")):
        found = intake(photo)
        assert (found.status, found.image, found.large_image) == ("ok", expected.image, expected.large_image)
        assert (found.width, found.height) == (expected.width, expected.height)
        assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_a_photo_on_its_side_is_set_upright(intake):
    found = intake(with_orientation(6))
    assert (found.width, found.height) == (80, 120)
    assert decode_jpeg(found.large_image).shape == (64, 43, 3)  # 80 / 120 of 64, to the nearest pixel


@pytest.mark.parametrize(
    ("data", "status", "advice"),
    [
        (b"", "empty_body", "the photo should have bytes"),
        (b"no picture at all", "not_an_image", "another program may save it as a JPEG or PNG"),
        (encoded("JPEG")[:900], "truncated", "copy the file anew"),
        (encoded("PNG", size=(160, 160)), "decompression_bomb", "download.max_pixels (raise it"),
        (b"\xff\xd8\xff" + bytes(200_000), "too_large", "download.max_bytes (raise it"),
    ],
)
def test_files_that_give_no_picture_have_the_status_of_a_download_and_advice_of_their_own(
    intake, tmp_path, data, status, advice
):
    (tmp_path / "photo").write_bytes(data)
    for photo in (data, tmp_path / "photo"):
        with pytest.raises(PhotoError) as caught:
            intake(photo)
        assert caught.value.status == status
        assert advice in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not {"URL", "server", "fetch", "body", "page"} & set(str(caught.value).replace(",", " ").split())


@pytest.mark.parametrize(("name", "reason"), [("absent.jpg", "No such file"), ("", "Is a directory"), ("a\0b", "null")])
def test_a_file_that_cannot_be_read_is_said_so(intake, tmp_path, name, reason):
    with pytest.raises(PhotoError, match=f"a photo should be a readable file or a URL. Received: .*{reason}") as caught:
        intake(f"{tmp_path}/{name}")
    assert caught.value.status == "unreadable_file"


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        body = encoded("JPEG") if self.path == "/there.jpg" else b"words"
        self.send_response(404 if self.path == "/gone.jpg" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls_are_fetched_within_the_limits_of_downloads(intake, site):
    with pytest.raises(PhotoError, match="private, loopback or otherwise internal address") as caught:
        intake(f"{site}/there.jpg")
    assert caught.value.status == "forbidden_address"
    allowed = load_intake(load_config(None, [*SETTINGS, "download.allow_private_addresses=true"]))
    expected = make_pictures(encoded("JPEG"), PLAN, with_large=True)
    assert allowed(f"{site}/there.jpg").large_image == expected.large_image
    with pytest.raises(PhotoError, match=r"not_an_image: .* \(the page behind the URL is no picture"):
        allowed(f"{site}/page.html")
    with pytest.raises(PhotoError, match=r"http_404: the server answered with another code than 200 \(gone or never"):
        allowed(f"{site}/gone.jpg")
    with pytest.raises(PhotoError) as caught:
        allowed("http://bad host/")
    assert caught.value.status == "bad_url"


def test_what_is_a_url():
    assert is_url("HTTPS://example.org/a.jpg")
    assert not is_url("photos/http.jpg")
    assert not is_url(b"http://example.org")
