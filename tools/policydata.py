"""Makes the operator's copy of deploy/policies.yaml, with which it compares what is installed. Called by `generate`."""

import json
from pathlib import Path
from typing import Any

import yaml

_POLICY = "ValidatingAdmissionPolicy"


def specs(file: Path) -> str:
    """Return policies.json: the specs of policies by name, and those of bindings by the policy that each binds."""
    policies: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        if document["kind"] == _POLICY:
            policies[document["metadata"]["name"]] = document["spec"]
        else:
            bindings[document["spec"].pop("policyName")] = document["spec"]
    if policies.keys() != bindings.keys():
        raise ValueError(f"without policy or binding: {sorted(policies.keys() ^ bindings.keys())}")
    return json.dumps({"policies": policies, "bindings": bindings}, indent=1) + "\n"
