import http.client
import os
import socket
import threading
from urllib.parse import urlsplit

import pytest
import requests

from landmark_spark.toy.server import serve_folder


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a b.jpg").write_bytes(b"\xff\xd8picture\xff\xd9")
    (root / "train.csv").write_text("id,url\n")
    (tmp_path / "secret.txt").write_text("secret")
    return root


def raw_get(url, target):
    """Ask for a path as it is: requests would tidy '..' away."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.putrequest("GET", target, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_names_that_are_no_utf8_are_found_by_their_bytes(folder):
    (folder / os.fsdecode(b"T\xfcrme.jpg")).write_bytes(b"towers")
    (folder / "Türme.jpg").write_bytes(b"others")
    with serve_folder(folder) as url:
        assert raw_get(url, "/T%FCrme.jpg") == (200, b"towers")
        assert raw_get(url, "/T%C3%BCrme.jpg") == (200, b"others")
        assert raw_get(url, "/%FF%FE.jpg")[0] == 404


def test_a_file_comes_with_its_length_and_type(folder):
    with serve_folder(folder) as url:
        answer = requests.get(url + "images/a%20b.jpg?size=large", timeout=10)
    assert url.startswith("http://127.0.0.1:") and url.endswith("/")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8picture\xff\xd9")
    assert answer.headers["Content-Length"] == "11"
    assert answer.headers["Content-Type"] == "image/jpeg"


def test_head_gives_the_length_and_no_body(folder):
    with serve_folder(str(folder)) as url:
        answer = requests.head(url + "train.csv", timeout=10)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "7", b"")


def test_one_connection_serves_many_requests_a_404_among_them(folder):
    with serve_folder(folder) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        seen = []
        for name in ("train.csv", "missing.jpg", "train.csv"):
            connection.request("GET", f"/{name}")
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.status, answer.version, connection.sock.getsockname()[1]))
        connection.close()
    assert [status for status, _, _ in seen] == [200, 404, 200]
    assert {version for _, version, _ in seen} == {11}
    assert len({port for _, _, port in seen}) == 1


@pytest.mark.parametrize(
    "target", ["/", "/images", "/images/", "/../secret.txt", "/images/../../secret.txt", "/%2e%2e/secret.txt", "/%00"]
)
def test_folders_and_paths_out_of_the_folder_are_not_found(folder, target):
    with serve_folder(folder) as url:
        assert raw_get(url, target) == (404, b"404 not found\n")


def test_a_link_out_of_the_folder_is_not_found_and_one_inside_is_followed(folder):
    (folder / "out.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "out").symlink_to(folder.parent)
    (folder / "in.csv").symlink_to(folder / "train.csv")
    with serve_folder(folder) as url:
        statuses = [raw_get(url, target)[0] for target in ("/out.txt", "/out/secret.txt", "/in.csv")]
    assert statuses == [404, 404, 200]


def test_an_absolute_path_of_the_machine_is_not_found(folder):
    with serve_folder(folder) as url:
        assert raw_get(url, "/" + str(folder.parent / "secret.txt"))[0] == 404


def test_a_pipe_is_not_found_rather_than_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with serve_folder(folder) as url:
        assert raw_get(url, "/pipe")[0] == 404


def test_sixty_four_clients_at_once_are_all_served(folder):
    (folder / "big.bin").write_bytes(bytes(range(256)) * 4096)  # 1 MiB
    sizes = []
    with serve_folder(folder) as url:
        threads = [
            threading.Thread(target=lambda: sizes.append(len(requests.get(url + "big.bin", timeout=60).content)))
            for _ in range(64)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sizes == [1_048_576] * 64


def test_the_end_closes_the_port_and_the_connections_kept_alive(folder):
    with serve_folder(folder) as url:
        address = ("127.0.0.1", urlsplit(url).port)
        kept = socket.create_connection(address, timeout=10)
        kept.sendall(b"GET /train.csv HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
    while kept.recv(4096):
        pass  # ends: the other side has closed
    kept.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    missing = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=f"folder should be a folder that is there. Received: {missing}"):  # noqa: SIM117
        with serve_folder(missing):
            pytest.fail("served a folder that is not there")


def test_the_server_prints_nothing(folder, capfd):
    with serve_folder(folder) as url:
        requests.get(url + "train.csv", timeout=10)
        requests.get(url + "missing", timeout=10)
    assert capfd.readouterr() == ("", "")
