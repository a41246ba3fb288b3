"""A relay on loopback that counts what a connection costs: bytes, segments, requests, MQTT packets, bursts."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from types import TracebackType

from ops.ports import HOST

#: Bytes of IPv4 and TCP (with timestamps) around the payload of a segment.
HEADERS = 52
#: A radio that has been silent for so long has gone to sleep, seconds.
SILENCE = 2.0
#: MQTT 3.1.1, table 2.1
PACKETS = {1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 8: "SUBSCRIBE", 9: "SUBACK", 12: "PINGREQ",
           13: "PINGRESP", 14: "DISCONNECT"}  # fmt: skip
#: Where struct tcp_info (linux/tcp.h) has segs_out and segs_in.
_SEGMENTS_AT = 136


class WireMeter:
    """Passes connections on to a port of this machine, and counts at the side that connects.

    `payload`: bytes both ways; `segments`: both ways, by the kernel; `bursts`: with `SILENCE` before each; `requests`:
    HTTP, by method and path; `packets`, `packet_bytes`: MQTT, by name.
    """

    def __init__(self, port: int, *, mqtt: bool = False) -> None:
        self._target, self._mqtt = port, mqtt
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self._sockets: list[tuple[socket.socket, int]] = []
        self._last = 0.0
        self.port = int(self._listener.getsockname()[1])
        self.reset()

    def reset(self) -> None:
        """Count anew from now."""
        with self._lock:
            self.payload = self._ended = self.bursts = 0
            self.requests: Counter[str] = Counter()
            self.packets: Counter[str] = Counter()
            self.packet_bytes: Counter[str] = Counter()
            self._sockets = [(each, _segments(each)) for each, _ in self._sockets]

    @property
    def segments(self) -> int:
        with self._lock:
            return self._ended + sum(_segments(each) - before for each, before in self._sockets)

    @property
    def on_air(self) -> int:
        """Bytes with their headers."""
        return self.payload + HEADERS * self.segments

    def __enter__(self) -> WireMeter:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listener.close()
        with self._lock:
            for each, _ in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self._target))
                with self._lock:
                    self._sockets.append((near, 0))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other, near), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, near: socket.socket) -> None:
        pending = bytearray()
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._count(data, pending, up=source is near)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for entry in [entry for entry in self._sockets if entry[0] is near]:
                self._sockets.remove(entry)
                self._ended += _segments(near) - entry[1]

    def _count(self, data: bytes, pending: bytearray, *, up: bool) -> None:
        with self._lock:
            now = time.monotonic()
            self.bursts += now - self._last >= SILENCE
            self._last = now
            self.payload += len(data)
            if self._mqtt:
                pending += data
                for name, size in _split(pending):
                    self.packets[name] += 1
                    self.packet_bytes[name] += size
            elif up and data.startswith((b"GET ", b"POST ", b"PUT ")):
                method, path = data.split(b" ", 2)[:2]
                self.requests[f"{method.decode()} {path.decode()}"] += 1


def _segments(of: socket.socket) -> int:
    """Segments of a connection so far, both ways; those of one that is closed are no longer known."""
    try:
        info = of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:
        return 0
    sent, received = struct.unpack_from("II", info, _SEGMENTS_AT)
    return int(sent + received)


def _split(pending: bytearray) -> list[tuple[str, int]]:
    """Takes whole MQTT packets out: (name, bytes) of each."""
    found: list[tuple[str, int]] = []
    while len(pending) >= 2:
        length, at = 0, 1
        while at < len(pending):
            length |= (pending[at] & 0x7F) << (7 * (at - 1))
            at += 1
            if not pending[at - 1] & 0x80:
                break
        else:
            return found
        if len(pending) < at + length:
            return found
        found.append((PACKETS.get(pending[0] >> 4, "OTHER"), at + length))
        del pending[: at + length]
    return found
