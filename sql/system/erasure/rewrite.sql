-- Write every data file anew of whose rows any was deleted. Older snapshots would count wrongly (ducklake#1377), and go.
CALL ducklake_rewrite_data_files('lake', delete_threshold => 0)
