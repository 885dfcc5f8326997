MODEL (
  name shop.order_totals,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column ordered_on
  ),
  grain order_id,
  audits (
    unique_values(columns := (order_id)),
    number_of_rows(threshold := 2)
  )
);

SELECT
  o.order_id,
  o.customer_id,
  i.name AS item,
  @in_cents(o.quantity * i.price) AS cents,
  @VAR('currency') AS currency,
  o.ordered_on
FROM shop.orders AS o
JOIN shop.items AS i
  ON i.item_id = o.item_id
WHERE
  o.ordered_on BETWEEN @start_date AND @end_date;
