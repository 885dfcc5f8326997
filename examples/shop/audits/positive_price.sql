AUDIT (
  name positive_price
);

SELECT
  item_id
FROM @this_model
WHERE
  price <= 0;
