from pathlib import Path

import pytest

from landmark_spark.config import load_config

CONF = Path(__file__).resolve().parent.parent / "conf"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    config = load_config(path)
    assert Path(config.store).is_absolute()
    assert path.read_text().startswith("# ")  # the command that it is for
