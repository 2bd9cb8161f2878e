-- What it takes to score entities that no page has: the compiled model of the newest page's version.
CREATE TABLE almanac_model (compiled BLOB NOT NULL)
