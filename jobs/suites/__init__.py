"""The suite as a whole: init, demo, status, doctor, upkeep, query, lineage."""
