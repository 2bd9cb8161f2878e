-- The newest page of a product by the ledger.
(SELECT max(as_of) FROM ledger.published_pages WHERE product = {product} AND kind = 'predictions')
