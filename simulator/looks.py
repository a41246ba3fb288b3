"""How often a simulated worker looks at its meter: a real one looks each second, where most looks change nothing."""

from __future__ import annotations

from worker.energy.battery import Battery
from worker.energy.device import Device, Load
from worker.energy.situation import GateConfig

#: In between a computing board draws at most this share of its battery.
SHARE_BETWEEN = 0.01
LONGEST_S, SHORTEST_S = 900.0, 60.0
#: In the dark, with nothing to do, nothing changes but the charge.
LONGEST_NIGHT_S = 3600.0


def usual_s(battery: Battery, board: Device) -> float:
    """Seconds of the source's clock between two looks."""
    drawn_w = board.power_w(Load.COMPUTING) / battery.discharge_efficiency
    return min(LONGEST_S, max(SHORTEST_S, SHARE_BETWEEN * battery.capacity_wh / drawn_w * 3600.0))


def steady_s(battery: Battery, board: Device, config: GateConfig, soc: float) -> float:
    """Seconds for which an idle, willing worker stays so without sun; negative where it is at the edge."""
    edge = config.start_above - config.hysteresis
    drawn_w = board.power_w(Load.IDLE) / battery.discharge_efficiency
    return (soc - edge) * battery.capacity_wh / drawn_w * 3600.0
