"""What Home Assistant is told: one discovery message for the device, and the states of its entities.

Device discovery (`<prefix>/device/<id>/config`) and its abbreviations are those of Home Assistant's MQTT integration
(2025.4 and later, which know the wind's direction); device and state classes are those of its sensor entities. A value
that is null becomes "unknown".
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from worker.sensors.config import Mqtt, SensorsConfig
from worker.sensors.reading import Reading
from worker.sensors.store import Message

_VERSION = "0.1.0"
#: Entity of each column: name, device class, unit, state class.
ENTITIES: dict[str, tuple[str, str, str, str]] = {
    "temperature_c": ("Temperature", "temperature", "°C", "measurement"),
    "humidity_pct": ("Humidity", "humidity", "%", "measurement"),
    "pressure_hpa": ("Pressure", "atmospheric_pressure", "hPa", "measurement"),
    "wind_ms": ("Wind speed", "wind_speed", "m/s", "measurement"),
    "wind_dir_deg": ("Wind direction", "wind_direction", "°", "measurement_angle"),
    "gust_ms": ("Gust", "wind_speed", "m/s", "measurement"),
    "rain_total_mm": ("Rain", "precipitation", "mm", "total_increasing"),
    "irradiance_wm2": ("Irradiance", "irradiance", "W/m²", "measurement"),
}


class Topics:
    """Where a device's messages go.

    Args:
        config: the `mqtt` section.
        name: of the worker.
    """

    def __init__(self, config: Mqtt, name: str) -> None:
        self.id = "pew_" + re.sub(r"[^A-Za-z0-9_-]", "_", name)
        base = f"{config.topic}/{name}"
        self.availability = f"{base}/availability"
        self.weather = f"{base}/weather"
        self.summary = f"{base}/weather/summary"
        self.motion = f"{base}/motion"
        self.picture = f"{base}/picture"
        self.discovery = f"{config.discovery_prefix}/device/{self.id}/config" if config.discovery_prefix else ""


def discovery(config: SensorsConfig, mqtt: Mqtt, name: str) -> Message | None:
    """The retained message that makes the device and its entities known; None where discovery is off.

    Only what `publish` names becomes an entity.
    """
    topics = Topics(mqtt, name)
    if not topics.discovery:
        return None
    components: dict[str, dict[str, object]] = {}
    if config.weather is not None and "weather" in mqtt.publish:
        late = int(max(60.0, 3 * config.weather.sample_seconds))
        for key, (label, device_class, unit, state_class) in ENTITIES.items():
            components[key] = {
                "p": "sensor", "name": label, "device_class": device_class, "unit_of_measurement": unit,
                "state_class": state_class, "state_topic": topics.weather, "expire_after": late,
                "value_template": f"{{{{ value_json.{key} }}}}",
            }  # fmt: skip
    if config.camera is not None and "motion" in mqtt.publish:
        components["motion"] = {
            "p": "binary_sensor", "name": "Motion", "device_class": "motion", "state_topic": topics.motion,
            "value_template": "{{ value_json.motion }}", "off_delay": int(2 * config.camera.clip_seconds + 60),
            "json_attributes_topic": topics.motion,
        }  # fmt: skip
    if config.camera is not None and "pictures" in mqtt.publish:
        components["picture"] = {
            "p": "image", "name": "What moved", "image_topic": topics.picture, "content_type": "image/jpeg"
        }  # fmt: skip
    for key, component in components.items():
        component["unique_id"] = f"{topics.id}_{key}"
    body = {
        "dev": {
            "ids": [topics.id],
            "name": name,
            "mf": "Positive Energy Worker",
            "mdl": "Solar worker",
            "sw": _VERSION,
        },
        "o": {"name": "positive-energy-worker", "sw": _VERSION},
        "availability_topic": topics.availability,
        "cmps": components,
        "qos": 1,
    }
    return Message(topics.discovery, json.dumps(body, ensure_ascii=False).encode(), retain=True)


def weather_state(topics: Topics, at: int, reading: Reading, rain_total_mm: float) -> Message:
    """A reading as the state of all weather entities; the newest stays with the broker."""
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"time": when, **reading, "rain_total_mm": rain_total_mm}
    return Message(topics.weather, json.dumps(body).encode(), retain=True)


def motion_state(topics: Topics, start: float, end: float, events: int) -> Message:
    """Whether something moved in a span of footage."""
    times = (datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds") for instant in (start, end))
    body = {"motion": "ON" if events else "OFF", "events": events, **dict(zip(("from", "to"), times, strict=True))}
    return Message(topics.motion, json.dumps(body).encode())
