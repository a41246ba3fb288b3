"""What work is worth around here: an operator's word to begin with, then what is offered."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_PRIOR_OFFERS = 150.0  # the weight of the operator's word, in offers and in hours
_PRIOR_H = 300.0
_MEMORY_OFFERS = 800.0
_MEMORY_H = 1500.0
_SEEN = 64
_NEWS = 0.3  # a plan is made anew for a mean, rate or spread that is off by so much; less is noise
_TASKS = ((1, 0.4), (2, 0.4), (6, 0.2))  # half hours, share to begin with


class Market(BaseModel):
    """What work is worth around here; the plan weighs it against the energy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_nrlc_per_h: float = Field(gt=0, description="mean reward, less gas, of an hour of computing")
    sensing_nrlc_per_h: float = Field(0.0, ge=0, description="what an hour awake is worth as a sensor")
    offers_per_h: float = Field(0.5, gt=0)
    spread: float = Field(0.6, gt=0, le=3, description="sigma of the log of the reward of an hour")


class MarketBook:
    """Rewards, arrivals and durations as offers have shown them; rewards of an hour are log-normal."""

    def __init__(self, market: Market) -> None:
        self._rate_per_h = market.offers_per_h
        self._log_mean = math.log(market.task_nrlc_per_h) - market.spread**2 / 2.0
        self._log_variance = market.spread**2
        self._offers, self._hours = _PRIOR_OFFERS, _PRIOR_H
        self._seen: list[str] = []
        self._unpriced = 0
        self._shares = [share for _, share in _TASKS]
        self._tell()

    def _tell(self) -> None:
        self.offers_per_h = self._rate_per_h
        self.spread = math.sqrt(max(1e-4, self._log_variance))
        self.nrlc_per_h = math.exp(self._log_mean + self._log_variance / 2.0)
        self.tasks = [(steps, share) for (steps, _), share in zip(_TASKS, self._shares, strict=True)]
        self.gain = _option_values(self.spread)

    def tell(self) -> None:
        """Let what was learnt count, if it is news: `nrlc_per_h` (mean reward of an hour of computing, less gas),
        `spread`, `offers_per_h`, `tasks` (half hours, share) and `gain` (what the option of an offer is worth)."""
        mean = math.exp(self._log_mean + self._log_variance / 2.0)
        ratios = (mean / self.nrlc_per_h, self._rate_per_h / self.offers_per_h, self._log_variance / self.spread**2)
        apart = sum(abs(new - old) for new, (_, old) in zip(self._shares, self.tasks, strict=True))
        if apart > 2.0 * _NEWS or any(not 1.0 - _NEWS < ratio < 1.0 + _NEWS for ratio in ratios):
            self._tell()

    def waited(self, hours: float) -> None:
        """So long the worker could have been offered something."""
        arrived, self._unpriced = self._unpriced, 0
        self._hours = min(_MEMORY_H, self._hours + hours)
        self._rate_per_h += (arrived - hours * self._rate_per_h) / self._hours

    def offered(self, task_id: str, net_nrlc: float, seconds: float) -> None:
        """Take an offer; the same task offered again tells nothing new."""
        if task_id in self._seen or net_nrlc <= 0.0 or seconds <= 0.0:
            return
        self._seen = [*self._seen[1 - _SEEN :], task_id]
        self._unpriced += 1
        self._offers = min(_MEMORY_OFFERS, self._offers + 1.0)
        rate = 1.0 / self._offers
        off = math.log(net_nrlc * 3600.0 / seconds) - self._log_mean
        self._log_mean += rate * off
        self._log_variance += rate * (off * off * (1.0 - rate) - self._log_variance)
        nearest = min(range(len(_TASKS)), key=lambda k: abs(math.log(seconds / 1800.0 / _TASKS[k][0])))
        self._shares = [share + rate * ((k == nearest) - share) for k, share in enumerate(self._shares)]

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs: JSON types only."""
        return {
            "rate_per_h": self._rate_per_h,
            "log_mean": self._log_mean,
            "log_variance": self._log_variance,
            "offers": self._offers,
            "hours": self._hours,
            "shares": list(self._shares),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._rate_per_h = snapshot["rate_per_h"]
        self._log_mean, self._log_variance = snapshot["log_mean"], snapshot["log_variance"]
        self._offers, self._hours = snapshot["offers"], snapshot["hours"]
        self._shares = list(snapshot["shares"])
        self._tell()


def _option_values(spread: float) -> list[float]:
    """E[max(0, p - z)] for z = 0, 0.01, ... 12 and p log-normal with mean 1 (Black's formula)."""

    def phi(x: float) -> float:
        return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))

    values = []
    for i in range(1201):
        z = max(i / 100.0, 1e-9)
        d1 = (spread * spread / 2.0 - math.log(z)) / spread
        values.append(phi(d1) - z * phi(d1 - spread))
    return values
