-- Take out the page as it was before.
DELETE FROM {place}
WHERE as_of = {as_of}
