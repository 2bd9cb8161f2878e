/*
description: How often a customer clicked on a genre, of what they were shown of it.
key: [customer_id, genre]
*/
SELECT
    shown.customer_id,
    genre,
    count(*) AS genre_shown,
    count(clicked_at) AS genre_clicks,
    count(clicked_at) / (count(*) + 10) AS genre_share
FROM shown
JOIN items USING (item_id)
LEFT JOIN clicks ON clicks.customer_id = shown.customer_id AND clicks.item_id = shown.item_id
    AND clicks.clicked_at = shown.shown_at + INTERVAL 1 MINUTE
GROUP BY shown.customer_id, genre
