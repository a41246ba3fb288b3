"""Who may have an engine installed, and what everybody else is told."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from ops import engine
from ops.console import SetupError


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without an engine and without any right."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "find_engine", lambda: None)
    monkeypatch.setattr(engine, "is_root", lambda: False)
    monkeypatch.setattr(engine, "is_debian", lambda: True)
    monkeypatch.setattr(engine, "_start_engine", lambda: pytest.fail("must not start an engine"))
    monkeypatch.setattr(engine, "SOCKET", Path("/nonexistent/docker.sock"))
    return monkeypatch


def refusal() -> tuple[str, str]:
    with pytest.raises(SetupError) as refused:
        engine.ensure_engine()
    assert refused.value.exit_code == 2
    return refused.value.message, refused.value.hint


def test_a_user_without_root_is_told_what_to_do(nobody: pytest.MonkeyPatch) -> None:
    message, hint = refusal()
    assert message == "no Docker Engine answers, and only root can install or start one"
    assert "sudo python3 -m ops.engine ensure" in hint


def test_a_socket_that_is_not_open_to_the_user(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    socket.touch()
    nobody.setattr(engine, "SOCKET", socket)
    nobody.setattr(engine.os, "access", lambda *_: False)
    message, hint = refusal()
    assert "is not open to this user" in message
    assert "usermod -aG docker" in hint


def test_root_elsewhere_than_on_debian(nobody: pytest.MonkeyPatch) -> None:
    nobody.setattr(engine, "is_root", lambda: True)
    nobody.setattr(engine, "is_debian", lambda: False)
    nobody.setattr(engine.shutil, "which", lambda _: None)
    message, hint = refusal()
    assert "this is not Debian or Ubuntu" in message
    assert "docs.docker.com" in hint


def test_a_mac(nobody: pytest.MonkeyPatch) -> None:
    nobody.setattr(platform, "system", lambda: "Darwin")
    assert "start Docker Desktop" in refusal()[1]


def test_a_remote_engine_is_never_replaced(nobody: pytest.MonkeyPatch) -> None:
    nobody.setattr(engine, "is_root", lambda: True)
    nobody.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    assert refusal() == (
        "no Docker Engine answers at DOCKER_HOST=tcp://192.0.2.1:2375",
        "start it, or unset DOCKER_HOST",
    )


def test_an_engine_that_answers_is_used_as_it_is(nobody: pytest.MonkeyPatch) -> None:
    nobody.setattr(engine, "find_engine", lambda: ({"ServerVersion": "1"}, "unix:///x"))
    assert engine.ensure_engine() == ({"ServerVersion": "1"}, "unix:///x")


def test_foreign_binaries_without_root_name_the_cure(nobody: pytest.MonkeyPatch) -> None:
    nobody.setattr(engine, "_runs", lambda target, *_: target.qemu == "x86_64")
    with pytest.raises(SetupError, match="cannot run programs for linux/arm64, linux/arm/v7") as refused:
        engine.ensure_platforms({}, "unix:///x")
    assert "tonistiigi/binfmt" in refused.value.hint
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("host", "kernel", "shared"),
    [
        ("unix:///var/run/docker.sock", platform.release(), True),
        ("unix:///var/run/docker.sock", "6.10.14-linuxkit", False),
        ("tcp://192.0.2.1:2375", platform.release(), False),
    ],
)
def test_whose_kernel_runs_the_containers(host: str, kernel: str, shared: bool) -> None:
    assert engine._shares_kernel({"KernelVersion": kernel}, host) is (shared and platform.system() == "Linux")
