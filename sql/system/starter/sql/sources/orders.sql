/*
# A source is a table of facts. This block is YAML; the SELECT below turns raw files into typed columns.
description: Orders, as customers placed them.
owner: you
key: [order_id]
files: data/orders*.csv            # drop more files beside the first; rows that are there already are left alone
known_at: ordered_at               # when each fact could first have been known: an SQL expression over the columns
arrives_within: 5 minutes          # how long after that it takes to reach you
rules:                             # a row that breaks one goes to rejects.orders, with the rule's name
  an order has parcels: parcels >= 1
  promised after it was ordered: promised_at > ordered_at
*/
SELECT order_id, depot, courier, parcels, ordered_at, promised_at
FROM read_csv($files, header = true, types = {
    'order_id': 'VARCHAR', 'depot': 'VARCHAR', 'courier': 'VARCHAR', 'parcels': 'INTEGER',
    'ordered_at': 'TIMESTAMP', 'promised_at': 'TIMESTAMP'
})
