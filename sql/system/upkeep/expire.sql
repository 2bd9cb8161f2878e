-- Let go of snapshots: files that no other one shows are retired. A row for each.
CALL ducklake_expire_snapshots('lake', versions => {versions})
