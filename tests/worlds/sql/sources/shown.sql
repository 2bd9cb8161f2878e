/*
description: What customers were shown, and at which place.
key: [customer_id, item_id, shown_at]
files: data/shown*.csv
known_at: shown_at
arrives_within: 0 minutes
*/
SELECT customer_id, item_id, place, shown_at
FROM read_csv($files, header = true, types = {
    'customer_id': 'VARCHAR', 'item_id': 'VARCHAR', 'place': 'INTEGER', 'shown_at': 'TIMESTAMP'
})
