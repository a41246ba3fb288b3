"""`pew dapp`: start a dapp, build its image for all architectures, push it, try it everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from poco.errors import PewError
from sdk.cli_common import Settings, json_option

F = TypeVar("F", bound=Callable[..., Any])
_MB = 1_000_000
LOCAL_REGISTRY = "127.0.0.1:5000"


def _project(command: F) -> F:
    return click.option(
        "--root",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path(),
        help="The project's folder, which holds dapps/.  [default: this one]",
    )(command)


def _registry(command: F) -> F:
    return click.option(
        "--registry",
        envvar="PEW_REGISTRY",
        default=LOCAL_REGISTRY,
        show_default=True,
        help="host[:port] of a registry.",
    )(command)


@click.group()
def dapp() -> None:
    """Dapps: programs in images for arm/v7, arm64 and amd64.

    Without a name a command takes all dapps of the project.

    \b
    Examples:
      pew dapp new my-dapp
      pew dapp build my-dapp
      pew dapp test my-dapp --registry 127.0.0.1:5000
    """


@dapp.command()
@click.argument("name")
@_project
@json_option
@click.pass_obj
def new(settings: Settings, name: str, root: Path) -> None:
    """Copy dapps/template to dapps/NAME."""
    from sdk.builder.template import copy

    folder = copy(root, name)
    lines = [f"{folder}: program/ is the program, dapp.yaml says what the image holds", f"next: pew dapp test {name}"]
    settings.show({"name": name, "folder": str(folder)}, lines)


@dapp.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--refresh-lock", is_flag=True, help="Resolve the Debian packages anew; commit the locks it writes.")
@_project
@json_option
@click.pass_obj
def build(settings: Settings, names: tuple[str, ...], root: Path, refresh_lock: bool) -> None:
    """Build build/images/NAME, an OCI layout; needs neither Docker nor root."""
    builder, found = _prepare(settings, root, names)
    answer, lines = {}, []
    for name in found:
        started = time.monotonic()
        built = builder.build(name, refresh_lock)
        answer[name] = {**asdict(built), "layout": str(built.layout), "seconds": round(time.monotonic() - started, 2)}
        lines += [f"{name}:{built.version}"]
        lines += [
            f"  {platform:13} {image.digest}  {image.compressed_bytes / _MB:.1f} MB"
            for platform, image in built.platforms.items()
        ]
        lines += [f"  {'index':13} {built.digest}"]
    settings.show(answer, lines)


@dapp.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_registry
@_project
@json_option
@click.pass_obj
def push(settings: Settings, names: tuple[str, ...], root: Path, registry: str) -> None:
    """Build and push as REGISTRY/NAME:VERSION."""
    builder, found = _prepare(settings, root, names)
    pushed = {name: builder.push(builder.build(name), registry) for name in found}
    lines = [f"{image.reference}  {image.digest}" for image in pushed.values()]
    settings.show({name: asdict(image) for name, image in pushed.items()}, lines)


@dapp.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--accept", is_flag=True, help="Write the digest into dapp.yaml where all platforms agree on it.")
@_registry
@_project
@json_option
@click.pass_obj
def test(settings: Settings, names: tuple[str, ...], root: Path, registry: str, accept: bool) -> None:
    """Build, push, and run the golden input on every platform, foreign ones emulated, as a worker would."""
    from sdk.builder import golden

    builder, found = _prepare(settings, root, names)
    answer: dict[str, Any] = {}
    wrong = []
    for name in found:
        runs = golden.run_all(root, builder.push(builder.build(name), registry), name)
        digests = {run.digest for run in runs}
        if accept and len(digests) == 1:
            runs = golden.accept(root, name, runs)
        for run in runs:
            mark = "ok  " if run.ok else "DIFFERS"
            _tell(settings)(f"{name}  {run.platform:14} {mark} {run.digest}  {run.seconds:.1f} s")
        answer[name] = [asdict(run) for run in runs]
        if not all(run.ok for run in runs):
            wrong.append((name, len(digests) == 1))
    settings.show(answer, [])
    for name, agree in wrong:
        if agree:
            raise PewError(
                f"{name}: the result is not the one that dapp.yaml names",
                hint=f"if it should be: pew dapp test {name} --accept writes the new digest down",
            )
        raise PewError(
            f"{name}: the platforms do not agree, so its workers would not",
            hint="look for floating point, time, random numbers, the order of sets and of files",
        )


def _prepare(settings: Settings, root: Path, names: tuple[str, ...]) -> tuple[Any, list[str]]:
    from sdk.builder import description
    from sdk.builder.image import Builder

    found = list(dict.fromkeys(names)) or description.names(root / "dapps")
    if not found:
        description.load(root / "dapps" / "none")  # says that there is none
    return Builder(root, _tell(settings)), found


def _tell(settings: Settings) -> Callable[[str], None]:
    return lambda line: None if settings.json else click.echo(line)
