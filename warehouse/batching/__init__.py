"""Many pages computed together, each way compared with pages made one by one."""
