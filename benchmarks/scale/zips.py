"""The result that simulated workers upload."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

from poco.hexes import to_hex

_OUTPUT = b"the answer is 42\n"


def result_zip() -> tuple[bytes, str]:
    """(a zip of /iexec_out, the sha-256 of its deterministic output)."""
    computed = json.dumps({"deterministic-output-path": "/iexec_out/out.txt"}).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("computed.json", computed), ("out.txt", _OUTPUT)):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue(), to_hex(hashlib.sha256(_OUTPUT).digest())
