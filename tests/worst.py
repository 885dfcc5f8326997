"""How large a valid spec can be by the schema of its CRD, and specs that come near to it.

Used by tests of what one object may cost others.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

Raw = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
MOST = 64 * 1024
_OBJECT, _PAIR = 2, 4  # braces; quotes, colon and comma
_NO_WORDS = {"map", "sum", "size"}
_ASCII = re.compile(r"self\.matches\('\^")
# Of these one only, by a rule: the others count nothing.
EXCLUSIVE = ({"git", "configMap", "image"}, {"cron", "rrule"}, {"from", "rollbackTo"}, {"project", "promotionWindows"})


def spec_of(plural: str) -> Any:
    """The schema of a spec."""
    crd = yaml.safe_load((ROOT / "crds" / f"vulcan.dev_{plural}.yaml").read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def measured(value: Any) -> int:
    """The bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def ceiling(node: Raw, name: str = "", counted: frozenset[str] = frozenset()) -> int:
    """The bytes that no valid value exceeds. `counted`: lists and texts in a total above them."""
    total, fields = _in_all(node)
    counted |= fields
    is_counted = name in counted or "self" in fields
    match node.get("type"):
        case _ if "enum" in node:
            return max(measured(value) for value in node["enum"])
        case "boolean":
            return 5
        case "integer" | "number":
            return 20
        case "string" if name in counted:
            return 2
        case "string":
            return 2 + (node.get("maxLength") or 30) * (1 if _is_ascii(node) else 4)
        case "array":
            item = ceiling(node["items"], name if is_counted else "", counted | ({name} if is_counted else set()))
            return total + _OBJECT + node["maxItems"] * (item + 1)
        case "object" if "additionalProperties" in node:
            assert is_counted, f"keys of {name} are unbounded"
            return total + _OBJECT + node["maxProperties"] * (_PAIR + ceiling(node["additionalProperties"]))
        case _:
            fields_of = {n: _PAIR + len(n) + ceiling(f, n, counted) for n, f in node.get("properties", {}).items()}
            for group in EXCLUSIVE:
                present = {n: size for n, size in fields_of.items() if n in group}
                if len(present) == len(group):
                    fields_of = {n: s for n, s in fields_of.items() if n not in group} | {"one": max(present.values())}
            return total + _OBJECT + sum(fields_of.values())


def _is_ascii(node: Raw) -> bool:
    """A pattern of the whole text has no other characters, unless it excludes some."""
    rules = [rule["rule"] for rule in node.get("x-kubernetes-validations", [])]
    return any(_ASCII.search(rule) and "[^" not in rule for rule in rules)


def _in_all(node: Raw) -> tuple[int, frozenset[str]]:
    """The bytes that a rule leaves lists and texts below a node together, and which those are."""
    for rule in node.get("x-kubernetes-validations", []):
        found = re.search(r"bytes\(.*<= (\d+)$", rule["rule"])
        if found:
            fields = set(re.findall(r"\.([a-zA-Z]+)", rule["rule"])) - _NO_WORDS
            return int(found[1]), frozenset(fields or {"self"})
    return 0, frozenset()


DUCKS = "🦆"
NAME = "n" * 253
DURATION = "99999d99999d99999d99999d99999d"
DIGEST = "0123456789abcdef" * 4
DATE = "2026-11-22T10:00:00Z"
APPROVAL = {"mode": "OnRisk", "risks": ["Destructive", "Breaking", "Backfill"], "expireAfter": DURATION}


def texts(count: int, total: int) -> list[str]:
    """So many different ones with so many bytes together."""
    return [f"{number:04d}".ljust(total // count, "x") for number in range(count)]


def votes() -> list[Raw]:
    """Approvals of 64 plans."""
    return [
        {"plan": f"sha256:{number:04d}{DIGEST[4:]}", "by": "admin", "decision": "Approve", "comment": text[5:]}
        for number, text in enumerate(texts(64, 6144))
    ]


def windows(rrule: str = "FREQ=MONTHLY;BYDAY=" + ",".join(["-1FR"] * 28), **fields: Any) -> list[Raw]:
    """Sixteen of them."""
    common = {"kind": "Allow", "rrule": rrule, "start": "2026-01-27T22:00:00", "duration": DURATION, **fields}
    return [
        {"timeZone": "America/Argentina/ComodRivadavia", **common, "name": f"{number:02d}".ljust(63, "x")}
        for number in range(16)
    ]


def environment(*, promoted: bool = False) -> Raw:
    """From a ConfigMap with everything, or from promotions with windows."""
    spec: Raw = {
        "gatewayRef": {"name": NAME, "namespace": NAME},
        "environment": "e" * 40,
        "plan": {
            "approval": APPROVAL,
            "limits": {"maxHistory": DURATION, "maxRebuiltModels": 100000},
            "categories": dict.fromkeys(texts(128, 2048), "NonBreaking"),
            "selectModels": texts(128, 2048),
            "allowDestructiveModels": texts(128, 2048),
            "allowAdditiveModels": texts(128, 2048),
            "effectiveFrom": DATE, "forwardOnly": True, "start": DATE, "devStart": DATE,
        },
        "operations": [
            {"id": f"{number:02d}{DUCKS * 62}", "models": texts(64, 384), "start": DATE, "end": DATE}
            for number in range(16)
        ],
        "approvals": votes(),
        "schedule": {"mode": "Cron", "cron": {"cron": "0 " + "0," * 59 + "0 * * *", "timeZone": "A" * 64}},
        "checks": {"soda": {"configMapRef": {"name": NAME}}},
        "freshness": {"maxLag": DURATION}, "retry": {"backoff": DURATION, "maxBackoff": DURATION},
        "rollback": {"window": DURATION}, "promotionHistory": {"maxAge": DURATION},
        "runner": {"image": DUCKS * 512},
        "suspend": True, "suspendReason": DUCKS * 1024, "suspendUntil": DATE,
        "ttl": DURATION,
    }  # fmt: skip
    if promoted:
        return spec | {"revisionFrom": "Promotion", "promotionWindows": windows()}
    items = [{"key": text[:40], "path": text[40:]} for text in texts(128, 8192)]
    items = [{"key": item["key"], "path": f"{number:04d}{item['path'][4:]}"} for number, item in enumerate(items)]
    return spec | {"project": {"configMap": {"name": NAME, "items": items}}}


def promotion() -> Raw:
    """With a data diff of many models."""
    side = {"environmentRef": {"name": NAME, "namespace": NAME}}
    return {
        "from": {"environmentRef": {"name": "x" + NAME[1:], "namespace": NAME}},
        "to": side,
        "revision": DUCKS * 1024,
        "gates": {
            "dataDiff": {"expectedChanges": texts(256, 16384)},
            "checks": {"soda": {"configMapRef": {"name": NAME}}},
            "soak": {"duration": DURATION},
        },
        "approval": APPROVAL,
        "approvals": votes(),
    }
