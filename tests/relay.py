"""A TCP relay on loopback that counts what passes, and can stop or cut it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType


class Relay:
    """Passes connections on to a port of this machine.

    `up` and `down` count bytes; once `most_up` (or `most_down`) of one connection have passed it stalls until the relay
    ends, which cuts it, or is cut at once where `cutting` says so.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.up = self.down = 0
        self.most_up = self.most_down = 2**60
        self.cutting = False
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            back = threading.Thread(target=self._pump, args=(far, near, "down"), daemon=True)
            back.start()
            self._pump(near, far, "up")
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                while passed >= getattr(self, f"most_{way}") and not self.cutting and not self._over.is_set():
                    time.sleep(0.01)
                if passed >= getattr(self, f"most_{way}"):
                    break
                sink.sendall(data)
                passed += len(data)
                setattr(self, way, getattr(self, way) + len(data))
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
