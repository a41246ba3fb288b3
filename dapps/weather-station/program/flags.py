"""The marks a sample can have; a value with any of them is left out of aggregates, plots and forecasts."""

RANGE, STEP, PERSISTENCE, CONSISTENCY, SPIKE, LEVEL, DRIFT, SENTINEL = (1 << n for n in range(8))
#: As they are written in flags.csv.
LETTERS = {
    RANGE: "R", STEP: "T", PERSISTENCE: "P", CONSISTENCY: "C", SPIKE: "S", LEVEL: "L", DRIFT: "D", SENTINEL: "M",
}  # fmt: skip
NAMES = {
    RANGE: "range", STEP: "step", PERSISTENCE: "persistence", CONSISTENCY: "consistency", SPIKE: "spike",
    LEVEL: "level", DRIFT: "drift", SENTINEL: "missing",
}  # fmt: skip


def letters(mark):
    """The letters of a mark."""
    return "".join(letter for bit, letter in LETTERS.items() if mark & bit)


def good(station, name):
    """The values of a variable where no check objects, else None; thousandths of the canonical unit."""
    marks, values = station.marks[name], station.values[name]
    return [None if mark else value for mark, value in zip(marks, values)]
