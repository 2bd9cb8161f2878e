-- What DuckDB finds in a CSV file: its dialect, columns and types, and how dates and instants are written.
FROM sniff_csv({file}{options})
