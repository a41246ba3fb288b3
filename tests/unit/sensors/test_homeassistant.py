"""The discovery message: classes and units that Home Assistant knows, and of the camera only what is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.sensors.config import SensorsConfig
from worker.sensors.homeassistant import Topics, discovery, motion_state, weather_state
from worker.sensors.reading import COLUMNS, clean

#: Home Assistant's documentation of sensor device classes: the units each may have.
UNITS = {
    "temperature": {"°C", "°F", "K"},
    "humidity": {"%"},
    "atmospheric_pressure": {"hPa", "Pa", "bar", "kPa", "mbar", "mmHg", "inHg", "psi", "cbar"},
    "wind_speed": {"m/s", "km/h", "mph", "kn", "ft/s", "Beaufort"},
    "wind_direction": {"°"},
    "precipitation": {"mm", "cm", "in"},
    "irradiance": {"W/m²", "BTU/(h⋅ft²)"},
}


def section(*publish: str, prefix: str = "homeassistant") -> SensorsConfig:
    return SensorsConfig.model_validate(
        {
            "weather": {"backends": [{"kind": "simulated"}], "sample_seconds": 60},
            "camera": {"kind": "simulated"},
            "mqtt": {"publish": publish, "discovery_prefix": prefix},
        }
    )


def told(*publish: str) -> dict[str, Any]:
    config = section(*publish)
    assert config.mqtt is not None
    message = discovery(config, config.mqtt, "roof.1")
    assert message is not None and message.retain and message.topic == "homeassistant/device/pew_roof_1/config"
    body: dict[str, Any] = json.loads(message.payload)
    return body


def test_every_entity_has_a_class_its_unit_and_a_template() -> None:
    body = told("weather")
    state = json.loads(weather_state(Topics(section("weather").mqtt, "roof.1"), 1_700_000_000, clean({}), 1.5).payload)  # type: ignore[arg-type]
    assert state["time"] == "2023-11-14T22:13:20Z" and state["temperature_c"] is None
    assert len(body["cmps"]) == len(COLUMNS)
    for key, entity in body["cmps"].items():
        assert entity["p"] == "sensor"
        assert entity["unit_of_measurement"] in UNITS[entity["device_class"]]
        assert entity["value_template"] == f"{{{{ value_json.{key} }}}}" and key in state
        assert entity["state_topic"] == "pew/roof.1/weather" and entity["expire_after"] == 180
    assert body["cmps"]["rain_total_mm"]["state_class"] == "total_increasing"
    assert len({entity["unique_id"] for entity in body["cmps"].values()}) == len(body["cmps"])
    assert body["dev"]["ids"] == ["pew_roof_1"] and body["o"]["name"] and body["availability_topic"]


@pytest.mark.parametrize(
    ("publish", "entities"), [((), set()), (("motion",), {"motion"}), (("motion", "pictures"), {"motion", "picture"})]
)
def test_of_the_camera_only_what_is_named(publish: tuple[str, ...], entities: set[str]) -> None:
    assert set(told(*publish)["cmps"]) == entities
    assert not {"motion", "picture"} & set(told("weather")["cmps"])


def test_no_discovery() -> None:
    config = section("weather", prefix="")
    assert config.mqtt is not None and discovery(config, config.mqtt, "roof") is None


def test_motion() -> None:
    topics = Topics(section("motion").mqtt, "roof")  # type: ignore[arg-type]
    moved, still = (json.loads(motion_state(topics, 1_700_000_000, 1_700_000_060, n).payload) for n in (2, 0))
    assert moved["motion"] == "ON" and moved["events"] == 2 and still["motion"] == "OFF"
    assert moved["from"] == "2023-11-14T22:13:20+00:00"
