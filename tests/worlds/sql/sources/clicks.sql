/*
description: What customers clicked on.
key: [customer_id, item_id, clicked_at]
files: data/clicks*.csv
known_at: clicked_at
arrives_within: 0 minutes
*/
SELECT customer_id, item_id, clicked_at
FROM read_csv($files, header = true, types = {
    'customer_id': 'VARCHAR', 'item_id': 'VARCHAR', 'clicked_at': 'TIMESTAMP'
})
