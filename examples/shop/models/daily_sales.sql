MODEL (
  name shop.daily_sales,
  kind FULL,
  grain ordered_on
);

SELECT
  ordered_on,
  COUNT(*) AS orders,
  CAST(SUM(cents) AS BIGINT) AS cents
FROM shop.order_totals
GROUP BY
  ordered_on;
