import dataclasses

from landmark_spark.settings import Config
from landmark_spark.stages.download_images import address_of


def test_a_toy_world_drawn_anew_is_another_address(tmp_path):
    config = dataclasses.replace(Config(), serve_folder=str(tmp_path))
    plain = address_of(config)
    (tmp_path / "world.json").write_text('{"seed": 1}')
    first = address_of(config)
    (tmp_path / "world.json").write_text('{"seed": 2}')
    assert len({str(each) for each in (plain, first, address_of(config))}) == 3


def test_the_address_of_urls_is_their_base():
    config = dataclasses.replace(Config(), base_url="https://h/a")
    assert address_of(config) == {"base_url": "https://h/a", "serve_folder": ""}
