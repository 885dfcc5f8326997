"""The SQLMesh project of the runner's bench: ten models with unit tests, audits and three months of days.

Written into a folder by `runner` and `schedule`; a model of the latter is due every five minutes. `promotions_switch` has
other models with the same connections.
"""

from collections.abc import Mapping
from pathlib import Path

from vulcan_contract import digest

MODELS = 10
CONFIG = """
gateways:
  bench:
    connection: &connection
      type: postgres
      host: {{ env_var('BENCH_WAREHOUSE_HOST', 'none') }}
      port: {{ env_var('BENCH_WAREHOUSE_PORT', '1') }}
      database: {{ env_var('BENCH_WAREHOUSE_DATABASE', 'none') }}
      user: {{ env_var('BENCH_WAREHOUSE_USER', 'none') }}
      password: {{ env_var('BENCH_PASSWORD', 'none') }}
    state_connection:
      type: postgres
      host: {{ env_var('BENCH_STATE_HOST', 'none') }}
      port: {{ env_var('BENCH_STATE_PORT', '1') }}
      database: {{ env_var('BENCH_STATE_DATABASE', 'none') }}
      user: {{ env_var('BENCH_STATE_USER', 'none') }}
      password: {{ env_var('BENCH_PASSWORD', 'none') }}
default_gateway: bench
model_defaults:
  dialect: postgres
  start: 90 days ago
linter:
  enabled: true
  rules: [ambiguousorinvalidcolumn, invalidselectstarexpansion]
"""
_EVENTS = """
MODEL (
  name bench.events, kind INCREMENTAL_BY_TIME_RANGE (time_column day), cron '@daily', grain (id),
  audits (not_null(columns := (id, day)), unique_values(columns := (id)))
);
SELECT (d.day - DATE '2020-01-01') * 100 + n.n AS id, d.day::DATE AS day, (n.n % 7)::INT AS kind, (n.n * 3)::INT AS cents
FROM (SELECT s::DATE AS day FROM GENERATE_SERIES(@start_ds::TIMESTAMP, @end_ds::TIMESTAMP, INTERVAL '1 day') AS s) AS d
CROSS JOIN GENERATE_SERIES(1, 50) AS n(n)
WHERE d.day BETWEEN @start_ds AND @end_ds;
"""
_DAILY = """
MODEL (
  name bench.daily_{i}, kind INCREMENTAL_BY_TIME_RANGE (time_column day), cron '@daily', grain (day, kind),
  audits (not_null(columns := (day)))
);
SELECT day, kind, COUNT(*)::INT AS events, SUM(cents)::INT AS cents, {i}::INT AS part
FROM bench.events WHERE day BETWEEN @start_ds AND @end_ds AND kind <> {i} GROUP BY day, kind;
"""
_FULL = """
MODEL (name bench.total_{i}, kind FULL, cron '@daily', audits (not_null(columns := (kind))));
SELECT kind, SUM(events)::INT AS events, SUM(cents)::BIGINT AS cents FROM bench.daily_{i} GROUP BY kind;
"""
_VIEW = """
MODEL (name bench.best, kind VIEW);
SELECT t.kind, t.cents FROM bench.total_0 AS t WHERE t.cents > 0;
"""
_TEST = """
test_total_{i}:
  model: bench.total_{i}
  inputs:
    bench.daily_{i}:
      rows:
      - {{day: 2026-01-01, kind: 1, events: 2, cents: 5, part: {i}}}
      - {{day: 2026-01-02, kind: 1, events: 3, cents: 7, part: {i}}}
  outputs:
    query:
      rows:
      - {{kind: 1, events: 5, cents: 12}}
"""
FIVE_MINUTES = """
MODEL (name bench.pulse, kind INCREMENTAL_BY_TIME_RANGE (time_column at), cron '*/5 * * * *', start '1 hour ago');
SELECT s::TIMESTAMP AS at, 1::INT AS beat
FROM GENERATE_SERIES(@start_dt::TIMESTAMP, @end_dt::TIMESTAMP, INTERVAL '1 minute') AS s
WHERE s BETWEEN @start_dt AND @end_dt;
"""


def write(folder: Path) -> None:
    """Ten models: one of events, four of days, four of totals, a view; four unit tests."""
    files = {"config.yaml": CONFIG, "models/events.sql": _EVENTS, "models/best.sql": _VIEW}
    for i in range(4):
        files[f"models/daily_{i}.sql"] = _DAILY.format(i=i)
        files[f"models/total_{i}.sql"] = _FULL.format(i=i)
        files[f"tests/test_total_{i}.yaml"] = _TEST.format(i=i)
    lay_out(files, folder)


def lay_out(files: Mapping[str, str], folder: Path) -> None:
    """Files into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def digest_of(folder: Path) -> str:
    """The source digest that the runner will find."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts and "logs" not in p.parts]
    return digest.of_files({str(p.relative_to(folder)): p.read_bytes() for p in files})
