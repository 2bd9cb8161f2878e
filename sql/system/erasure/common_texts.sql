-- Which of some texts a column has in rows that are not a person's. Parameters: those of the condition, then the texts.
SELECT DISTINCT {column} FROM {table} WHERE NOT {theirs} AND {column} IN (SELECT unnest({texts}::VARCHAR[]))
