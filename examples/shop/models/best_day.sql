MODEL (
  name shop.best_day,
  kind VIEW
);

SELECT
  ordered_on,
  cents
FROM shop.daily_sales
ORDER BY
  cents DESC,
  ordered_on
LIMIT 1;
