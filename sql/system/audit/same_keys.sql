-- Whether features and predictions surely have the same keys: as many, and of the same hashes taken together. That
-- holds by chance for others about once in 2^64. Where it says no, `entities_covered` has to look.
SELECT
    (SELECT (count(*), bit_xor(hash(as_of, {keys})), sum(hash(as_of, {keys})::HUGEINT)) FROM {features})
    = (SELECT (count(*), bit_xor(hash(as_of, {keys})), sum(hash(as_of, {keys})::HUGEINT)) FROM {predictions})
