MODEL (
  name shop.item_history,
  kind SCD_TYPE_2_BY_COLUMN (
    unique_key item_id,
    columns [name, price]
  ),
  grain item_id
);

SELECT
  item_id,
  name,
  price
FROM shop.items;
