"""Lake, ledger, definitions, sandbox and audits. Nothing here knows of jobs, models or schedules."""
