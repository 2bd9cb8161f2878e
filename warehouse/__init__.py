"""The warehouse: lake, ledger, definitions, sandbox and audits. It knows nothing of jobs, models or schedules."""
