"""Scenes with known truth for the motion benchmark: rendered from a seed, the same in every run.

Each scene is hard in one way that footage of real cameras is: things in the first frame, a shaking camera, leaves,
water, soft shadows, changing light, noise at night, headlights, faint things, things that stop. Truth is labelled as
CDnet does: 0 static, 50 shadow, 85 not judged, 170 unknown (edges), 255 motion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES = 320, 240, 260
#: The first frames are for learning, as in CDnet.
UNJUDGED = 60
_MARGIN = 20
_H, _W = HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN

Plane = NDArray[np.uint8]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """What is hard in a scene; zero or False turns a difficulty off.

    Attributes:
        things: how many pass at a time, on average.
        contrast: how much they differ from the ground, 1: as vehicles and people do.
        people: slim things that swing, instead of vehicles.
        shake: standard deviation of the camera's place, in pixels; `kicks` of it come suddenly.
        leaves, water: amplitude of their movement.
        shadows: how dark things' shadows are, 0..1.
        drift: amplitude of slow changes of light; `step`: factor of light from the middle on.
        noise: standard deviation of the sensor's noise, in grey levels.
        night: factor of all light but that of `headlights`.
        stops: things stand still for a while.
    """

    seed: int
    things: float = 2.0
    contrast: float = 1.0
    people: bool = False
    shake: float = 0.0
    kicks: float = 0.0
    leaves: float = 0.0
    water: float = 0.0
    shadows: float = 0.0
    drift: float = 0.0
    step: float = 1.0
    noise: float = 1.5
    night: float = 1.0
    headlights: bool = False
    stops: bool = False


SCENES = {
    "traffic": Scene(1, things=3, shadows=0.35, leaves=1.0),
    "shake": Scene(2, shake=3.0, shadows=0.2),
    "shake-people": Scene(3, people=True, things=3, shake=2.0, kicks=0.05, leaves=0.7),
    "leaves": Scene(4, people=True, leaves=3.0, contrast=0.8),
    "water": Scene(5, water=1.0, things=1.5, contrast=0.8),
    "rough-water": Scene(6, water=2.0, things=1.5, people=True),
    "shadows": Scene(7, things=3, people=True, shadows=0.5),
    "light": Scene(8, drift=0.15, step=1.25, leaves=0.5),
    "noise": Scene(9, noise=7.0, contrast=0.7),
    "night": Scene(10, night=0.3, headlights=True, noise=3.0),
    "faint": Scene(11, contrast=0.3, people=True),
    "stops": Scene(12, stops=True, things=3, shadows=0.2),
}


def render(scene: Scene, frames: int = FRAMES) -> Iterator[tuple[Plane, Plane]]:
    """Frames (HEIGHT x WIDTH x 3, RGB) and their labels (HEIGHT x WIDTH)."""
    rng = np.random.RandomState(scene.seed)
    world = _World(scene, rng)
    camera = _camera_path(scene, rng, frames)
    things: list[_Thing] = [_Thing.enter(scene, rng, anywhere=True) for _ in range(round(scene.things))]
    for number in range(frames):
        if len(things) < 2 * scene.things and rng.rand() < scene.things / 60:
            things.append(_Thing.enter(scene, rng))
        image = world.at(number)
        labels = np.zeros((_H, _W), np.uint8)
        glow = np.zeros((_H, _W), np.float32)
        for thing in things:
            thing.go(rng, scene)
            thing.draw(image, labels, glow, scene, number)
        things = [thing for thing in things if -90 < thing.x < _W + 90]
        light = scene.night * (1 + scene.drift * np.sin(number / 25)) * (scene.step if number > frames * 0.6 else 1.0)
        image = image * np.float32(light) + glow[..., None]
        picture, truth = _expose(image, labels, camera[number])
        picture += rng.randn(*picture.shape).astype(np.float32) * np.float32(scene.noise)
        truth = _with_edges(truth) if number >= UNJUDGED else np.full_like(truth, 85)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8), truth


def _smooth(rng: np.random.RandomState, cell: int, height: int = _H, width: int = _W) -> Field:
    """Noise in -1..1 whose grains are `cell` pixels wide."""
    grid = rng.uniform(-1, 1, (height // cell + 3, width // cell + 3)).astype(np.float32)
    y, x = (axis.astype(np.float32) / np.float32(cell) for axis in np.mgrid[0:height, 0:width])
    return _sample(grid, y, x)


def _sample(image: Field, y: Field, x: Field) -> Field:
    """Bilinear look-up, the edge repeated."""
    y, x = np.clip(y, 0, image.shape[0] - 1.001), np.clip(x, 0, image.shape[1] - 1.001)
    y0, x0 = y.astype(np.int32), x.astype(np.int32)
    fy, fx = y - y0, x - x0
    if image.ndim == 3:
        fy, fx = fy[..., None], fx[..., None]
    top = image[y0, x0] * (1 - fx) + image[y0, x0 + 1] * fx
    below = image[y0 + 1, x0] * (1 - fx) + image[y0 + 1, x0 + 1] * fx
    found: Field = (top * (1 - fy) + below * fy).astype(np.float32)
    return found


class _World:
    """The ground: a street or yard, with leaves above it or water in it."""

    def __init__(self, scene: Scene, rng: np.random.RandomState) -> None:
        self._scene, self._rng = scene, rng
        texture = 14 * _smooth(rng, 40) + 8 * _smooth(rng, 9) + 7 * _smooth(rng, 2)
        tint = np.array([1.02, 1.0, 0.95], np.float32) * (1 + 0.06 * _smooth(rng, 60)[..., None])
        self._ground: Field = ((118 + texture)[..., None] * tint).astype(np.float32)
        for _ in range(14):  # lines, kerbs, posts: what a shaken camera moves
            y, x = rng.randint(0, _H - 20), rng.randint(0, _W - 20)
            tall, wide = rng.choice([3, 6, 40, 70]), rng.choice([3, 6, 40, 70])
            self._ground[y : y + tall, x : x + wide] += np.float32(rng.choice([-50, -30, 40, 60]))
        self._y, self._x = (grid.astype(np.float32) for grid in np.mgrid[0:_H, 0:_W])
        self._crown = (_smooth(rng, 30) + (0.9 - self._y / 90) > 0)[..., None]
        green = 70 + 45 * _smooth(rng, 4) + 30 * _smooth(rng, 2)
        self._leaves: Field = (green[..., None] * np.array([0.8, 1.1, 0.6])).astype(np.float32)
        self._sway = [(_smooth(rng, 16), rng.uniform(0.25, 0.9), rng.uniform(0, 6)) for _ in range(4)]
        self._waves = [(rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.7), rng.uniform(0.2, 0.7)) for _ in range(7)]
        self._bank = (self._y > 100 + 8 * _smooth(rng, 50))[..., None]

    def at(self, number: int) -> Field:
        """The ground at a frame."""
        image = self._ground.copy()
        if self._scene.leaves:
            gust = np.float32(self._scene.leaves * (0.6 + 0.4 * np.sin(number / 40)))
            down, right = self._push(number, self._sway[:2]), self._push(number, self._sway[2:])
            image = np.where(self._crown, _sample(self._leaves, self._y + gust * down, self._x + gust * right), image)
        if self._scene.water:
            height = sum(np.sin(kx * self._x + ky * self._y + speed * number) for kx, ky, speed in self._waves)
            glint = np.maximum(0, height - 3.2) * 45
            tone = 95 + self._scene.water * (7 * height + glint)
            river = tone[..., None] * np.array([0.75, 0.95, 1.05], np.float32)
            image = np.where(self._bank, river, image)
        return image.astype(np.float32)

    @staticmethod
    def _push(number: int, waves: list[tuple[Field, float, float]]) -> Field:
        total: Field = np.zeros((_H, _W), np.float32)
        for wave, rate, phase in waves:
            total += wave * np.float32(np.sin(rate * number + phase))
        return total


def _camera_path(scene: Scene, rng: np.random.RandomState, frames: int) -> NDArray[np.float64]:
    """Where the camera looks: x, y in pixels and a turn in radians, a damped random walk with kicks."""
    place, speed, path = np.zeros(3), np.zeros(3), []
    for _ in range(frames):
        speed = 0.75 * speed - 0.08 * place + rng.randn(3) * 0.25
        if rng.rand() < scene.kicks:
            speed += rng.randn(3)
        place = place + speed
        path.append(np.clip(place * scene.shake, -_MARGIN + 4, _MARGIN - 4) * (1, 1, 0.0006))
    return np.array(path)


def _expose(image: Field, labels: Plane, place: NDArray[np.float64]) -> tuple[Field, Plane]:
    """What the camera sees of the world."""
    if not place.any():
        inside = (slice(_MARGIN, _MARGIN + HEIGHT), slice(_MARGIN, _MARGIN + WIDTH))
        return image[inside].copy(), labels[inside].copy()
    v, u = (grid.astype(np.float32) for grid in np.mgrid[0:HEIGHT, 0:WIDTH])
    v, u = v - HEIGHT / 2, u - WIDTH / 2
    sine, cosine = np.float32(np.sin(place[2])), np.float32(np.cos(place[2]))
    y = cosine * v - sine * u + np.float32(HEIGHT / 2 + _MARGIN + place[1])
    x = sine * v + cosine * u + np.float32(WIDTH / 2 + _MARGIN + place[0])
    return _sample(image, y, x), labels[np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)].copy()


def _with_edges(labels: Plane) -> Plane:
    """Labels with an unknown band around motion, as people draw them."""
    moving = labels == 255
    wide, narrow = moving.copy(), moving.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            moved = np.roll(moving, (dy, dx), (0, 1))
            wide |= moved
            narrow &= moved
    labels[wide & ~narrow] = 170
    return labels


@dataclass
class _Thing:
    """A vehicle or a person."""

    x: float
    y: float
    speed: float
    width: int
    height: int
    colour: Field
    pattern: Field
    phase: float
    rest: int = 0
    stop_at: float = field(default=1e9)

    @staticmethod
    def enter(scene: Scene, rng: np.random.RandomState, anywhere: bool = False) -> _Thing:
        """Come in from one side, or be there."""
        scale = rng.uniform(0.7, 1.5)
        width, height = (int(11 * scale), int(30 * scale)) if scene.people else (int(44 * scale), int(24 * scale))
        speed = rng.choice([-1, 1]) * rng.uniform(1.2, 2.2 if scene.people else 4.0)
        x = rng.uniform(40, _W - 40) if anywhere else (-width if speed > 0 else _W)
        tone = rng.choice([-1, 1]) * rng.uniform(35, 85)
        colour = (tone + rng.uniform(-35, 35, 3)).astype(np.float32)
        pattern = 14 * _smooth(rng, 3, height, width) + 16 * _smooth(rng, 10, height, width)
        y = rng.uniform(_MARGIN + 40, _H - _MARGIN - 10 - height)
        stop = rng.uniform(60, _W - 60) if scene.stops and not anywhere else 1e9
        return _Thing(x, y, speed, width, height, colour, pattern, rng.uniform(0, 6), stop_at=stop)

    def go(self, rng: np.random.RandomState, scene: Scene) -> None:
        """Move on, or stand."""
        if abs(self.x - self.stop_at) < 3:
            self.stop_at, self.rest = 1e9, 70
        if self.rest:
            self.rest -= 1
            return
        self.x += self.speed
        self.y += rng.randn() * (0.3 if scene.people else 0.1)

    def draw(self, image: Field, labels: Plane, glow: Field, scene: Scene, number: int) -> None:
        """Draw the thing, its shadow and its lights, and label them."""
        x0, y0 = round(self.x), round(self.y)
        reach = 60
        top, left = max(0, y0 - reach), max(0, x0 - reach)
        area = (slice(top, min(_H, y0 + self.height + reach)), slice(left, max(left, min(_W, x0 + self.width + reach))))
        y, x = (grid.astype(np.float32) for grid in np.mgrid[area])
        if not y.size:
            return
        u, v = (x - self.x) / self.width - 0.5, (y - self.y) / self.height - 0.5
        body = self._shape(u, v, scene, number)
        if scene.shadows:
            shade = self._shape(
                (x - self.x - 0.35 * self.height * (0.5 - v)) / self.width - 0.5, 2.2 * v - 0.75, scene, number
            )
            shade = np.clip(shade, 0, 1) * (body < 0.5)
            image[area] *= 1 - np.float32(scene.shadows) * shade[..., None]
            part = labels[area]
            part[(shade > 0.5) & (part == 0)] = 50
            part[(shade > 0.05) & (shade <= 0.5) & (part == 0)] = 170
        tone = np.float32(118) + np.float32(scene.contrast) * (
            self.colour + _sample(self.pattern, (v + 0.5) * self.height, (u + 0.5) * self.width)[..., None]
        )
        image[area] = image[area] * (1 - body[..., None]) + tone * body[..., None]
        part = labels[area]
        part[body > 0.9] = 255
        part[(body > 0.02) & (body <= 0.9)] = 170
        if scene.headlights:
            front = self.x + (self.width if self.speed > 0 else 0)
            ahead = (x - front) * np.sign(self.speed)
            beam = np.exp(-((y - self.y - 0.6 * self.height) ** 2) / 90) * np.exp(-np.abs(ahead) / 14) * (ahead > -4)
            glow[area] += (70 * beam).astype(np.float32)
            part[(beam > 0.03) & (part != 255)] = 170

    def _shape(self, u: Field, v: Field, scene: Scene, number: int) -> Field:
        """How much of a pixel the thing covers; u and v run from -0.5 to 0.5 over it."""
        if scene.people:
            swing = 0.25 * np.sin(number / 3 + self.phase) * np.clip(v, 0, None)
            out = np.minimum(_ellipse(u * 1.1, (v + 0.1) * 1.15), _ellipse(u * 1.8, (v + 0.42) * 6))
            legs = np.maximum(np.abs(np.abs(u) - 0.2 - swing) - 0.16, np.abs(v - 0.28) - 0.22)
            out = np.minimum(out, legs)
        else:
            cabin = np.maximum(np.abs(u + 0.05) - 0.3, np.abs(v + 0.25) - 0.25)
            out = np.minimum(np.maximum(np.abs(u) - 0.5, np.abs(v - 0.17) - 0.3), cabin)
        covered: Field = np.clip(0.5 - out * min(self.width, self.height), 0, 1).astype(np.float32)
        return covered


def _ellipse(u: Field, v: Field) -> Field:
    """Distance from an ellipse that fills the unit square, roughly; negative inside."""
    distance: Field = np.sqrt(u * u + v * v) - np.float32(0.5)
    return distance
