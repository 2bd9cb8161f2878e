"""The lake: connections, extensions, tables, compaction, retention, and the one way to write."""
