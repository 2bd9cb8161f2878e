"""The functions that an author's query may call, by DuckDB's own names.

The rule: the result depends on the arguments alone. What reads the clock, a file, a setting, a sequence or
chance is not here, nor is what runs text as a query. A name that is missing is refused; if it is safe, add it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OPERATORS = frozenset(
    """
    + - * / // % ^ ** & | << >> ~ ! || !~ ~~ !~~ ~~* !~~* ~~~ @> <@ && ^@ @ ->
    """.split()
)

SCALARS = frozenset(
    """
    abs acos asin atan atan2 bit_count cbrt ceil ceiling cos cot degrees even exp fdiv floor fmod gamma
    gcd greatest isfinite isinf isnan lcm least lgamma ln log log10 log2 mod multiply nextafter pi pow
    power radians round round_even roundbankers sign signbit sin sqrt subtract add divide tan trunc xor
    width_bucket ascii bar bin chr char_length character_length concat concat_ws contains
    damerau_levenshtein ends_with format format_bytes hamming hash hex instr jaccard jaro_similarity
    jaro_winkler_similarity lcase left left_grapheme length len length_grapheme levenshtein like_escape
    not_like_escape ilike_escape not_ilike_escape lower lpad ltrim md5 sha1 sha256 nfc_normalize ord
    parse_filename prefix suffix printf regexp_extract regexp_extract_all regexp_full_match
    regexp_matches regexp_replace regexp_split_to_array regexp_escape repeat replace reverse right rpad
    rtrim split split_part starts_with str_split strip_accents strlen strpos substr substring
    substring_grapheme translate trim ucase unhex unicode upper position coalesce ifnull nullif if
    typeof constant_or_null century date_add date_diff date_part date_sub date_trunc datediff datepart
    datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade epoch epoch_ms epoch_ns epoch_us
    era hour isodow isoyear julian last_day make_date make_time make_timestamp make_timestamp_ms
    make_timestamp_ns microsecond millennium millisecond minute month monthname nanosecond quarter
    second strftime strptime time_bucket timezone to_centuries to_days to_decades to_hours
    to_microseconds to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks
    to_years try_strptime week weekday weekofyear year yearweek array_length array_slice list_slice
    array_extract list_extract element_at list_value list_pack array_value list_contains array_contains
    list_has list_has_any list_has_all list_position list_sum list_avg list_min list_max list_count
    list_distinct list_unique list_sort array_sort list_reverse_sort list_concat list_append
    list_prepend list_transform list_filter list_reduce list_zip list_reverse list_intersect
    array_transform array_filter apply filter flatten range generate_series unnest struct_pack
    struct_extract row map map_extract map_keys map_values map_contains cardinality union_value
    bitstring bit_length get_bit set_bit encode decode to_base64 from_base64 url_encode url_decode
    json_extract json_extract_string json_extract_path json_extract_path_text json_array_length
    json_keys json_type json_valid ->>
    """.split()
)

AGGREGATES = frozenset(
    """
    avg mean bit_and bit_or bit_xor bool_and bool_or count count_if count_star countif corr covar_pop
    covar_samp entropy favg fsum kahan_sum sumkahan geometric_mean geomean kurtosis kurtosis_pop mad max
    median min product quantile quantile_cont quantile_disc percentile_cont percentile_disc regr_avgx
    regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness
    stddev stddev_pop stddev_samp sum sum_no_overflow var_pop var_samp variance approx_count_distinct
    histogram
    """.split()
)

#: Which of several rows these take depends on the order, so they need an ORDER BY inside the call.
ORDERED_AGGREGATES = frozenset(
    """
    first last any_value arbitrary list array_agg string_agg group_concat listagg arg_max arg_min argmax
    argmin max_by min_by arg_max_null arg_min_null mode
    """.split()
)

#: Those that make strings or lists out of nothing. Within the sandbox their arguments are bounded
#: (sql/system/sandbox/bounded.sql), or their format has to be a text that holds no large number.
BOUNDED = frozenset({"repeat", "lpad", "rpad", "bar", "bitstring", "range", "generate_series"})
FORMATTING = frozenset({"format", "printf"})

WINDOW_FUNCTIONS = frozenset(
    """
    WINDOW_AGGREGATE WINDOW_RANK WINDOW_RANK_DENSE WINDOW_NTILE WINDOW_PERCENT_RANK WINDOW_CUME_DIST
    WINDOW_ROW_NUMBER WINDOW_FIRST_VALUE WINDOW_LAST_VALUE WINDOW_NTH_VALUE WINDOW_LEAD WINDOW_LAG
    WINDOW_FILL
    """.split()
)

#: Table functions, which stand in FROM.
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})

#: In the SQL files of sources, which read the files that they are given.
FILE_READERS = frozenset(
    {"read_csv", "read_csv_auto", "read_parquet", "read_json", "read_json_auto", "read_ndjson", "read_xlsx"}
)

#: Names that DuckDB reads as functions without parentheses, if no column bears them.
CLOCK_AND_SESSION_NAMES = frozenset(
    """
    current_date current_time current_timestamp localtime localtimestamp current_user session_user user
    current_role current_schema current_catalog current_database rowid
    """.split()
)

ALLOWED = OPERATORS | SCALARS | AGGREGATES | ORDERED_AGGREGATES


def is_short_format(node: Mapping[str, Any]) -> bool:
    """Tell whether a format is a constant without a width of more than four digits, or one that an argument gives."""
    first = node["children"][0] if node["children"] else {}
    text = first.get("value", {}).get("value") if first.get("class") == "CONSTANT" else None
    return isinstance(text, str) and not re.search(r"\d{5,}|\*|\{[^}]*\{", text)
