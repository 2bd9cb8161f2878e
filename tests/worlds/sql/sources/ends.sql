/*
description: When items went off sale.
key: [item_id]
files: data/ends*.csv
known_at: ended_at
arrives_within: 0 minutes
*/
SELECT item_id, ended_at
FROM read_csv($files, header = true, types = {'item_id': 'VARCHAR', 'ended_at': 'TIMESTAMP'})
