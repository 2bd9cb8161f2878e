/*
description: Items, as they came on sale.
key: [item_id]
files: data/items*.csv
known_at: listed_at
arrives_within: 0 minutes
*/
SELECT item_id, genre, listed_at
FROM read_csv($files, header = true, types = {'item_id': 'VARCHAR', 'genre': 'VARCHAR', 'listed_at': 'TIMESTAMP'})
