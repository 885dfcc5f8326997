"""The worker's answer on its way to the supervisor: a line of JSON with its Result and its report.

Packed by `worker`, unpacked by `supervisor`. It is a claim: project code runs in the worker's
process and can write anything in its place, so it is bounded, checked and cleaned before it is
believed. Must import neither SQLMesh nor the project.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from vulcan_contract.codec import ContractError, load
from vulcan_contract.result import Result

MOST_BYTES = 8 * 1024 * 1024  # of an answer
_MOST_REPORT = 64 * 1024 * 1024  # of an unpacked report; gzipped it has at most 512 KiB
_GZIP = 31  # zlib's window bits


@dataclass(frozen=True)
class Claim:
    """What the worker says that it has found or done. None: it sends no report."""

    result: Result
    report: Any = None


def pack(claim: Claim) -> bytes:
    """One line; JSON's strings have no line breaks."""
    data: dict[str, Any] = {"result": claim.result.to_json()}
    if claim.report is not None:
        packer = zlib.compressobj(wbits=_GZIP)
        packed = packer.compress(json.dumps(claim.report).encode()) + packer.flush()
        data["report"] = base64.b64encode(packed).decode()
    return json.dumps(data).encode() + b"\n"


def unpack(answer: bytes) -> Claim:
    """Raises ContractError for what is no claim, or one outside its bounds."""
    if not answer.endswith(b"\n"):
        raise ContractError("it is incomplete or too long")
    try:
        data = load(answer.decode())
        result = Result.from_message(data["result"])
        report = load(_unzipped(data["report"])) if "report" in data else None
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise ContractError(f"{type(error).__name__}: {error}") from error
    return Claim(result, report)


def _unzipped(text: str) -> str:
    unpacker = zlib.decompressobj(wbits=_GZIP)
    data = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_REPORT)
    if not unpacker.eof:
        raise ContractError("the report is incomplete or too long")
    return data.decode()
