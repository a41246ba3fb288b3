"""TCP ports on loopback: whether they are free, and who holds them."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import psutil

from poco.errors import BadInputError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server can listen on the loopback port now (ports waiting after a close count as free)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that nobody holds at this moment, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def holder(port: int) -> str:
    """The process that listens on a port, as `pid 123 (command ...)`; says so when it may not be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process that only root can see"
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid is not None:
            try:
                command = " ".join(psutil.Process(each.pid).cmdline())
            except psutil.Error:
                command = "?"
            return f"pid {each.pid} ({command[:120]})"
    return "a process that only root can see"


def require_ports(ports: Mapping[str, tuple[int, str]]) -> None:
    """Check that all ports of a run are free and differ, before anything starts.

    Args:
        ports: what needs it -> (port, the option or environment variable that changes it).

    Raises:
        BadInputError: all that are taken, by whom, and how to choose others.
    """
    problems, ways = [], []
    seen: dict[int, str] = {}
    for what, (port, option) in ports.items():
        if not 0 < port < 65536:
            problems.append(f"port {port} for {what} is not between 1 and 65535")
        elif port in seen:
            problems.append(f"port {port} is asked for by both {seen[port]} and {what}")
        elif not is_free(port):
            problems.append(f"port {port} for {what} is taken by {holder(port)}")
        else:
            seen[port] = what
            continue
        seen.setdefault(port, what)
        ways.append(f"{option}={free_port()}")
    if problems:
        raise BadInputError(
            "; ".join(problems), hint=f"end that process, or choose another port: {' '.join(ways)}", code="PORT_TAKEN"
        )
