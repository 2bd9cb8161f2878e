/*
# An order's delivery is known later than the order itself, so it is a source of its own.
description: When each order was delivered.
owner: you
key: [order_id]
files: data/deliveries*.csv
known_at: delivered_at
arrives_within: 5 minutes
*/
SELECT order_id, delivered_at
FROM read_csv($files, header = true, types = {'order_id': 'VARCHAR', 'delivered_at': 'TIMESTAMP'})
