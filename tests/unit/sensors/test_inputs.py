"""`sensor://` inputs: their grammar, what is refused, what is given, and what never leaves the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco import params, sensors
from poco.errors import BadInputError, PewError
from poco.sensors import LONGEST, SensorRequest
from worker.runner.errors import RunError
from worker.sensors import avi
from worker.sensors.clips import Clips
from worker.sensors.config import SensorsConfig
from worker.sensors.inputs import SensorInputs
from worker.sensors.jpeg import draw
from worker.sensors.reading import clean, from_csv
from worker.sensors.store import Store

NOW = 1_700_000_000.0


@given(st.sampled_from(sorted(LONGEST)), st.integers(0, 3_000_000))
def test_the_grammar(kind: str, last: int) -> None:
    url = f"sensor://{kind}?last={last}"
    if 1 <= last <= LONGEST[kind]:
        assert sensors.parse(url) == SensorRequest(kind, last)
        assert params.parse(json.dumps({"iexec_input_files": [url]})).input_files == (url,)
    else:
        with pytest.raises(BadInputError) as caught:
            params.parse(json.dumps({"iexec_input_files": [url]}))
        assert str(LONGEST[kind]) in caught.value.hint


def test_what_needs_agreement_cannot_be_measured() -> None:
    text = json.dumps({"iexec_input_files": ["https://example.org/a", "sensor://weather?last=60"]})
    assert params.parse(text, trust=1) == params.parse(text)
    with pytest.raises(BadInputError, match="never measure the same") as caught:
        params.parse(text, trust=2)
    assert "trust of 1" in caught.value.hint


@given(st.text(max_size=30))
def test_what_is_no_sensor_is_refused_before_anything_runs(rest: str) -> None:
    url = "sensor://" + rest
    assert sensors.is_sensor(url)
    try:
        found = sensors.parse(url)
    except BadInputError as error:
        assert error.hint
    else:
        assert url == f"sensor://{found.kind}?last={found.last}" or rest.split("=")[1].lstrip("0") == str(found.last)


def inputs(folder: Path, *, weather: bool | None = True, camera: bool | None = None) -> SensorInputs:
    """A device whose sensors are offered to tasks (True), kept to itself (False) or not there (None)."""
    config = SensorsConfig.model_validate(
        {
            **({} if weather is None else {"weather": {"backends": [{"kind": "simulated"}], "for_tasks": weather}}),
            **({} if camera is None else {"camera": {"kind": "simulated", "clip_seconds": 10, "for_tasks": camera}}),
        }
    )
    store = Store(folder / "r.db", config.keep)
    for minute in range(10):
        store.reading_kept(int(NOW) - 60 * minute, clean({"temperature_c": float(minute)}), lambda _: ())
    clips = Clips(folder / "clips", 10)
    for start in (NOW - 30, NOW - 20, NOW - 10):
        writer = clips.begin(16, 16)
        for _ in range(5):
            writer.add(draw([[1, 2], [3, 4]]))
        clips.end(writer, start, start + 10)
    return SensorInputs(config, store, clips)


def test_a_task_gets_the_readings_it_asked_for(tmp_path: Path) -> None:
    device = inputs(tmp_path)
    assert device.lacking(SensorRequest("weather", 300), NOW) == ""
    device.give(SensorRequest("weather", 300), tmp_path / "input", NOW)
    rows = list(from_csv((tmp_path / "input").read_text().splitlines(), "input"))
    assert [row["temperature_c"] for _, row in rows] == [5, 4, 3, 2, 1, 0]
    assert (tmp_path / "input").stat().st_mode & 0o444 == 0o444, "the container's user may read it"


def test_a_task_gets_the_footage_it_asked_for(tmp_path: Path) -> None:
    device = inputs(tmp_path, camera=True)
    assert device.lacking(SensorRequest("camera", 15), NOW) == ""
    device.give(SensorRequest("camera", 15), tmp_path / "input", NOW)
    assert len(list(avi.frames(tmp_path / "input"))) == 10, "two clips of ten seconds"


@pytest.mark.parametrize(
    ("weather", "camera", "kind", "said"),
    [
        (None, None, "weather", "no weather sensor"),
        (True, None, "camera", "no camera sensor"),
        (False, None, "weather", "to itself"),
        (True, False, "camera", "to itself"),
    ],
)
def test_what_is_not_there_or_not_offered_is_declined_and_never_written(
    tmp_path: Path, weather: bool | None, camera: bool | None, kind: str, said: str
) -> None:
    device = inputs(tmp_path, weather=weather, camera=camera)
    request = SensorRequest(kind, 60)
    assert said in device.lacking(request, NOW)
    with pytest.raises(RunError, match=said):
        device.give(request, tmp_path / "input", NOW)
    assert not (tmp_path / "input").exists()


def test_the_camera_is_private_unless_the_operator_says_otherwise() -> None:
    told = SensorsConfig.model_validate({"camera": {"kind": "rpicam"}, "mqtt": {}})
    assert told.camera is not None and not told.camera.for_tasks
    assert told.mqtt is not None and set(told.mqtt.publish) == {"weather"}


def test_nothing_recent_is_declined(tmp_path: Path) -> None:
    device = inputs(tmp_path, camera=True)
    for kind in ("weather", "camera"):
        assert "nothing" in device.lacking(SensorRequest(kind, 60), NOW + 86_400)
        with pytest.raises(PewError, match="nothing"):
            device.write(SensorRequest(kind, 60), tmp_path / "out", NOW + 86_400)
        assert not (tmp_path / "out").exists()
