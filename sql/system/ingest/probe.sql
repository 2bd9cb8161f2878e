-- Evaluates every expression of a source's header over what was read of a file, so that one that fails shows where.
SELECT {expressions}
FROM {part}
