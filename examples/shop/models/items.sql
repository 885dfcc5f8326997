MODEL (
  name shop.items,
  kind SEED (
    path '$root/seeds/items.csv'
  ),
  columns (
    item_id INT,
    name TEXT,
    price DECIMAL(10, 2)
  ),
  grain item_id,
  audits (
    positive_price
  )
);
