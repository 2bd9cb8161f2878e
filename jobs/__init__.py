"""The jobs of a suite: ingest, features, train, predict, evaluate, upkeep, and the command line over them."""
