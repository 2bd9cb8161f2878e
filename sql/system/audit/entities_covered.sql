-- Every entity of the page has a prediction, and every prediction an entity.
SELECT as_of, {keys}, 'no prediction' AS problem
FROM {features}
ANTI JOIN {predictions} USING (as_of, {keys})
UNION ALL
SELECT as_of, {keys}, 'no entity' AS problem
FROM {predictions}
ANTI JOIN {features} USING (as_of, {keys})
