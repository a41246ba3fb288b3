"""VE.Direct, however its bytes are cut, and over a real serial port."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from tests.unit.energy.chips import victron_frame
from worker.energy.hardware.victron import Frames, Victron, VictronConfig, open_port
from worker.i2c import DeviceError

MPPT = {"PID": "0xA053", "V": 13_260, "I": 1_500, "VPV": 18_400, "PPV": 26, "CS": 3, "IL": 500, "H19": 1234}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_frames_come_out_whole_however_they_are_cut(data):
    stream = b"7\tcut off" + victron_frame(V=1)[5:] + b"".join(victron_frame(**{**MPPT, "V": n}) for n in range(4))
    stream += b":A0002000148\n" + victron_frame(V=9, I="---")
    frames, out = Frames(), []
    while stream:
        size = data.draw(st.integers(1, 40))
        out += frames.feed(stream[:size])
        stream = stream[size:]
    assert [frame["V"] for frame in out] == ["0", "1", "2", "3", "9"]
    assert frames.broken == 1


@given(st.integers(0, 10**6), st.integers(0, 255), st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_a_spoilt_frame_gives_no_values(at, byte, noise):
    frame = bytearray(victron_frame(**MPPT))
    assume(byte not in (frame[at % len(frame)], ord(":")))  # a colon begins a message that is no part of the sum
    frame[at % len(frame)] = byte
    frames = Frames()
    assert frames.feed(bytes(frame)) == []
    frames.feed(noise)


@pytest.fixture
def cable():
    """A serial cable: what is written at one end is read at the other by pyserial."""
    ours, theirs = os.openpty()
    port = open_port(os.ttyname(theirs))
    yield ours, port
    port.close()
    os.close(ours)
    os.close(theirs)


def test_a_charge_controller_over_a_real_port(cable):
    ours, port = cable
    writer = threading.Timer(0.3, os.write, (ours, victron_frame(**MPPT)))
    writer.start()
    seen = Victron(VictronConfig(driver="victron"), port).measure()
    writer.join()
    assert seen.harvest_w == pytest.approx(13.26 * 2.0)
    assert seen.load_w == pytest.approx(13.26 * 0.5)
    assert seen.battery_w == pytest.approx(13.26 * 1.5)


def test_without_a_load_output_the_battery_is_unknown_and_night_is_zero(cable):
    ours, port = cable
    fields = {key: value for key, value in MPPT.items() if key != "IL"}
    os.write(ours, victron_frame(**{**fields, "I": -20}))
    seen = Victron(VictronConfig(driver="victron"), port).measure()
    assert (seen.harvest_w, seen.load_w, seen.battery_w) == (0.0, None, None)


def test_a_battery_monitor_in_two_frames(cable):
    ours, port = cable
    os.write(ours, victron_frame(V=13_300, I=-2_000, P=-27, SOC=876, T="---"))
    os.write(ours, victron_frame(H1=-100, H2=-5))
    seen = Victron(VictronConfig(driver="victron"), port).measure()
    assert (seen.battery_v, seen.battery_w, seen.battery_soc, seen.temperature_c) == (13.3, -27.0, 0.876, None)


def test_a_silent_cable_is_unknown(cable):
    _, port = cable
    with pytest.raises(DeviceError, match="no frame"):
        Victron(VictronConfig(driver="victron", stale_s=0.1), port).measure()
    with pytest.raises(BadInputError, match="cannot open") as caught:
        open_port("/dev/ttyNOTHERE")
    assert "dialout" in caught.value.hint
