"""From footage to `events.json` and pictures."""

import hashlib
import json
import os
import sys

import draw
import footage
import jpeg
import kernel
import settings as settings_module
import tracks

FORMAT = "motion-detection/1"
#: Frames the first background is the median of, taken evenly from the first so many frames.
SAMPLES, SAMPLED_SPAN = 24, 1000
#: A change of more than this part of the picture, for so many frames, is not something that moves in it.
SCENE_PERCENT, SCENE_FRAMES = 60, 3
_PATIENCE_MS = 600


def run(clip, settings, out, library=kernel.LIBRARY):
    """Analyse footage and write the result.

    Args:
        clip: a `footage.Footage`.
        settings: what `settings.parse` returns.
        out: folder to write into.
        library: path of the compiled kernel.

    Raises:
        FootageError: no usable frames.
    """
    codec = jpeg.Codec()
    first = min(settings["start"], clip.count)
    end = min(clip.count, first + settings["frames"]) if settings["frames"] else clip.count
    if end - first < 2:
        raise footage.FootageError(f"the footage has {clip.count} frames, and motion needs two")
    frames = _Frames(clip, codec, first, end)
    detector = kernel.Detector(frames.width, frames.height, settings_module.kernel_settings(settings), library)
    masks = _Masks(out, frames) if settings["masks"] else None
    scene = _watch(frames, detector, settings, masks)
    detector.close()
    if masks:
        masks.close()
    if 2 * len(frames.broken) > end - first:
        raise footage.FootageError(f"{len(frames.broken)} of {end - first} frames are broken")
    _write(out, frames, settings, masks, *scene)


class _Frames:
    """The decoded frames of a clip; those of another size than the first good one count as broken."""

    def __init__(self, clip, codec, first, end):
        self.clip, self.codec, self.first, self.end = clip, codec, first, end
        self.broken = set()
        for index in range(first, end):
            try:
                self.size = codec.size(clip.read(index))
                break
            except jpeg.JpegError as error:
                reason = error
        else:
            raise footage.FootageError(f"no frame can be decoded: {reason}")
        self.shrink = jpeg.shrink_for(*self.size[:2])
        self.width, self.height = (-(-side // self.shrink) for side in self.size[:2])

    def picture(self, index, shrink=None):
        """A decoded frame, or None when it is broken."""
        if index in self.broken:
            return None
        content = self.clip.read(index)
        try:
            if self.codec.size(content) == self.size:
                return self.codec.decode(content, shrink or self.shrink)
        except jpeg.JpegError:
            pass
        self.broken.add(index)
        return None

    def samples(self):
        """Pictures for the first background."""
        span = min(self.end - self.first, SAMPLED_SPAN)
        for index in sorted({self.first + span * i // SAMPLES for i in range(SAMPLES)}):
            picture = self.picture(index)
            if picture:
                yield picture


class _Masks:
    """`masks.pbm`: the masks of the frames in which something moves, one after the other, as PBM (P4) allows."""

    NAME = "masks.pbm"

    def __init__(self, out, frames):
        self.frames = []
        self.sha256 = hashlib.sha256()
        self._header = b"P4\n%d %d\n" % (frames.width, frames.height)
        self._file = open(os.path.join(out, self.NAME), "wb")  # noqa: SIM115  (closed by `close`)

    def add(self, index, packed):
        """Write a frame's mask."""
        self.frames.append(index)
        for part in (self._header, packed):
            self.sha256.update(part)
            self._file.write(part)

    def close(self):
        """No more come."""
        self._file.close()


def region(polygons, width, height):
    """Bytes of a picture, 1 where a pixel's centre lies in a polygon (even-odd rule), in integers."""
    content = bytearray(width * height)
    for corners in polygons:
        sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
        for row in range(height):
            y = (2 * row + 1) * 5_000  # in 1/10000 of a pixel's height, as are the corners times the height
            crossings = sorted(
                (x1 * dy * width + (y - y1 * height) * (x2 - x1) * width // height) // dy
                for (x1, y1), (x2, y2) in sides
                if (y1 * height <= y) != (y2 * height <= y)
                for dy in (y2 - y1,)
            )
            for left, right in zip(crossings[::2], crossings[1::2], strict=True):
                first, last = (min(width, max(0, (x + 5_000) // 10_000)) for x in (left, right))
                content[row * width + first : row * width + last] = b"\1" * (last - first)
    return bytes(content)


def _watch(frames, detector, settings, masks):
    """Go through the frames; returns events, tracks and the frames at which the whole scene changed."""
    width, height = frames.width, frames.height
    detector.region(region(settings["region"], width, height))
    detector.learn(frames.samples(), SAMPLES)
    min_area = max(4, width * height * settings["min_area_ppm"] // 1_000_000)
    frame_ms = max(1, frames.clip.frame_us // 1000)
    tracker = tracks.Tracker(max(2, _PATIENCE_MS // frame_ms))
    gap = max(1, settings["gap_ms"] // frame_ms)
    events, changes, changed = [], [], 0
    for index in range(frames.first, frames.end):
        picture = frames.picture(index)
        if picture is None:
            continue
        moving = detector.step(picture)
        changed = changed + 1 if moving * 100 > SCENE_PERCENT * width * height else 0
        if changed:
            if changed == SCENE_FRAMES:
                detector.restart()
                changes.append(index)
            continue
        if not settings_module.watched(settings, index * frames.clip.frame_us // 1_000_000):
            continue
        if masks and moving:
            masks.add(index, detector.packed())
        boxes = [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1, _ in detector.blobs(min_area)] if moving else []
        tracks.join_events(events, index, tracker.step(index, boxes), gap)
    return events, tracker.confirmed, changes


def _write(out, frames, settings, masks, events, found, changes):
    def seconds(frame):
        return frame * frames.clip.frame_us // 1000 / 1000

    def full(x, y, width, height):
        """A box in pixels of the footage."""
        s = frames.shrink
        return [x * s, y * s, min(width * s, frames.size[0] - x * s), min(height * s, frames.size[1] - y * s)]

    shown = []
    for number, event in enumerate(events, 1):
        entry = {
            "id": number,
            "start_s": seconds(event.first),
            "end_s": seconds(event.last + 1),
            "start_frame": event.first,
            "end_frame": event.last,
            "tracks": sorted(event.tracks),
            "boxes": [{"track": track, "frame": event.best, "box": full(*box)} for track, *box in event.boxes],
        }
        picture = frames.picture(event.best, shrink=1) if number <= settings["pictures"] else None
        if picture:
            for track, *box in event.boxes:
                draw.box(picture, track, *full(*box))
            content = frames.codec.encode(picture)
            entry["picture"] = f"event-{number:03}.jpg"
            entry["picture_sha256"] = hashlib.sha256(content).hexdigest()
            _save(out, entry["picture"], content)
        shown.append(entry)
    document = {
        "format": FORMAT,
        "footage": {
            "frames": frames.clip.count,
            "analysed": [frames.first, frames.end],
            "broken_frames": sorted(frames.broken),
            "truncated": frames.clip.truncated,
            "width": frames.size[0],
            "height": frames.size[1],
            "seconds_per_frame": frames.clip.frame_us / 1_000_000,
        },
        "settings": settings,
        "events": shown,
        "scene_changes": [{"frame": frame, "at_s": seconds(frame)} for frame in changes],
        "tracks": [
            {
                "id": track.id,
                "start_s": seconds(track.first),
                "end_s": seconds(track.last + 1),
                "boxes": [[frame, *full(*box)] for frame, *box in track.boxes],
            }
            for track in found
        ],
    }
    if masks:
        document["masks"] = {
            "file": masks.NAME,
            "sha256": masks.sha256.hexdigest(),
            "width": frames.width,
            "height": frames.height,
            "frames": masks.frames,
        }
    _save(out, "events.json", json.dumps(document, separators=(",", ":")).encode() + b"\n")
    # events.json names the sha256 of every picture: its digest is the digest of all.
    computed = {"deterministic-output-path": "/iexec_out/events.json"}
    _save(out, "computed.json", json.dumps(computed).encode())
    print(f"{len(shown)} events, {len(found)} tracks in {frames.end - frames.first} frames", file=sys.stderr)


def _save(out, name, content):
    with open(os.path.join(out, name), "wb") as file:
        file.write(content)
