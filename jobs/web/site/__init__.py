"""The site: pages to look at, over HTTP or as files. It reads, and writes nothing to the suite."""
