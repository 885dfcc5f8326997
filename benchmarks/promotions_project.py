"""The SQLMesh project of the promotions' bench: many small models, and revisions of it that differ in all of them. Pure.

Used by `promotions_switch` and `promotions_live`.
"""

_LAYER = 10
_ROOT = """
MODEL (name bench.view_{i}, kind FULL, cron '@daily', audits (not_null(columns := (part))));
SELECT {revision}::INT AS revision, {i}::INT AS part;
"""
_MODEL = """
MODEL (name bench.view_{i}, kind FULL, cron '@daily', audits (not_null(columns := (part))));
SELECT p.revision, {i}::INT AS part FROM bench.view_{parent} AS p;
"""


def files(views: int, revision: int, config: str) -> dict[str, str]:
    """Layers of ten models; the first says the revision, and all others have it from there."""
    found = {"config.yaml": config}
    for i in range(views):
        text = _ROOT if i < _LAYER else _MODEL
        found[f"models/view_{i}.sql"] = text.format(i=i, revision=revision, parent=i - _LAYER)
    return found


def names(views: int) -> list[str]:
    """Of the views in prod."""
    return [f"bench.view_{i}" for i in range(views)]
