"""The registry of tables: every table and view that we write, what it holds, and for how long it is kept.

Whoever has to know all tables reads this list: checks of names that authors give, publishing, lineage, upkeep,
docs/ledger.md. A test fails on a table of a lake that is not in it, and on a column that differs. What makes the
tables is elsewhere: `warehouse.lake.migrations` those of the ledger, `warehouse.operations.state` those of the
operational state, and the first commit with rows those of products and sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from warehouse.label_kinds import COLUMNS_OF_KINDS
from warehouse.lake.registered.table import AUTHORS as AUTHORS  # whoever asks for tables asks here
from warehouse.lake.registered.table import OPERATIONS as OPERATIONS
from warehouse.lake.registered.table import Kept as Kept
from warehouse.lake.registered.table import Table as Table
from warehouse.lake.registered.table import columns_of as _columns

_A_PAGE = "the page's own, with its ledger rows"
#: The columns that every source has besides its author's.
FACT_COLUMNS = _columns("known_at TIMESTAMP; ingest_id BIGINT; withdrawn BOOLEAN")
#: The columns that rejects have behind those of their source.
REJECT_COLUMNS = _columns("withdrawn BOOLEAN; ingest_id BIGINT; reason VARCHAR")
#: The columns of a row of predictions behind its keys, but for the score that stands among them.
_LOOKED_UP_BY = _columns("as_of TIMESTAMP; valid_until TIMESTAMP")
_COMES_FROM = _columns("model_version VARCHAR; run_id VARCHAR; published_at TIMESTAMP; hindsight BOOLEAN")
PREDICTION_COLUMNS = {**_LOOKED_UP_BY, **_COMES_FROM}
#: The column of a product that wants reasons; of one that does not any more it stays, and is NULL.
REASON_COLUMN = _columns("reasons STRUCT(feature VARCHAR, contribution FLOAT)[]")

#: What the view on entities that no page has ends in, and those of its columns that are not authors'.
FALLBACK_COLUMNS = _columns("place INTEGER; level VARCHAR; columns VARCHAR[]; n_rows BIGINT") | PREDICTION_COLUMNS
FALLBACK, _ARMS = "fallback", "_arms"
#: The column that a product's pages have since its first rollout: which version served a row; NULL of other pages.
ARM_COLUMN = _columns("arm VARCHAR")


def arms_table(product: str) -> str:
    """Name the table of a product's rows of arms that were not served."""
    return f"{product}{_ARMS}"


def prediction_columns(of_kind: Mapping[str, str], with_reasons: bool = False) -> dict[str, str]:
    """Give the columns of a row of predictions behind its keys, in order, with those that the kind of label brings."""
    return {**_LOOKED_UP_BY, **of_kind, **_COMES_FROM, **(REASON_COLUMN if with_reasons else {})}


_OPTIONAL = {**REASON_COLUMN, **ARM_COLUMN}
_OF_FACTS = (
    Table("sources", "SOURCE", "one version of one fact", "the ingestion's", Kept.FOR_GOOD, FACT_COLUMNS,
          person=(AUTHORS,)),
    Table("sources", "SOURCE_current", "the newest version of one fact that is not withdrawn", "the ingestion's",
          Kept.DERIVED, {name: kind for name, kind in FACT_COLUMNS.items() if name != "withdrawn"}, person=(AUTHORS,),
          is_view=True),
    Table("rejects", "SOURCE", "a delivered row that broke a rule of its source", "the ingestion's", Kept.FOR_GOOD,
          REJECT_COLUMNS, person=(AUTHORS,)),
    Table("rejects", "files", "a delivered file that could not be read", "the ingestion's", Kept.WHILE_TRUE,
          _columns("""source VARCHAR; path VARCHAR; sha256 VARCHAR; bytes BIGINT; reason VARCHAR; definition VARCHAR
                   since TIMESTAMP; run_id VARCHAR; forgotten_at TIMESTAMP"""), person=("path", "reason")),
)  # fmt: skip
_OF_PRODUCTS = (
    Table("features", "PRODUCT", "the features of one entity on one page", _A_PAGE, Kept.AS_PAGES, _LOOKED_UP_BY,
          person=(AUTHORS,)),
    Table("labels", "PRODUCT", "what came of one entity of one page", "that of labels, with its ledger rows",
          Kept.AS_PAGES, _columns("as_of TIMESTAMP"), person=(AUTHORS, "label")),
    Table("predictions", "PRODUCT", "the prediction of one entity on one page", _A_PAGE, Kept.AS_PAGES,
          PREDICTION_COLUMNS, person=(AUTHORS, *COLUMNS_OF_KINDS, "reasons"), optional=_OPTIONAL),
    Table("predictions", "PRODUCT_arms", "the prediction of an arm that was not served", _A_PAGE, Kept.ARMS,
          {**PREDICTION_COLUMNS, **ARM_COLUMN}, person=(AUTHORS, *COLUMNS_OF_KINDS, "reasons"), optional=REASON_COLUMN),
    Table("predictions", "PRODUCT_current", "of each entity the newest prediction that is still valid", _A_PAGE,
          Kept.DERIVED, PREDICTION_COLUMNS, person=(AUTHORS, *COLUMNS_OF_KINDS, "reasons"), is_view=True,
          optional=_OPTIONAL),
    Table("predictions", "PRODUCT_page", "a prediction of the newest page", _A_PAGE, Kept.DERIVED, PREDICTION_COLUMNS,
          person=(AUTHORS, *COLUMNS_OF_KINDS, "reasons"), is_view=True, optional=_OPTIONAL),
    Table("predictions", "PRODUCT_fallback", "what is said of entities that no page has, by a coarser key", _A_PAGE,
          Kept.DERIVED, FALLBACK_COLUMNS, person=(AUTHORS, *COLUMNS_OF_KINDS), is_view=True),
    Table("predictions", "PRODUCT_outcomes", "a prediction beside its label", "that of labels", Kept.DERIVED,
          PREDICTION_COLUMNS, person=(AUTHORS, "label", *COLUMNS_OF_KINDS, "reasons"), is_view=True,
          optional=_OPTIONAL),
)  # fmt: skip

_PAGES = _columns("""product VARCHAR; kind VARCHAR; as_of TIMESTAMP; state VARCHAR; run_id VARCHAR
    definitions VARCHAR; ingest_id BIGINT; model_version VARCHAR; hindsight BOOLEAN; n_rows BIGINT
    valid_until TIMESTAMP; recorded_at TIMESTAMP; snapshot_id BIGINT; note VARCHAR""")
_LEDGER = (
    Table("ledger", "format", "the lake's format, and which suite's it is", "the one that made or migrated it",
          Kept.FOR_GOOD, _columns("version INTEGER; suite_id VARCHAR; made_by VARCHAR; made_at TIMESTAMP")),
    Table("ledger", "ingestions", "a delivery that was taken in", "the ingestion's", Kept.FOR_GOOD,
          _columns("""ingest_id BIGINT; source VARCHAR; definition VARCHAR
              files STRUCT(path VARCHAR, sha256 VARCHAR, bytes BIGINT)[]
              rows_read BIGINT; rows_new BIGINT; rows_restated BIGINT; rows_withdrawn BIGINT
              rows_unchanged BIGINT; rows_rejected BIGINT; min_known_at TIMESTAMP; max_known_at TIMESTAMP
              ingested_at TIMESTAMP; run_id VARCHAR; snapshot_id BIGINT; derivation BIGINT
              columns MAP(VARCHAR, VARCHAR)"""), person=("files",)),
    Table("ledger", "derivations", "a derivation of a source's facts that was made, or dropped",
          "the one that makes or drops it", Kept.FOR_GOOD,
          _columns("""source VARCHAR; derivation BIGINT; definition VARCHAR; text VARCHAR; state VARCHAR; way VARCHAR
              parent BIGINT; n_deliveries BIGINT; n_gone BIGINT; recorded_at TIMESTAMP; run_id VARCHAR
              snapshot_id BIGINT""")),
    Table("ledger", "csv_formats", "how a source's CSV files are read where its SELECT does not say",
          "the ingestion's that found it", Kept.FOR_GOOD,
          _columns("source VARCHAR; definition VARCHAR; ingest_id BIGINT; found VARCHAR")),
    Table("ledger", "mends", "what earlier versions had left wrong and was put right",
          "the first of a version that mends it", Kept.FOR_GOOD, _columns("mend VARCHAR; thing VARCHAR")),
    Table("ledger", "pages", "a page that was published, or tried and not", _A_PAGE, Kept.FOR_GOOD, _PAGES,
          product="product", person=("note",)),
    Table("ledger", "published_pages", "the newest publication of a page", _A_PAGE, Kept.DERIVED, _PAGES,
          product="product", person=("note",), is_view=True),
    Table("ledger", "runs", "a run of a job, and what it cost", "the run's", Kept.FOR_GOOD,
          _columns("""run_id VARCHAR; job VARCHAR; product VARCHAR; state VARCHAR
              started_at TIMESTAMP; finished_at TIMESTAMP; first_as_of TIMESTAMP; last_as_of TIMESTAMP
              n_pages BIGINT; n_rows BIGINT; bytes_written BIGINT; wall_s DOUBLE; cpu_s DOUBLE
              peak_memory_bytes BIGINT; definitions VARCHAR; ingest_id BIGINT; model_version VARCHAR
              snapshot_id BIGINT; owner VARCHAR; team VARCHAR; host VARCHAR; almanac_version VARCHAR
              error VARCHAR; lease VARCHAR"""), product="product", person=("owner", "error")),
    Table("ledger", "costs", "what a run cost", "the run's", Kept.DERIVED,
          _columns("""run_id VARCHAR; job VARCHAR; product VARCHAR; owner VARCHAR; team VARCHAR; state VARCHAR
              started_at TIMESTAMP; finished_at TIMESTAMP; cpu_s DOUBLE; wall_s DOUBLE; peak_memory_bytes BIGINT
              n_rows BIGINT; bytes_written BIGINT"""), product="product", person=("owner",), is_view=True),
    Table("ledger", "checks", "what a check found on a page", _A_PAGE, Kept.FOR_GOOD,
          _columns("""run_id VARCHAR; product VARCHAR; as_of TIMESTAMP; name VARCHAR; severity VARCHAR
              passed BOOLEAN; wrong_rows BIGINT; message VARCHAR"""), product="product", person=("message",)),
    Table("ledger", "wrong_rows", "a row that a check found wrong, as JSON", _A_PAGE, Kept.FOR_GOOD,
          _columns("run_id VARCHAR; product VARCHAR; as_of TIMESTAMP; name VARCHAR; wrong_row VARCHAR"),
          product="product", person=("wrong_row",)),
    Table("ledger", "definitions", "the text of a set of definitions, by its hash", "the first that uses it",
          Kept.FOR_GOOD, _columns("""definitions VARCHAR; product VARCHAR; recorded_at TIMESTAMP
              files MAP(VARCHAR, VARCHAR); derivations MAP(VARCHAR, BIGINT)
              page_columns MAP(VARCHAR, VARCHAR)"""), product="product"),
    Table("ledger", "grids", "a product's page grid, from an instant on", "the first page's after a change",
          Kept.FOR_GOOD, _columns("""product VARCHAR; cron VARCHAR; zone VARCHAR; since TIMESTAMP
              recorded_at TIMESTAMP"""),
          product="product"),
    Table("ledger", "models", "a model version", "the registration's", Kept.FOR_GOOD,
          _columns("""product VARCHAR; version VARCHAR; label_cutoff TIMESTAMP; trained_at TIMESTAMP; run_id VARCHAR
              first_page TIMESTAMP; last_page TIMESTAMP; n_pages BIGINT; n_rows BIGINT; definitions VARCHAR
              ingest_id BIGINT; estimator VARCHAR; parameters VARCHAR; seed BIGINT; features VARCHAR[]
              metrics MAP(VARCHAR, DOUBLE); libraries MAP(VARCHAR, VARCHAR); artifact VARCHAR; sha256 VARCHAR
              scorer VARCHAR; scorer_reason VARCHAR; trained_by VARCHAR; reason VARCHAR; parent VARCHAR
              pipeline VARCHAR; threads BIGINT; platform VARCHAR; rows_hash VARCHAR; validation VARCHAR
              importance MAP(VARCHAR, DOUBLE); cost MAP(VARCHAR, DOUBLE); feature_types MAP(VARCHAR, VARCHAR)
              label_kind VARCHAR; label_definition VARCHAR"""), product="product", person=("trained_by", "reason")),
    Table("ledger", "promotions", "which version writes pages, from an as_of on", "the decision's", Kept.FOR_GOOD,
          _columns("""product VARCHAR; version VARCHAR; effective_from TIMESTAMP; promoted_at TIMESTAMP
              promoted_by VARCHAR; reason VARCHAR; action VARCHAR; forced BOOLEAN; snapshot_id BIGINT"""),
          product="product", person=("promoted_by", "reason")),
    Table("ledger", "decisions", "a decision on a model version", "its own", Kept.FOR_GOOD,
          _columns("""decision_id VARCHAR; product VARCHAR; version VARCHAR; action VARCHAR; against VARCHAR
              passed BOOLEAN; forced BOOLEAN; taken BOOLEAN; effective_from TIMESTAMP; decided_at TIMESTAMP
              decided_by VARCHAR; reason VARCHAR; snapshot_id BIGINT"""),
          product="product", person=("decided_by", "reason")),
    Table("ledger", "gates", "a gate of a decision, with its figures", "the decision's", Kept.FOR_GOOD,
          _columns("""decision_id VARCHAR; product VARCHAR; version VARCHAR; gate VARCHAR; passed BOOLEAN
              figure DOUBLE; low DOUBLE; high DOUBLE; bound VARCHAR; n_rows BIGINT; n_pages BIGINT
              message VARCHAR"""), product="product", person=("gate", "message")),
    Table("ledger", "rollouts", "a rollout as it began", "its own", Kept.FOR_GOOD,
          _columns("""rollout_id VARCHAR; product VARCHAR; versions VARCHAR[]; live VARCHAR; salt VARCHAR; plan VARCHAR
              effective_from TIMESTAMP; label_definition VARCHAR; started_at TIMESTAMP; started_by VARCHAR
              reason VARCHAR; balance VARCHAR; run_id VARCHAR; snapshot_id BIGINT"""),
          product="product", person=("started_by", "reason", "plan")),
    Table("ledger", "rollout_steps", "what holds of a rollout from a page on", "the decision's", Kept.FOR_GOOD,
          _columns("""rollout_id VARCHAR; product VARCHAR; number BIGINT; action VARCHAR; stage BIGINT
              versions VARCHAR[]; assignment VARCHAR; held BOOLEAN; effective_from TIMESTAMP; decided_at TIMESTAMP
              decided_by VARCHAR; reason VARCHAR; version VARCHAR; page TIMESTAMP; run_id VARCHAR
              snapshot_id BIGINT"""), product="product", person=("decided_by", "reason", "assignment")),
    Table("ledger", "looks", "what a look after a matured page found of an arm", "the look's, with what followed",
          Kept.FOR_GOOD,
          _columns("""rollout_id VARCHAR; product VARCHAR; as_of TIMESTAMP; arm VARCHAR; stage BIGINT; n_rows BIGINT
              loss DOUBLE; live_loss DOUBLE; difference DOUBLE; e_worse DOUBLE; e_good DOUBLE; mean DOUBLE; low DOUBLE
              high DOUBLE; decision VARCHAR; reason VARCHAR; known_by TIMESTAMP; figures MAP(VARCHAR, DOUBLE)
              run_id VARCHAR; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "arms", "what an arm wrote of a page", _A_PAGE, Kept.FOR_GOOD,
          _columns("""product VARCHAR; as_of TIMESTAMP; run_id VARCHAR; rollout_id VARCHAR; step BIGINT; arm VARCHAR
              n_rows BIGINT; n_served BIGINT; mean DOUBLE; seconds DOUBLE; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "rollbacks", "a page that was put back to an earlier state", "the rollback's", Kept.FOR_GOOD,
          _columns("""product VARCHAR; as_of TIMESTAMP; to_snapshot BIGINT; snapshot_id BIGINT; run_id VARCHAR
              rolled_back_at TIMESTAMP; rolled_back_by VARCHAR; reason VARCHAR"""),
          product="product", person=("rolled_back_by", "reason")),
    Table("ledger", "compiled_models", "a compiled file that a version got after it was registered", _A_PAGE,
          Kept.FOR_GOOD, _columns("""product VARCHAR; version VARCHAR; file VARCHAR; sha256 VARCHAR; format BIGINT
              n_rows BIGINT; run_id VARCHAR; written_at TIMESTAMP; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "reasons", "how a version's predictions are explained, or why they are not",
          "the registration's, or that of the first page with such reasons", Kept.FOR_GOOD,
          _columns("""product VARCHAR; version VARCHAR; basis VARCHAR; settings VARCHAR; refused VARCHAR; base DOUBLE
              method VARCHAR; players VARCHAR[]; background VARCHAR; background_file VARCHAR; background_sha256 VARCHAR
              background_rows BIGINT; n_checked BIGINT; largest_miss DOUBLE; run_id VARCHAR; written_at TIMESTAMP
              snapshot_id BIGINT; bases MAP(VARCHAR, DOUBLE)"""), product="product"),
    Table("ledger", "reason_runs", "a run that wrote reasons, and which were wanted", _A_PAGE, Kept.FOR_GOOD,
          _columns("product VARCHAR; run_id VARCHAR; wanted VARCHAR; basis VARCHAR; settings VARCHAR"),
          product="product"),
    Table("ledger", "outbox", "a publication that a target is to hold, or has no need of", _A_PAGE, Kept.FOR_GOOD,
          _columns("""product VARCHAR; target VARCHAR; as_of TIMESTAMP; snapshot_id BIGINT; state VARCHAR
              run_id VARCHAR; recorded_at TIMESTAMP"""), product="product"),
    Table("ledger", "exports", "what became of a publication at a target", "the export's, after the target has it",
          Kept.FOR_GOOD, _columns("""product VARCHAR; target VARCHAR; as_of TIMESTAMP; snapshot_id BIGINT; state VARCHAR
              place VARCHAR; n_rows BIGINT; run_id VARCHAR; recorded_at TIMESTAMP; note VARCHAR"""),
          product="product", person=("place", "note")),
    Table("ledger", "check_results", "what `almanac check --record` found of a set of definitions", "its own",
          Kept.FOR_GOOD,
          _columns("""check_id VARCHAR; definitions VARCHAR; lake_snapshot BIGINT; passed BOOLEAN; failures VARCHAR[]
              result VARCHAR; checked_at TIMESTAMP; checked_by VARCHAR; git_commit VARCHAR; snapshot_id BIGINT"""),
          person=("failures", "result", "checked_by")),
    Table("ledger", "deployments", "a set of definitions that went live", "its own", Kept.FOR_GOOD,
          _columns("""deployment BIGINT; definitions VARCHAR; deployed_at TIMESTAMP; deployed_by VARCHAR
              git_commit VARCHAR; reason VARCHAR; forced BOOLEAN; problems VARCHAR[]; check_id VARCHAR
              back_to BIGINT; files MAP(VARCHAR, VARCHAR); snapshot_id BIGINT"""), person=("deployed_by", "reason")),
    Table("ledger", "erasures", "that a person was erased, by hashes that do not tell who", "that of the erasure",
          Kept.FOR_GOOD, _columns("""erasure_id VARCHAR; subject VARCHAR; tombstones VARCHAR[]; key_check VARCHAR
              erased_at TIMESTAMP; erased_by VARCHAR; reason VARCHAR; n_facts BIGINT; n_rows BIGINT; n_pages BIGINT
              run_id VARCHAR; snapshot_id BIGINT"""), person=("erased_by", "reason")),
    Table("ledger", "profiles", "how the values of one column of a published page are spread", _A_PAGE, Kept.FOR_GOOD,
          _columns("""product VARCHAR; kind VARCHAR; as_of TIMESTAMP; column_name VARCHAR; scale VARCHAR
              run_id VARCHAR; model_version VARCHAR; n_rows BIGINT; n_missing BIGINT; n_distinct BIGINT
              values_hash VARCHAR; low DOUBLE; high DOUBLE; centre DOUBLE; bins BIGINT[]; top_values VARCHAR[]
              counts BIGINT[]; n_other BIGINT"""), product="product", person=("low", "high", "top_values")),
    Table("ledger", "label_sums", "what the labels known at a page came to in one group of its fallback", _A_PAGE,
          Kept.FOR_GOOD, _columns("""product VARCHAR; as_of TIMESTAMP; run_id VARCHAR; columns VARCHAR[]
              group_values VARCHAR[]; n_rows BIGINT; sums MAP(VARCHAR, DOUBLE); n_pages BIGINT; first_page TIMESTAMP
              last_page TIMESTAMP"""), product="product", person=("group_values", "sums")),
    Table("ledger", "segment_profiles", "how the values of one column of a segment of a published page are spread",
          _A_PAGE, Kept.FOR_GOOD,
          _columns("""product VARCHAR; kind VARCHAR; as_of TIMESTAMP; segment VARCHAR; column_name VARCHAR
              scale VARCHAR; run_id VARCHAR; model_version VARCHAR; n_rows BIGINT; n_missing BIGINT; centre DOUBLE
              bins BIGINT[]; top_values VARCHAR[]; counts BIGINT[]; n_other BIGINT"""), product="product",
          person=("segment", "top_values")),
    Table("ledger", "profile_centres", "what the bins of a column's profiles count from",
          "that of the column's first profile", Kept.FOR_GOOD,
          _columns("""product VARCHAR; kind VARCHAR; column_name VARCHAR; centre DOUBLE; run_id VARCHAR
              recorded_at TIMESTAMP"""), product="product", person=("centre",)),
)  # fmt: skip

#: How far a column of a page differs from the pages before it.
_DRIFT = _columns("""product VARCHAR; kind VARCHAR; as_of TIMESTAMP; column_name VARCHAR; segment VARCHAR
    reference VARCHAR; run_id VARCHAR; known_by TIMESTAMP; snapshot_id BIGINT; state VARCHAR; n_rows BIGINT
    n_reference BIGINT; psi DOUBLE; js DOUBLE; w1 DOUBLE; ks DOUBLE; missing_delta DOUBLE; new_share DOUBLE
    out_of_range_share DOUBLE; score DOUBLE; slow_score DOUBLE; p DOUBLE; e DOUBLE; evidence DOUBLE; weight DOUBLE
    flags VARCHAR[]; alarm VARCHAR; is_level BOOLEAN; score_bound DOUBLE; missing_change DOUBLE; missing_bound DOUBLE
    spread_change DOUBLE; spread_bound DOUBLE; carried DOUBLE; waiting DOUBLE; basis VARCHAR""")
_ALARMS = _columns("""alarm_id VARCHAR; product VARCHAR; kind VARCHAR; state VARCHAR; first_page TIMESTAMP
    last_page TIMESTAMP; since TIMESTAMP; expected VARCHAR; columns VARCHAR[]; flags VARCHAR[]; evidence DOUBLE
    bound DOUBLE; effect DOUBLE; message VARCHAR; known_by TIMESTAMP; decided_by VARCHAR; reason VARCHAR
    run_id VARCHAR; snapshot_id BIGINT""")
_PERFORMANCE = _columns("""product VARCHAR; as_of TIMESTAMP; model_version VARCHAR; segment VARCHAR
    segment_value VARCHAR; known_by TIMESTAMP; run_id VARCHAR; page_run_id VARCHAR; labels_run_id VARCHAR
    n_rows BIGINT; n_labelled BIGINT; maturity DOUBLE; is_mature BOOLEAN; metrics MAP(VARCHAR, DOUBLE)
    expected MAP(VARCHAR, DOUBLE); loss DOUBLE; expected_loss DOUBLE; excess DOUBLE; calibration_slope DOUBLE
    slope_low DOUBLE; slope_high DOUBLE; calibration_intercept DOUBLE; intercept_low DOUBLE; intercept_high DOUBLE
    margin DOUBLE; bound DOUBLE; evidence DOUBLE; without_largest DOUBLE; without_three DOUBLE; largest_share DOUBLE
    alarm BOOLEAN; alarm_open BOOLEAN; estimate DOUBLE; estimate_low DOUBLE; estimate_high DOUBLE; withheld VARCHAR
    snapshot_id BIGINT""")
_A_JUDGEMENT = "that of the judgement, after the page's own"
_OF_AN_ALARM = ("decided_by", "reason", "message")
_MONITORING = (
    Table("ledger", "drift", "how far one column of a page differs from a reference", _A_JUDGEMENT, Kept.FOR_GOOD,
          _DRIFT, product="product", person=("segment",)),
    Table("ledger", "newest_drift", "what was judged last of one column of a page", _A_JUDGEMENT, Kept.DERIVED,
          _DRIFT, product="product", person=("segment",), is_view=True),
    Table("ledger", "training_profiles", "how the values of one column were spread on the training pages of a version",
          _A_JUDGEMENT, Kept.FOR_GOOD,
          _columns("""product VARCHAR; model_version VARCHAR; basis VARCHAR; column_name VARCHAR; scale VARCHAR
              centre DOUBLE; n_pages BIGINT; n_rows BIGINT; n_missing BIGINT; bins BIGINT[]; top_values VARCHAR[]
              counts BIGINT[]"""), product="product", person=("top_values",)),
    Table("ledger", "alarms", "what became of an alarm", "that of the judgement, or of a person's decision",
          Kept.FOR_GOOD, _ALARMS, product="product", person=_OF_AN_ALARM),
    Table("ledger", "newest_alarms", "how an alarm stands", "that of the judgement, or of a person's decision",
          Kept.DERIVED, _ALARMS, product="product", person=_OF_AN_ALARM, is_view=True),
    Table("ledger", "performance", "how one version's predictions of a page, or of a segment of it, did", _A_JUDGEMENT,
          Kept.FOR_GOOD, _PERFORMANCE, product="product", person=("segment_value",)),
    Table("ledger", "newest_performance", "the newest judgement of a page, version and segment", _A_JUDGEMENT,
          Kept.DERIVED, _PERFORMANCE, product="product", person=("segment_value",), is_view=True),
    Table("ledger", "fairness", "a figure of a group of entities, or of how far groups lie apart", _A_JUDGEMENT,
          Kept.FOR_GOOD, _columns("""product VARCHAR; model_version VARCHAR; by_columns VARCHAR; group_values VARCHAR
              metric VARCHAR; statistic VARCHAR; figure DOUBLE; low DOUBLE; high DOUBLE; n_rows BIGINT; n_pages BIGINT
              first_page TIMESTAMP; last_page TIMESTAMP; known_by TIMESTAMP; run_id VARCHAR; snapshot_id BIGINT"""),
          product="product", person=("group_values",)),
    Table("ledger", "triggers", "an answer whether a product is trained again, or what became of the training",
          "its own; of a training that registered a version, the registration's", Kept.FOR_GOOD, _columns("""
              trigger_id VARCHAR; product VARCHAR; job VARCHAR; known_by TIMESTAMP; tick TIMESTAMP; answer VARCHAR
              reason VARCHAR; fired VARCHAR[]; alarms VARCHAR[]; needs VARCHAR[]; figures MAP(VARCHAR, DOUBLE)
              rules VARCHAR; version VARCHAR; run_id VARCHAR; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "trials", "a try of a search, on one rung", "that of the search", Kept.FOR_GOOD, _columns("""
              search_id VARCHAR; product VARCHAR; trial BIGINT; rung BIGINT; state VARCHAR; estimator VARCHAR
              parameters VARCHAR; pipeline VARCHAR; without VARCHAR; first_page TIMESTAMP; cutoff TIMESTAMP
              known_by TIMESTAMP; n_pages BIGINT; n_rows BIGINT; n_judged BIGINT; loss DOUBLE; cpu_s DOUBLE
              page_seconds DOUBLE; reason VARCHAR; run_id VARCHAR; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "freshness", "a measurement of what fresh data is worth", "its own", Kept.FOR_GOOD,
          _columns("""freshness_id VARCHAR; product VARCHAR; known_by TIMESTAMP; first_page TIMESTAMP
              last_page TIMESTAMP; loss VARCHAR; n_pages BIGINT; rows_a_year DOUBLE; cpu_s DOUBLE; measured_by VARCHAR
              notes VARCHAR[]; run_id VARCHAR; snapshot_id BIGINT"""), product="product"),
    Table("ledger", "freshness_figures", "a figure of such a measurement", "the measurement's", Kept.FOR_GOOD,
          _columns("""freshness_id VARCHAR; product VARCHAR; kind VARCHAR; name VARCHAR; days DOUBLE; cutoff TIMESTAMP
              figure DOUBLE; low DOUBLE; high DOUBLE; n_rows BIGINT; n_pages BIGINT; trainings_a_year DOUBLE
              cpu_s DOUBLE"""), product="product"),
    Table("ledger", "rehearsals", "a rehearsal that came to its end", "its own", Kept.FOR_GOOD,
          _columns("""rehearsal_id VARCHAR; product VARCHAR; known_by TIMESTAMP; begins TIMESTAMP; ends TIMESTAMP
              metric VARCHAR; higher_is_better BOOLEAN; best VARCHAR; held_out_from TIMESTAMP; training_s DOUBLE
              n_shared BIGINT; facts_in_their_time BOOLEAN; policies VARCHAR; notes VARCHAR[]; kept_in VARCHAR
              run_id VARCHAR; snapshot_id BIGINT"""), product="product", person=("policies",)),
    Table("ledger", "rehearsed_policies", "what a policy of a rehearsal came to on some pages", "the rehearsal's",
          Kept.FOR_GOOD, _columns("""rehearsal_id VARCHAR; product VARCHAR; part VARCHAR; place BIGINT; policy VARCHAR
              is_best BOOLEAN; trainings BIGINT; promoted BIGINT; cpu_s DOUBLE; n_pages BIGINT; figure DOUBLE
              low DOUBLE; high DOUBLE; better DOUBLE; better_low DOUBLE; better_high DOUBLE; acute_alarms BIGINT
              drift_alarms BIGINT; performance_alarms BIGINT; age_days DOUBLE; n_faulty BIGINT; n_failed BIGINT
              note VARCHAR"""), product="product"),
)  # fmt: skip

_ITS_OWN = "a change of its own, in lake/operations.sqlite"
_OPERATIONS = (
    Table(OPERATIONS, "claims", "a page that a process is at work on", _ITS_OWN, Kept.WHILE_TRUE,
          _columns("product TEXT; page TEXT; owner TEXT; claimed_at TEXT"), product="product"),
    Table(OPERATIONS, "jobs", "a job that was ever in schedules.yaml", _ITS_OWN, Kept.FOR_GOOD,
          _columns("job_id INTEGER; name TEXT; trigger TEXT; first_seen TEXT; seen_until TEXT; removed_at TEXT")),
    Table(OPERATIONS, "runs", "an attempt: a child process", _ITS_OWN, Kept.TICKS,
          _columns("""run INTEGER; job_id INTEGER; job TEXT; work TEXT; product TEXT; pool TEXT; owner TEXT; team TEXT
              lease TEXT; started_at TEXT; finished_at TEXT; result TEXT; reason TEXT; cpu_s REAL; wall_s REAL
              peak_memory_bytes INTEGER"""), product="product", person=("owner",)),
    Table(OPERATIONS, "ticks", "an instant at which a job was due, and what became of it", _ITS_OWN, Kept.TICKS,
          _columns("""job_id INTEGER; at TEXT; page TEXT; seen_at TEXT; missed INTEGER; attempts INTEGER
              abandoned INTEGER; not_before TEXT; run INTEGER; last_run INTEGER; outcome TEXT; reason TEXT
              covered_by TEXT; settled_at TEXT""")),
    Table(OPERATIONS, "pauses", "a pause of a job", _ITS_OWN, Kept.TICKS,
          _columns("""job_id INTEGER; paused_at TEXT; paused_by TEXT; why TEXT; resumed_at TEXT; resumed_by TEXT
              resumed_why TEXT"""), person=("paused_by", "why", "resumed_by", "resumed_why")),
    Table(OPERATIONS, "alerts", "an alert on its way out", _ITS_OWN, Kept.TICKS,
          _columns("""what TEXT; raised_at TEXT; title TEXT; body TEXT; channels TEXT; state TEXT; tries INTEGER
              next_try TEXT"""), person=("title", "body")),
    Table(OPERATIONS, "stale_products", "a product whose newest page is older than it promises", _ITS_OWN,
          Kept.WHILE_TRUE, _columns("product TEXT; since TEXT"), product="product"),
    Table(OPERATIONS, "facts", "a single fact, such as the host that runs the jobs", _ITS_OWN, Kept.WHILE_TRUE,
          _columns("name TEXT; value TEXT"), person=("value",)),
)  # fmt: skip

#: Every table and view that we write.
TABLES: tuple[Table, ...] = (*_OF_FACTS, *_OF_PRODUCTS, *_LEDGER, *_MONITORING, *_OPERATIONS)


def table(schema: str, name: str) -> Table | None:
    """Find what a table of a lake, or of the operational state, is registered as; None if it is not.

    A view of a product or source is found by the ending of its name.
    """
    of_schema = [each for each in TABLES if each.schema == schema]
    exact = [each for each in of_schema if each.name == name]
    beside = [each for each in of_schema if each.name.startswith(("PRODUCT_", "SOURCE_"))]
    endings = [each for each in beside if name.endswith(each.name[each.name.index("_") :])]
    any_name = [each for each in of_schema if each.name in ("PRODUCT", "SOURCE")]
    return next(iter([*exact, *endings, *any_name]), None)


def views_of_products() -> tuple[str, ...]:
    """Give the views on a product's predictions, by what their names end in."""
    return tuple(each.name.partition("_")[2] for each in TABLES if each.is_of_a_product and each.is_view)


def names_beside_products() -> tuple[str, ...]:
    """Give what the names of all that stands beside a product's own table end in."""
    return tuple(each.name.partition("_")[2] for each in TABLES if each.is_of_a_product and "_" in each.name)


def columns_of_pages(of_kind: Iterable[str] = COLUMNS_OF_KINDS) -> tuple[str, ...]:
    """Give the columns that we add to pages, which are not an author's to name; by default those of every kind."""
    return tuple(dict.fromkeys([*_LOOKED_UP_BY, *of_kind, *_COMES_FROM]))
