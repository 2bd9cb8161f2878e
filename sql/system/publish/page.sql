-- The newest page of the product, whole. It is also what is current where no older page can hold a valid row.
SELECT {columns}
FROM predictions.{table}
WHERE as_of = {newest}
