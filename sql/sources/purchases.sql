/*
description: >
  Purchases at the CD shop CDNOW, January 1997 to June 1998, of the 23,570 customers who came in the first quarter.
  The file has no order numbers: a customer's purchases of one day are counted, in the order of what they say, so
  that the same file gives the same facts. Days are taken as UTC's; a day's purchases are known when it is over.
owner: shop-data
key: [customer_id, bought_on, nth]
files: package:lifetimes/datasets/CDNOW_master.txt
requires: almanac[cdnow]
known_at: bought_on + INTERVAL 1 DAY
rules:
  has at least one CD: cds >= 1
  costs nothing or something: dollars >= 0                             # 80 were free
*/
WITH lines AS (
    SELECT regexp_split_to_array(trim(line), '\s+') AS cells           -- the columns are padded with blanks
    FROM read_csv($files, columns = {'line': 'VARCHAR'}, delim = '\t', quote = '', header = false, skip = 1)
),

purchases AS (
    SELECT
        cells[1] AS customer_id,
        strptime(cells[2], '%Y%m%d')::DATE AS bought_on,
        cells[3]::INTEGER AS cds,
        cells[4]::DECIMAL(8, 2) AS dollars
    FROM lines
)

SELECT
    customer_id,
    bought_on,
    (row_number() OVER (PARTITION BY customer_id, bought_on ORDER BY cds, dollars))::INTEGER AS nth,
    cds,
    dollars
FROM purchases
