MODEL (
  name shop.customers,
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key customer_id
  ),
  grain customer_id
);

SELECT
  customer_id,
  MAX(ordered_on) AS last_ordered_on
FROM shop.orders
WHERE
  ordered_on BETWEEN @start_date AND @end_date
GROUP BY
  customer_id;
