"""Where a lake's files lie: a directory, or a prefix of a bucket. Nothing else knows which."""
