"""Where a SQLMesh project comes from: git, a ConfigMap or an image.

Used by `api.environment`, and by promotions across systems. The runner resolves and fetches it.
"""

from typing import Annotated

from pydantic import Field

from vulcan_operator.api.schemas import Model, cel, listed, rule, schema, size_of
from vulcan_operator.api.texts import (
    DataKey,
    ObjectName,
    PositiveDuration,
    ShortText,
    Text64,
    Text320,
    Text512,
)

_INSIDE = "!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')"


class GitSource(Model):
    """A project in a git repository."""

    url: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="https, ssh or file URL, or user@host:path, without credentials; the "
        "gateway's gitCredentials name those.",
        json_schema_extra=schema(
            cel(
                "self.matches('^(https?|ssh|file)://[^ ?#]+$') || "
                "self.matches('^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^ "
                "]+$')",
                "url is an https, ssh or file URL, or user@host:path",
            ),
            cel(
                "!self.matches('^([a-z]+://)?([^/]*@)?-') && !self.matches('^[^/:]+:-')",
                "no part of url begins with a dash, which git or ssh could take for an option: "
                "correct its user, host or path",
            ),
            cel(
                "!self.matches('^https?://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/]*@')",
                "url must not contain credentials: put them into a Secret named in the gateway's "
                "gitCredentials",
                reason="FieldValueForbidden",
            ),
        ),
    )
    ref: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        "main",
        description="Branch, tag or full commit hash, which needs no resolving.",
        json_schema_extra=rule(
            "self.matches('^[A-Za-z0-9._/@+-]+$') && !self.startsWith('-') && !self.contains('..')",
            "ref is the name of a branch or tag, or a full commit",
        ),
    )
    path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        ".",
        description="Folder of the SQLMesh project in the repository.",
        json_schema_extra=rule(
            _INSIDE, "path is a folder inside the repository: relative, without .."
        ),
    )
    poll_interval: PositiveDuration | None = Field(
        None,
        description="How often a short Job resolves the ref again. Unset: only on request or when "
        "the spec changes.",
    )


class ConfigMapItem(Model):
    """One file of a project in a ConfigMap."""

    key: DataKey = Field(description="Key in the ConfigMap.")
    path: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="File in the project, for example models/orders.sql.",
        json_schema_extra=rule(_INSIDE, "path is a file inside the project: relative, without .."),
    )


class ConfigMapSource(Model):
    """A small project in a ConfigMap of this namespace."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    items: list[ConfigMapItem] = listed(
        128,
        "Which key becomes which file. Empty: every key, with __ in its name for / "
        "(macros____init__.py).",
        cel(
            f"self.map(i, {size_of('i.key', 'i.path')}).sum() <= 8192",
            "keys and paths of items have more than 8192 bytes in all",
        ),
        key="path",
        read=256,
    )


class Origin(Model):
    """Where the files of one revision are, for promotions that compute it on another system."""

    kind: str = Field(
        max_length=16,
        description="Git, ConfigMap or Image.",
        json_schema_extra={"enum": ["Git", "ConfigMap", "Image"]},
    )
    url: ShortText = Field("", description="Git repository URL.")
    commit: Text64 = Field("", description="Full git commit.")
    path: Text512 = Field("", description="Folder in the git repository.")
    image: Text512 = Field("", description="Image with the project, with its digest.")
    copy_: Text320 = Field(
        "",
        alias="copy",
        description="Immutable copy of the project's ConfigMap, as namespace/name.",
    )


class ProjectSource(Model):
    """Where the SQLMesh project comes from: exactly one of the three."""

    git: GitSource | None = Field(None, description="A folder in a git repository.")
    config_map: ConfigMapSource | None = Field(
        None, description="A ConfigMap, for small projects and experiments."
    )
    image: Text512 | None = Field(
        None,
        description="A runner image that contains the project at /project, pinned by digest; it "
        "must match the gateway's allowedImages.",
        json_schema_extra=rule(
            "self.matches('^[^ @]+@sha256:[0-9a-f]{64}$')",
            "image must be pinned by digest: name@sha256:…",
        ),
    )
