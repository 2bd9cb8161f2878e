-- For each list, in the order of its number, whether the challenger picks first in each round.
SELECT any_value({coins} ORDER BY "almanac: list") AS coins
FROM {rankings}
GROUP BY "almanac: list"
ORDER BY "almanac: list"
