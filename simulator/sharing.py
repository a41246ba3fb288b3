"""What workers with the same past need not compute each for themselves. No decision changes by it (tested)."""

from __future__ import annotations

from worker.energy.forecast import STEP_S, Forecast, Forecaster
from worker.energy.panel import Panel
from worker.energy.planner import Planner, Table

_KEPT_TABLES = 64


class SharedForecaster(Forecaster):
    """Keeps its forecast until the next quarter hour, and the clear sky together with all under the same one.

    Args:
        clear: clear-sky power by step, of all panels that are like this one.
    """

    def __init__(self, panel: Panel, clear: dict[int, float]) -> None:
        super().__init__(panel)
        self._clear = clear
        self._made: tuple[int, float, Forecast] | None = None

    def observe(self, at: float, available_w: float | None) -> None:
        self._made = None
        super().observe(at, available_w)

    def forecast(self, at: float, hours: float = 24.0) -> Forecast:
        step, made = int(at // STEP_S), self._made
        if made is not None and made[:2] == (step, hours):
            return made[2]
        found = super().forecast(at, hours)
        self._made = (step, hours, found)
        return found


class SharedPlanner(Planner):
    """Takes the tables of a day from another worker whose plans were made from the same, all days before included."""

    def share(self, tables: dict[int, tuple[Table, Table]]) -> SharedPlanner:
        self._tables, self._past = tables, 0
        return self

    def _begin(self, day: int) -> None:
        super()._begin(day)
        book, season = self.book, self._season
        weather = (*self._sun_wh, *self._cold, *self._tau, season.next_day(0.0), self._sensing, self._wear)
        self._past = hash((self._past, day, weather, self._arrival, book.nrlc_per_h, book.spread, *book.tasks))
        if self._past in self._tables:
            self._tomorrow, self._table = self._tables[self._past]
            self._rounds_left = 0

    def work(self, at: float) -> None:
        super().work(at)
        if self._table is not None and self._tomorrow is not None and not self._rounds_left:
            self._tables[self._past] = (self._tomorrow, self._table)
            while len(self._tables) > _KEPT_TABLES:
                del self._tables[next(iter(self._tables))]
