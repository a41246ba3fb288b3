"""The next hours, learnt from the station's own record, and how good such forecasts have been.

For each variable and lead the change from now is a linear function of what the station sees now: time of day,
tendencies, the distance to the day's mean, what yesterday did next, pressure tendency, dryness and wind. The weights
are those of a ridge regression over the past, fitted again each week and applied to the week that follows, so that
every forecast that is scored was made from earlier hours alone. Skill is 1 - MSE / MSE of persistence ("it stays as
it is"); a lead whose skill is not positive falls back to persistence.
"""

import math

from arithmetic import PI, sincos

LEADS = (1, 3, 6, 12, 24)
VARIABLES = ("temperature_c", "sea_level_hpa", "wind_ms")
_WEEK, _BURN_IN, _LEAST_PAIRS, _KEPT_ERRORS = 168, 240, 150, 3000
#: Words for the change of pressure in three hours, hPa (the Met Office's terms of the shipping forecast).
_TENDENCIES = ((0.1, "steady"), (1.6, "slowly"), (3.6, ""), (6.1, "quickly"), (math.inf, "very rapidly"))


class Regression:
    """Ridge regression by its normal equations; old hours fade with each fit."""

    def __init__(self, size):
        self.size, self.pairs = size, 0
        self.products = [[0.0] * size for _ in range(size)]
        self.targets = [0.0] * size
        self.weights = None

    def add(self, features, target):
        """Learn from a pair."""
        self.pairs += 1
        for row, one in zip(self.products, features):
            for column, other in enumerate(features):
                row[column] += one * other
        self.targets = [total + target * feature for total, feature in zip(self.targets, features)]

    def fit(self, fade=0.97):
        """Solve for the weights by Cholesky's decomposition, then let the past fade."""
        n = self.size
        lower = [[0.0] * n for _ in range(n)]
        for i in range(n):
            for j in range(i + 1):
                ridge = 0.01 * self.products[i][i] + 1e-6 if i == j else 0.0
                rest = self.products[i][j] + ridge - math.fsum(lower[i][k] * lower[j][k] for k in range(j))
                lower[i][j] = math.sqrt(max(rest, 1e-12)) if i == j else rest / lower[j][j]
        half = [0.0] * n
        for i in range(n):
            half[i] = (self.targets[i] - math.fsum(lower[i][k] * half[k] for k in range(i))) / lower[i][i]
        weights = [0.0] * n
        for i in reversed(range(n)):
            weights[i] = (half[i] - math.fsum(lower[k][i] * weights[k] for k in range(i + 1, n))) / lower[i][i]
        self.weights = weights
        self.products = [[fade * value for value in row] for row in self.products]
        self.targets = [fade * value for value in self.targets]

    def predict(self, features):
        """The target that the weights give."""
        return math.fsum(weight * feature for weight, feature in zip(self.weights, features))


def forecast(hours, first):
    """Forecast and score.

    Args:
        hours: hourly lists by variable (temperature_c, sea_level_hpa, wind_ms, humidity_pct), None where missing.
        first: the end of the first hour, Unix hours.

    Returns:
        A list of dictionaries: variable, lead_hours, now, value, low and high (80 % of past errors were within), method
        (regression or persistence), skill (None: the record is too short), rmse, rmse_persistence, scored.
    """
    clocks = [sincos(2.0 * PI * hour / 24.0) for hour in range(24)]
    result = []
    for name in VARIABLES:
        values = hours[name]
        now = max((index for index, value in enumerate(values) if value is not None), default=None)
        if now is None:
            continue
        base = [_features(hours, name, at, (first + at) % 24, clocks) for at in range(len(values))]
        for lead in LEADS:
            result.append(_one(values, base, name, lead, now))
    return result


def _features(hours, name, at, hour, clocks):
    """What is known at an hour, apart from yesterday's course; None where the variable is missing."""
    values = hours[name]
    value = values[at]
    if value is None or at < 24:
        return None
    day = [past for past in values[at - 23 : at + 1] if past is not None]
    sine, cosine = clocks[hour]
    double_sine, double_cosine = clocks[2 * hour % 24]
    features = [
        1.0, sine, cosine, double_sine, double_cosine, _change(values, at, 1), _change(values, at, 3),
        value - math.fsum(day) / len(day), _change(hours["sea_level_hpa"], at, 3),
    ]  # fmt: skip
    if name == "temperature_c":
        humidity, wind = hours["humidity_pct"][at], hours["wind_ms"][at]
        features += [(50.0 if humidity is None else humidity) / 50.0 - 1.0, (3.0 if wind is None else wind) / 3.0 - 1.0]
    return features


def _change(values, at, hours):
    then, now = values[at - hours], values[at]
    return 0.0 if then is None or now is None else now - then


def _whole(values, base, at, lead):
    """Features of one lead: yesterday's change over the same hours is added."""
    if base[at] is None:
        return None
    before, after = values[at - 24], values[at - 24 + lead]
    return [*base[at], 0.0 if before is None or after is None else after - before]


def _one(values, base, name, lead, now):
    """Go through the hours as they came: score the forecasts that fall due, learn from them, fit each week."""
    model, due, errors, still = None, {}, [], []
    for at, value in enumerate(values):
        predicted, learnt = due.pop(at, None), at - lead
        if value is not None and learnt >= 24:
            features = _whole(values, base, learnt, lead)
            if features:
                model = model or Regression(len(features))
                change = value - values[learnt]
                if predicted is not None:
                    errors.append(predicted - change)
                    still.append(-change)
                model.add(features, change)
        if model and at % _WEEK == 0 and model.pairs >= _LEAST_PAIRS:
            model.fit()
        if model and model.weights and at >= _BURN_IN and value is not None:
            features = _whole(values, base, at, lead)
            if features:
                due[at + lead] = model.predict(features)
    return _entry(values, base, name, lead, now, model, errors, still)


def _entry(values, base, name, lead, now, model, errors, still):
    entry = {"variable": name, "lead_hours": lead, "now": values[now], "method": "persistence", "skill": None,
             "value": values[now], "low": None, "high": None, "rmse": None, "rmse_persistence": None,
             "scored": len(errors)}  # fmt: skip
    if len(errors) < _LEAST_PAIRS:
        return entry
    ours = math.fsum(error * error for error in errors) / len(errors)
    theirs = math.fsum(error * error for error in still) / len(still)
    entry["rmse"], entry["rmse_persistence"] = math.sqrt(ours), math.sqrt(theirs)
    entry["skill"] = 1.0 - ours / theirs if theirs > 0.0 else 0.0
    features = _whole(values, base, now, lead)
    used = errors
    if entry["skill"] > 0.0 and features and model.weights:
        entry["method"] = "regression"
        entry["value"] = values[now] + model.predict(features)
    else:
        used = still
    ordered = sorted(used[-_KEPT_ERRORS:])
    entry["low"] = entry["value"] - ordered[9 * len(ordered) // 10]
    entry["high"] = entry["value"] - ordered[len(ordered) // 10]
    if name == "wind_ms":
        for key in ("value", "low", "high"):
            entry[key] = max(0.0, entry[key])
    return entry


def tendency(pressures):
    """Change of the last three hours in hPa and its words; (None, "unknown") where one of the two is missing."""
    if len(pressures) < 4 or pressures[-1] is None or pressures[-4] is None:
        return None, "unknown"
    change = pressures[-1] - pressures[-4]
    how = next(word for limit, word in _TENDENCIES if abs(change) < limit)
    if how == "steady":
        return change, how
    return change, f"{'rising' if change > 0.0 else 'falling'} {how}".strip()
