"""The `sensors` section: its commented defaults are true, mistakes are named, paths are relative to the file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from ops.console import ROOT
from worker.__main__ import main
from worker.sensors.config import CAMERA_BACKENDS, WEATHER_BACKENDS, Keep, Mqtt, SensorsConfig, commented


def test_the_commented_section_is_the_defaults() -> None:
    told = SensorsConfig.model_validate(yaml.safe_load(commented())["sensors"])
    assert told.weather is not None and told.weather.backends == tuple(kind() for kind in WEATHER_BACKENDS)
    assert told.camera == CAMERA_BACKENDS[0]() and told.keep == Keep() and told.mqtt == Mqtt()
    assert told.motion_detection is None, "what needs a value of yours is commented out"


@pytest.mark.parametrize("number", range(1, len(CAMERA_BACKENDS)))
def test_a_commented_alternative_is_its_defaults(number: int) -> None:
    blocks = re.findall(r"(?m)^  # camera:\n((?:  #   .*\n)+)", commented())
    body = yaml.safe_load("".join(line[6:] + "\n" for line in blocks[number - 1].splitlines()))
    assert SensorsConfig.model_validate({"camera": body}).camera == CAMERA_BACKENDS[number]()


def test_the_command_prints_it_without_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensors"]) == 0
    assert capsys.readouterr().out == commented()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"weather": {"backends": []}}, "at least 1"),
        ({"weather": {"backends": [{"kind": "crystal-ball"}]}}, "crystal-ball"),
        ({"weather": {"backends": [{"kind": "bme280", "address": 300}]}}, "119"),
        ({"camera": {"kind": "rpicam", "fps": 0}}, "0.1"),
        ({"camera": {"kind": "rpicam", "zoom": 2}}, "zoom"),
        ({"mqtt": {"publish": ["everything"]}}, "weather"),
        ({"mqtt": {"topic": "a/#"}}, "pattern"),
        ({"motion_detection": {"image": "r/m:1", "checksum": "0x" + "11" * 32}}, "needs a `camera` section"),
        ({"weather_station": {"image": "r/m:1", "checksum": "0x12"}}, "checksum"),
    ],
)
def test_a_mistake_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        SensorsConfig.model_validate(section)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    told = SensorsConfig.model_validate(
        {
            "weather": {"backends": [{"kind": "replay", "path": "w.csv"}, {"kind": "bme280"}]},
            "camera": {"kind": "replay", "path": "/footage"},
            "mqtt": {"password_file": "secret"},
        }
    ).at(tmp_path)
    assert told.weather is not None and told.camera is not None and told.mqtt is not None
    assert told.weather.backends[0].path == tmp_path / "w.csv"  # type: ignore[union-attr]
    assert told.camera.path == Path("/footage")  # type: ignore[union-attr]
    assert told.mqtt.password_file == tmp_path / "secret"


def test_a_worker_without_sensors_imports_nothing_of_them() -> None:
    """Not even the libraries of optional hardware may be needed."""
    code = (
        "import sys; import worker.__main__, worker.loop, worker.doctor, worker.effects\n"
        "for name in ('paho', 'gpiozero', 'smbus2', 'worker.duty', 'worker.sensors.store'):\n"
        "    assert name not in sys.modules, name"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_missing_libraries_are_named(tmp_path: Path) -> None:
    """What `doctor` says on a device where the extra requirements were not installed."""
    code = """
import sys
for name in ("paho", "paho.mqtt", "gpiozero", "smbus2"):
    sys.modules[name] = None
from worker.sensors.checks import examinations
from worker.sensors.config import SensorsConfig
config = SensorsConfig.model_validate({"mqtt": {}, "weather": {"backends": [{"kind": k} for k in (
    "bme280", "bh1750", "reference-cell", "anemometer", "rain")]}})
for what, call in examinations(config, "roof", "linux/arm64"):
    try:
        print(what, call())
    except Exception as error:
        print(what, "|", type(error).__name__, "|", error.message, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all("pip install" in line and "BadInputError" in line for line in lines), lines
