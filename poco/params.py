"""A deal's `params`: the JSON that requesters write (iExec's keys), or plain arguments."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, fields
from typing import Any

from poco import sensors
from poco.errors import BadInputError

MAX_PARAMS_BYTES = 16_384
MAX_INPUT_FILES = 64


@dataclass(frozen=True, slots=True)
class Needs:
    """The least that a worker must have for one task: memory and free disk in MB, processors. 0: not said."""

    memory_mb: int = 0
    disk_mb: int = 0
    cpus: int = 0


MAX_NEED = 2**40


@dataclass(frozen=True, slots=True)
class DealParams:
    """What a standard task can be told.

    `args` is the command line as written, `input_files` the URLs fetched into `/iexec_in`; those that begin with
    `sensor://` are asked of the device itself (`poco.sensors`). `needs` (our key `iexec_resources`, which others
    ignore): who is offered the task.
    """

    args: str = ""
    input_files: tuple[str, ...] = ()
    needs: Needs = Needs()

    def argv(self) -> list[str]:
        """The arguments, split as a shell would (nothing is expanded)."""
        try:
            return shlex.split(self.args)
        except ValueError as error:
            raise BadInputError(f"iexec_args: {error}", hint="close the quotation") from None

    def dumps(self) -> str:
        """The JSON text for an order."""
        body: dict[str, object] = {}
        if self.args:
            body["iexec_args"] = self.args
        if self.input_files:
            body["iexec_input_files"] = list(self.input_files)
        if self.needs != Needs():
            body["iexec_resources"] = {name: value for name, value in asdict(self.needs).items() if value}
        return json.dumps(body, separators=(",", ":"))


def parse(text: str, trust: int = 1) -> DealParams:
    """Read `params`. Text that is not JSON is all arguments.

    Args:
        text: as it stands in the deal.
        trust: of the deal; above 1 several workers must agree, which two devices' sensors never do.

    Raises:
        BadInputError: a standard task cannot have this.
    """
    if len(text.encode()) > MAX_PARAMS_BYTES:
        raise BadInputError(f"params are longer than {MAX_PARAMS_BYTES} bytes", hint="put long input into a file")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return _checked(DealParams(args=text))
    if not isinstance(data, dict):
        return _checked(DealParams(args=text))
    if data.get("iexec_result_encryption") or data.get("iexec_secrets"):
        raise BadInputError(
            "encrypted results and secrets need a trusted execution environment, which a standard task has not",
            hint="leave iexec_result_encryption and iexec_secrets out",
        )
    if data.get("iexec_result_storage_provider", "ipfs") != "ipfs":
        raise BadInputError("only ipfs is offered as result storage", hint="leave iexec_result_storage_provider out")
    args = data.get("iexec_args", "")
    files = data.get("iexec_input_files", [])
    if not isinstance(args, str):
        raise BadInputError("iexec_args is not text", hint='write "iexec_args": "--option value"')
    if not isinstance(files, list) or not all(isinstance(url, str) for url in files) or len(files) > MAX_INPUT_FILES:
        raise BadInputError(f"iexec_input_files is not a list of at most {MAX_INPUT_FILES} URLs", hint="use a list")
    if trust > 1 and any(map(sensors.is_sensor, files)):
        raise BadInputError(
            f"a sensor:// input with a trust of {trust}: two devices never measure the same",
            hint="order with a trust of 1",
        )
    return _checked(DealParams(args=args, input_files=tuple(files), needs=_needs(data.get("iexec_resources", {}))))


def is_plain(text: str) -> bool:
    """Whether a program can be given a text: as UTF-8 (JSON can spell half of a character), ended by a NUL."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def needs(text: str) -> Needs:
    """What a deal's `params` ask of a worker. Where they make no sense it is nothing: any worker finds that out."""
    try:
        return parse(text).needs
    except BadInputError:
        return Needs()


def _needs(data: Any) -> Needs:
    known = [field.name for field in fields(Needs)]
    hint = f'write "iexec_resources": {{"memory_mb": 256}}; there are {", ".join(known)}'
    if not isinstance(data, dict) or set(data) - set(known):
        raise BadInputError("iexec_resources is not an object of known names", hint=hint)
    for name, value in data.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NEED:
            raise BadInputError(f"iexec_resources: {name} is not a whole number up to {MAX_NEED}", hint=hint)
    return Needs(**data)


def _checked(params: DealParams) -> DealParams:
    if not all(is_plain(text) for text in (params.args, *params.input_files)):
        raise BadInputError("params hold a NUL or half of a character", hint="no program can be given that")
    params.argv()
    for url in filter(sensors.is_sensor, params.input_files):
        sensors.parse(url)
    return params
