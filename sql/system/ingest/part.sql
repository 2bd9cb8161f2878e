-- What the source's SELECT gives over some files of a delivery.
CREATE OR REPLACE TEMP TABLE {part} AS
{query}
