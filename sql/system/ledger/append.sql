-- Records, as the text of a JSON list, appended to their table by the names of columns. Parameter: that text.
INSERT INTO ledger.{table} BY NAME
SELECT unnest(from_json($1, {kinds}), max_depth := 2)
