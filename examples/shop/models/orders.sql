/* Three orders a day, made from the date alone: the same interval always gives the same rows. */
MODEL (
  name shop.orders,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column ordered_on,
    batch_size 2
  ),
  grain order_id,
  audits (
    not_null(columns := (order_id, customer_id, item_id)),
    unique_values(columns := (order_id))
  )
);

SELECT
  ((CAST(d.day AS DATE) - CAST('2020-01-01' AS DATE)) * 3 + n.n)::INT AS order_id,
  (((CAST(d.day AS DATE) - CAST('2020-01-01' AS DATE)) + n.n) % 5 + 1)::INT AS customer_id,
  (((CAST(d.day AS DATE) - CAST('2020-01-01' AS DATE)) + n.n * 3) % 4 + 1)::INT AS item_id,
  (n.n + 1)::INT AS quantity,
  CAST(d.day AS DATE) AS ordered_on
FROM GENERATE_SERIES(
  CAST(@start_ds AS TIMESTAMP),
  CAST(@end_ds AS TIMESTAMP),
  INTERVAL '1 DAY'
) AS d(day)
CROSS JOIN (
  VALUES
    (0),
    (1),
    (2)
) AS n(n)
WHERE
  CAST(d.day AS DATE) BETWEEN @start_date AND @end_date;
