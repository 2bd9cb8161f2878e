"""Pages made in shards by several processes, here or in a cluster: tasks, and what runs them."""
