"""Images for ops/compose.yaml where no registry of images is reached: Debian programs with the libraries they load."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops import haproxy, mosquitto, postgres, prometheus
from ops.console import ROOT, run

FOLDER = Path(__file__).parent
_PASSWD = "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\nmosquitto:x:1883:1883::/:/bin/sh\n"
#: What scripts need.
_SHELL = ("sh", "cat", "cksum", "sleep", "touch", "grep", "kill", "mkdir", "rm", "chmod")
_NAME = "pew-composed"


def build(folder: Path) -> dict[str, str]:
    """Make them in an engine; the variables that name them."""
    programs = postgres.ensure_postgres()
    share = Path("/usr/share/postgresql") / programs.parent.name
    zones = Path("/usr/share/zoneinfo")
    postgres_files = {path: path for path in (programs, programs.parent / "lib", share, zones) if path.exists()}
    balancer, server = haproxy.ensure_haproxy(), prometheus.ensure_prometheus()
    promtool = prometheus.ensure_program("prometheus", "usr/bin/promtool", ["prometheus"])
    mosquitto.ensure_mosquitto()
    broker = mosquitto.find_mosquitto()
    assert broker is not None
    anvil = next((ROOT / "node_modules").glob("@foundry-rs/anvil-linux-*/bin/anvil"))
    made = {
        "POSTGRES": _image(
            folder / "postgres",
            [*sorted(programs.iterdir())],
            extra=postgres_files | {FOLDER / "postgres.sh": Path("/usr/local/bin/entrypoint")},
            path=f"{programs}:/usr/bin",
            entrypoint=["/bin/sh", "/usr/local/bin/entrypoint"],
        ),
        "HAPROXY": _image(folder / "haproxy", [balancer.path], libraries=balancer.env.get("LD_LIBRARY_PATH", "")),
        "PROMETHEUS": _image(folder / "prometheus", [server.path, promtool.path], entrypoint=["/usr/bin/prometheus"]),
        "MOSQUITTO": _image(
            folder / "mosquitto",
            [broker],
            libraries=":".join(str(p.parent) for p in broker.parents[1].glob("lib/*/libcjson.so.1")),
        ),
        "ANVIL": _image(folder / "anvil", [anvil], entrypoint=["/usr/bin/anvil"]),
    }
    return {f"PEW_{name}_IMAGE": image for name, image in made.items()}


def remove() -> None:
    """Take the images out of the engine."""
    found = run(["docker", "images", "-q", "--filter", f"reference={_NAME}/*"]).split()
    if found:
        run(["docker", "rmi", "-f", *set(found)], timeout=120)


def _image(
    root: Path,
    programs: Sequence[Path],
    *,
    extra: Mapping[Path, Path] | None = None,
    libraries: str = "",
    path: str = "/usr/bin",
    entrypoint: Sequence[str] = (),
) -> str:
    shutil.rmtree(root, ignore_errors=True)
    (root / "usr" / "bin").mkdir(parents=True)
    for name in ("bin", "sbin"):
        (root / name).symlink_to("usr/bin")
    (root / "lib64").symlink_to("usr/lib64")
    (root / "lib").symlink_to("usr/lib")
    for name in ("etc", "tmp", "proc", "dev", "sys", "run", "var/run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc" / "passwd").write_text(_PASSWD)
    env = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    shell = [Path(found) for name in _SHELL if (found := shutil.which(name))]
    for program in (*programs, *shell):
        if program.is_file():
            _put(root, program.resolve(), Path("usr/bin") / program.name, env)
    for source, target in (extra or {}).items():
        where = root / str(target).lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, where, dirs_exist_ok=True)
        else:
            shutil.copy(source, where)
    for module in (root / "usr" / "lib").rglob("*.so"):
        _libraries(root, module, env)
    name = f"{_NAME}/{root.name}:1"
    changes = [f"ENV PATH={path}"] + ([f"ENTRYPOINT {list(entrypoint)!r}".replace("'", '"')] if entrypoint else [])
    argv = ["docker", "import", *(word for change in changes for word in ("--change", change)), "-", name]
    with subprocess.Popen(["tar", "-C", str(root), "--owner=0", "--group=0", "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(argv, stdin=tar.stdout, check=True, capture_output=True, timeout=120)
    return name


def _put(root: Path, source: Path, target: Path, env: Mapping[str, str]) -> None:
    where = root / target
    where.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, where)
    _libraries(root, source, env)


def _libraries(root: Path, program: Path, env: Mapping[str, str]) -> None:
    listed = subprocess.run(
        ["ldd", program], env={"PATH": "/usr/bin", **env}, capture_output=True, text=True, check=False
    )
    for line in listed.stdout.splitlines():
        word = next((word for word in line.split() if word.startswith("/")), None)
        if word is None:
            continue
        loader = "ld-linux" in word
        where = root / ("usr/lib64" if loader and "lib64" in word else "usr/lib") / Path(word).name
        if not where.exists():
            where.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(word).resolve(), where)
