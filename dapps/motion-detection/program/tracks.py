"""Blobs to tracks to events, in integers and in a fixed order."""

#: A track counts once it has been seen in so many frames.
CONFIRMED = 4


class Track:
    """One moving thing: its boxes (frame, x, y, width, height) as it goes."""

    def __init__(self, frame, box):
        self.id = 0
        self.boxes = [(frame, *box)]
        self.missed = 0

    @property
    def first(self):
        """First frame."""
        return self.boxes[0][0]

    @property
    def last(self):
        """Last frame."""
        return self.boxes[-1][0]

    def expected(self, frame):
        """Where the box should be now, by its movement over the last frames."""
        new = self.boxes[-1]
        old = self.boxes[max(0, len(self.boxes) - 5)]
        steps, ahead = max(1, new[0] - old[0]), frame - new[0]
        return (
            new[1] + (2 * new[1] + new[3] - 2 * old[1] - old[3]) * ahead // (2 * steps),
            new[2] + (2 * new[2] + new[4] - 2 * old[2] - old[4]) * ahead // (2 * steps),
            new[3],
            new[4],
        )


class Tracker:
    """Joins the boxes of successive frames.

    Args:
        patience: frames a track lives on without a box.
    """

    def __init__(self, patience):
        self.patience = patience
        self.alive = []
        self.confirmed = []

    def step(self, frame, boxes):
        """Take the boxes (x, y, width, height) of a frame; returns the confirmed tracks that are in it."""
        offers = []
        for t, track in enumerate(self.alive):
            where = track.expected(frame)
            for b, box in enumerate(boxes):
                cost = _cost(where, box)
                if cost is not None:
                    offers.append((cost, t, b))
        offers.sort()
        taken, given = set(), set()
        for _, t, b in offers:
            if t not in taken and b not in given:
                taken.add(t)
                given.add(b)
                self.alive[t].boxes.append((frame, *boxes[b]))
                self.alive[t].missed = 0
        for t, track in enumerate(self.alive):
            if t not in taken:
                track.missed += 1
        self.alive = [track for track in self.alive if track.missed <= self.patience]
        self.alive += [Track(frame, box) for b, box in enumerate(boxes) if b not in given]
        for track in self.alive:
            if not track.id and len(track.boxes) >= CONFIRMED:
                self.confirmed.append(track)
                track.id = len(self.confirmed)
        return [track for track in self.alive if track.id and track.last == frame]


def _cost(where, box):
    """Distance of centres in 1/16 of the larger box's half circumference; None where they are too far apart."""
    dx = abs(2 * where[0] + where[2] - 2 * box[0] - box[2])
    dy = abs(2 * where[1] + where[3] - 2 * box[1] - box[3])
    size = max(where[2] + where[3], box[2] + box[3])
    far = (dx + dy) * 8 // size
    small, large = sorted((where[2] * where[3], box[2] * box[3]))
    return far if far <= 10 and small * 5 >= large else None


class Event:
    """A stretch of time with something confirmed in it, and the frame that shows most of it."""

    def __init__(self, first, frame):
        self.first, self.last = first, frame
        self.best = frame
        self.shown = (0, 0)
        self.boxes = []
        self.tracks = set()


def join_events(events, frame, tracks, gap):
    """Add a frame's confirmed tracks to the last event, or to a new one after `gap` frames without any."""
    if not tracks:
        return
    began = min(track.first for track in tracks)  # a track is confirmed some frames after it began
    if not events or began - events[-1].last > gap:
        events.append(Event(began, frame))
    event = events[-1]
    event.last = frame
    event.tracks.update(track.id for track in tracks)
    shown = (len(tracks), sum(track.boxes[-1][3] * track.boxes[-1][4] for track in tracks))
    if shown > event.shown:
        event.best, event.shown = frame, shown
        event.boxes = [(track.id, *track.boxes[-1][1:]) for track in tracks]
