"""How a table that we write is described; `warehouse.lake.registry` lists them all."""
