"""Small SQLMesh projects, as files. They work on DuckDB and PostgreSQL and make their own data: one row a day."""

CONFIG = """
model_defaults:
  dialect: postgres
  start: 3 days ago
"""

DAYS = """
MODEL (name t.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day, batch_size 1), grain day);
SELECT CAST(d.day AS DATE) AS day, 1 AS n, 'x' AS word
FROM GENERATE_SERIES(CAST(@start_ds AS TIMESTAMP), CAST(@end_ds AS TIMESTAMP), INTERVAL '1 DAY') AS d(day);
"""

TOTAL = """
MODEL (name t.total, kind FULL);
SELECT COUNT(*) AS days, SUM(n) AS n FROM t.days;
"""

SHOWN = """
MODEL (name t.shown, kind VIEW);
SELECT days FROM t.total;
"""

# A batch that takes its time, on any engine.
SLOW = """
import os
import time
import typing as t
from datetime import datetime
import pandas as pd
from sqlmesh import ExecutionContext, model
from sqlmesh.core.model.kind import ModelKindName


@model(
    "t.slow",
    kind=dict(
        name=ModelKindName.INCREMENTAL_BY_TIME_RANGE, time_column="day", batch_size=1, batch_concurrency=1
    ),
    columns={"day": "date"},
)
def execute(context: ExecutionContext, start: datetime, end: datetime, **kwargs: t.Any) -> pd.DataFrame:
    time.sleep(float(os.environ.get("NAP", "1")))
    return pd.DataFrame({"day": [start.date()]})
"""

# Adds rows and replaces none: doing it twice is twice the rows.
APPENDED = """
import time
import typing as t
from datetime import datetime
import pandas as pd
from sqlmesh import ExecutionContext, model
from sqlmesh.core.model.kind import ModelKindName


@model("t.appended", kind=dict(name=ModelKindName.INCREMENTAL_UNMANAGED), columns={"day": "date"})
def execute(context: ExecutionContext, start: datetime, end: datetime, **kwargs: t.Any) -> pd.DataFrame:
    print("appending", flush=True)
    time.sleep(2.0)
    return pd.DataFrame({"day": pd.date_range(start.date(), end.date()).date})
"""

SMALL = {"config.yaml": CONFIG, "models/days.sql": DAYS, "models/total.sql": TOTAL, "models/shown.sql": SHOWN}

FAILING_TEST = """
test_total:
  model: t.total
  inputs:
    t.days:
      rows: [{day: 2026-01-01, n: 1}]
  outputs:
    query:
      rows: [{days: 5, n: 1}]
"""
