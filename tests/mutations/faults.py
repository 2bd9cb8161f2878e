"""Faults to put into the code one at a time: what each would mean, where it is, and the tests of its room.

A fault replaces a text that stands in a file once. Some test of its room has to fail under it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    name
        What would then be so.
    file
        Where it is put.
    before, after
        The text that is replaced, and by what.
    tests
        What pytest is given.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


_LIMITS = "tests/suites/test_upkeep.py::test_which_snapshots_are_kept"
_PROMOTIONS = "tests/rollout/test_promotion.py::test_what_a_decision_says_of_the_pages_is_what_the_ledger_says"
_TRAINING = "tests/training/test_training.py"

OF_THE_LAKE = (
    Fault(
        "a version's files are sent while everybody waits for the writer lock",
        "warehouse/lake/storage/bucket_prefix.py",
        "            if each not in sent and (turn",
        "            if (turn",
        ("tests/lake/test_bucket_uploads.py::test_every_file_of_ours_is_sent_before_the_lock",),
    ),
    Fault(
        "a line to a bucket that breaks is taken for damage of a file",
        "jobs/suites/deep.py",
        '    except FileNotFoundError:\n        return "is missing"',
        '    except (FileNotFoundError, AlmanacError):\n        return "is missing"',
        ("tests/backup/test_bucket_faults_of_copies.py::test_a_line_that_breaks_is_no_damage_of_files",),
    ),
    Fault(
        "a bucket is swept of what a commit names",
        "warehouse/lake/storage/bucket_prefix.py",
        'return name in files if path.startswith("data/")',
        'return False if path.startswith("data/")',
        ("tests/lake/test_bucket_faults.py::test_what_a_commit_names_stays_though_it_was_not_struck_out",),
    ),
    Fault(
        "what a turn put into a bucket is swept while that turn goes on",
        "warehouse/lake/storage/staged_keys.py",
        "AND (turn < (SELECT fence",
        "AND (turn <= (SELECT fence",
        ("tests/lake/test_bucket_faults.py::test_what_a_turn_has_put_there_stays_while_it_goes_on",),
    ),
    Fault(
        "what is tried beside a lake in a bucket deletes its objects",
        "warehouse/lake/retention.py",
        "        storage.require_own(connection)\n",
        "",
        ("tests/backup/test_bucket_lakes_copied.py::test_a_scratch_lake_reads_the_objects_and_deletes_none",),
    ),
    Fault(
        "a lake that was moved away is written to",
        "warehouse/lake/postgres/catalogue.py",
        "            require_not_moved(connection, self.server)\n",
        "",
        ("tests/backup/test_moved_lakes.py",),
    ),
    Fault(
        "files of another layout are left out",
        "warehouse/lake/storage/key_buckets.py",
        "told = repr((tuple(columns), [kinds[name] for name in columns], hashes))",
        "told = repr(tuple(columns)[:0])",
        ("tests/batching/test_key_buckets.py",),
    ),
    Fault(
        "shards leave out files of facts whose versions lie in several",
        "warehouse/batching/page_shards.py",
        "is_apart = not facts.has_versions or set(columns) <= set(source.key)",
        "is_apart = True",
        ("tests/batching/test_key_buckets.py",),
    ),
    Fault(
        "an erasure leaves what a bucket keeps of deleted objects",
        "jobs/erasure/storage.py",
        "        suite.lake.storage.forget_deleted()\n",
        "",
        ("tests/erasure/test_erase_in_a_bucket.py::test_nothing_is_left_of_a_person_in_a_bucket_that_keeps_versions",),
    ),
    Fault(
        "the keys of the environment stay in DuckDB's settings",
        "warehouse/lake/storage/duckdb_keys.py",
        """connection.execute(f"SET GLOBAL {setting} = ''")""",
        "pass",
        ("tests/lake/test_bucket_lakes.py::test_no_key_is_shown_or_kept",),
    ),
    Fault(
        "what a server has noted of a person's values stays in its files",
        "warehouse/lake/postgres/vacuum.py",
        'connection.execute("VACUUM FULL pg_catalog.pg_statistic")',
        "pass",
        ("tests/erasure/test_erase_on_a_server.py::test_nothing_is_left_of_a_person_on_the_server_and_all_else_is",),
    ),
    Fault(
        "a copy of a catalogue on a server is of as many instants as it has tables",
        "warehouse/lake/copies/catalogue_files.py",
        'connection.execute("BEGIN")',
        "pass",
        ("tests/backup/test_shared_lakes.py::test_a_copy_is_of_one_instant_whatever_is_committed_meanwhile",),
    ),
    Fault(
        "authors' queries read a shared catalogue by a role that may write",
        "warehouse/lake/postgres/catalogue.py",
        "reader_of(self.server, self.lake) if for_authors else None",
        "None",
        ("tests/lake/test_postgres_roles.py::test_what_gets_past_the_sandbox_may_only_select",),
    ),
    Fault(
        "a role that can become one that writes is taken for one that only reads",
        "sql/system/catalogue/reader_may.sql",
        "WHERE pg_has_role(reader.oid, r.oid, 'MEMBER')",
        "WHERE r.oid = reader.oid",
        ("tests/lake/test_postgres_roles.py::test_a_role_can_be_named",),
    ),
    Fault(
        "a commit that met an error is taken for one that did not take place",
        "warehouse/lake/postgres/fences.py",
        "return row is not None and self._commit in str(row[0])",
        "return False",
        ("tests/lake/test_postgres_writers.py::test_failed_may_mean_committed",),
    ),
    Fault(
        "a commit may be another snapshot than the one that the ledger was told",
        "sql/system/catalogue/guard.sql",
        "(extra ->> 'snapshot')::bigint <> NEW.snapshot_id THEN",
        "false THEN",
        ("tests/lake/test_postgres_writers.py::test_one_turn_gives_one_snapshot_and_no_other",),
    ),
    Fault(
        "a host that was not heard of comes back to its leases",
        "warehouse/lake/postgres/owners.py",
        ' WHERE name = ANY(%s) AND {_LIVES}"',
        ' WHERE name = ANY(%s)"',
        (
            "tests/operations/test_shared_state.py::test_a_host_that_was_not_heard_of_has_lost_its_work_and_commits_nothing",
        ),
    ),
    Fault(
        "whoever has lost its turn of writing may commit",
        "sql/system/catalogue/guard.sql",
        "    IF borne IS DISTINCT FROM newest THEN",
        "    IF false THEN",
        ("tests/lake/test_postgres_catalogue.py::test_a_writer_whose_turn_is_over_is_refused",),
    ),
    Fault(
        "a new turn of writing bears the number of the one before",
        "warehouse/lake/postgres/fences.py",
        "SET fence = fence + 1, holder",
        "SET fence = fence, holder",
        ("tests/lake/test_postgres_catalogue.py::test_one_writes_at_a_time",),
    ),
    Fault(
        "the newest state of before is forgotten too",
        "warehouse/lake/retention.py",
        "for number in before[:-2] if",
        "for number in before if",
        (_LIMITS,),
    ),
    Fault(
        "a lake that is behind takes its last step again",
        "warehouse/lake/migrations.py",
        "for migration in MIGRATIONS[since:]:\n        connection.execute(system_sql",
        "for migration in MIGRATIONS[max(0, since - 1) :]:\n        connection.execute(system_sql",
        ("tests/lake/test_migrations.py",),
    ),
    Fault(
        "what reads on the instance that commits can write there",
        "warehouse/lake/lake.py",
        '"BEGIN TRANSACTION READ ONLY"',
        '"BEGIN TRANSACTION"',
        ("tests/lake/test_connections.py",),
    ),
    Fault(
        "a product that was removed keeps its versions",
        "jobs/products/leave.py",
        '_OUTLASTS = frozenset({"runs",',
        '_OUTLASTS = frozenset({"models", "runs",',
        ("tests/products/test_products.py",),
    ),
    Fault(
        "rows that the catalogue holds itself stay in it after an erasure",
        "jobs/erasure/erase.py",
        '    ("flush", lambda context: flush_inlined(context.suite.lake)),\n',
        "",
        ("tests/erasure/test_erase.py::test_nothing_is_left_of_a_person_and_all_else_is",),
    ),
    Fault(
        "a column is narrowed in place of widened",
        "warehouse/lake/tables.py",
        "row.index(kind) > row.index(than)",
        "row.index(kind) < row.index(than)",
        ("tests/lake/test_tables.py",),
    ),
    Fault(
        "a fact known at the page's own instant makes it stale",
        "warehouse/ledger/records.py",
        "known is not None and known < before)",
        "known is not None and known <= before)",
        ("tests/ledger/test_ledger.py",),
    ),
    Fault(
        "a promotion does not count on the page at which it takes effect",
        "warehouse/ledger/records.py",
        "if promotion.effective_from <= as_of]",
        "if promotion.effective_from < as_of]",
        (_PROMOTIONS,),
    ),
    Fault(
        "facts under an older definition are read from the newest one's table",
        "warehouse/ledger/derivations.py",
        "return self.source if number == self.newest else older_table(self.source, number)",
        "return self.source",
        (
            "tests/facts/test_derivations.py::test_going_back_opens_no_file",
            "tests/facts/test_derivations_kept.py::test_upkeep_drops_what_nobody_uses_and_what_is_made_again_is_equal",
        ),
    ),
    Fault(
        "a derivation that was dropped is read",
        "warehouse/ledger/derivations.py",
        'if derivation.state == "made" and derivation.definition',
        "if derivation.definition",
        ("tests/facts/test_derivations_kept.py::test_upkeep_drops_what_nobody_uses_and_what_is_made_again_is_equal",),
    ),
    Fault(
        "an owner cannot take again what it holds",
        "warehouse/operations/leases.py",
        "{None, self.owner.name, *dead}",
        "{None, *dead}",
        ("tests/operations",),
    ),
    Fault(
        "an owner that is about to be locked is swept away",
        "warehouse/operations/leases.py",
        "if came_at < before and _is_free(path):",
        "if _is_free(path):",
        ("tests/operations",),
    ),
    Fault(
        "operations of a newer version are worked on",
        "warehouse/operations/state.py",
        "if format_of(connection) > newest:",
        "if format_of(connection) > newest + 100:",
        ("tests/lake/test_migrations.py",),
    ),
)

OF_FACTS = (
    Fault(
        "a source is late one delivery after it is",
        "warehouse/facts/promises.py",
        "    if now > due:",
        "    if now > due + expect.every:",
        ("tests/facts/test_promises.py",),
    ),
    Fault(
        "as many rows as are allowed are too many",
        "warehouse/facts/promises.py",
        "newest > wanted:",
        "newest >= wanted:",
        ("tests/facts/test_promises.py",),
    ),
    Fault(
        "stretches just as far apart as is allowed are taken for a gap",
        "warehouse/facts/watermarks.py",
        "first - found[-1][1] <= every:",
        "first - found[-1][1] < every:",
        ("tests/facts/test_promises.py",),
    ),
    Fault(
        "labels are settled as of the source that is furthest",
        "warehouse/facts/watermarks.py",
        "return min([at, *found])",
        "return max(found, default=at)",
        ("tests/facts/test_promises.py",),
    ),
    Fault(
        "any number that somebody gives lets a delivery withdraw facts",
        "jobs/facts/complete.py",
        "allowed == found.lacking",
        "allowed is not None",
        ("tests/facts/test_complete_deliveries.py::test_more_than_a_tenth_is_refused_until_somebody_names_the_number",),
    ),
    Fault(
        "a delivery that lacks just what is allowed is refused",
        "jobs/facts/complete.py",
        "share > settings.at_most",
        "share >= settings.at_most",
        (
            "tests/facts/test_complete_deliveries.py::test_more_than_a_tenth_is_refused_until_somebody_names_the_number",
            "tests/facts/test_promises.py",
        ),
    ),
    Fault(
        "two types taken out of a list side by side share a comma",
        "jobs/facts/lacking.py",
        "first == runs[-1][1] + 2",
        "first == runs[-1][1] + 1",
        ("tests/facts/test_files_set_aside.py::test_several_columns_that_a_file_lacks_are_null_too",),
    ),
    Fault(
        "a page sees what becomes known at its own instant",
        "sql/system/sandbox/source.sql",
        "WHERE known_at < {horizon}",
        "WHERE known_at <= {horizon}",
        (
            "tests/sandbox/test_sandbox_time.py::test_a_fact_counts_only_once_it_can_have_arrived",
            "tests/sandbox/test_sandbox_time.py::test_facts_known_later_change_nothing",
        ),
    ),
    Fault(
        "a fact that was withdrawn is still there",
        "sql/system/sandbox/versioned_source.sql",
        "IS NULL AND NOT withdrawn",
        "IS NULL",
        ("tests/sandbox/test_sandbox_time.py::test_a_correction_is_seen_from_its_own_time_on",),
    ),
)

OF_QUERIES = (
    Fault(
        "one scan more than the query names passes",
        "warehouse/queries/bound_plans.py",
        "left.items() if count > 0)",
        "left.items() if count > 1)",
        ("tests/sandbox/test_second_line.py::test_a_query_that_scans_more_than_the_views_show_is_not_run",),
    ),
    Fault(
        "plans are not looked at",
        "warehouse/sandbox.py",
        "if query.fingerprint not in self._vouched_for:",
        "if not query.fingerprint:",
        ("tests/sandbox/test_second_line.py::test_a_query_that_scans_more_than_the_views_show_is_not_run",),
    ),
    Fault(
        "a function of another schema is taken for one on the list",
        "warehouse/queries/checked_query.py",
        '!= "main" or (node.get("catalog")',
        '!= "main" and (node.get("catalog")',
        ("tests/sandbox/test_sandbox_queries.py",),
    ),
    Fault(
        "rows are joined by their places",
        "warehouse/queries/checked_query.py",
        'node["type"] == "JOIN" and node["ref_type"] not in _JOIN_KINDS',
        'node["type"] == "JOIN" and not node["ref_type"]',
        ("tests/sandbox/test_sandbox_queries.py",),
    ),
    Fault(
        "an order by a constant passes for an order",
        "warehouse/queries/orders.py",
        "return (names[-2], names[-1]) not in scope.constants",
        "return True",
        ("tests/sandbox/test_sandbox_queries.py",),
    ),
)

OF_BATCHES = (
    Fault(
        "bool_and is computed as bool_or",
        "warehouse/batching/ranges/aggregates.py",
        'total = "{1} = {0}" if',
        'total = "{1} > 0" if',
        ("tests/batching/ranges/test_each_aggregate.py",),
    ),
    Fault(
        "count_if is 0 where it is NULL",
        "warehouse/batching/ranges/aggregates.py",
        '(PRESENT, TRUE), "CASE WHEN {0} > 0 THEN {1} END")\n    if call.condition',
        '(PRESENT, TRUE), "{1}")\n    if call.condition',
        ("tests/batching/ranges/test_each_aggregate.py",),
    ),
    Fault(
        "var_pop divides by one less",
        "warehouse/batching/ranges/aggregates.py",
        '"var_pop": 0',
        '"var_pop": 1',
        ("tests/batching/ranges/test_each_aggregate.py",),
    ),
    Fault(
        "a window that begins after an instant holds that instant",
        "warehouse/batching/ranges/windows.py",
        '"COMPARE_GREATERTHAN": (True, True)',
        '"COMPARE_GREATERTHAN": (True, False)',
        ("tests/batching/ranges/test_understood.py",),
    ),
    Fault(
        "a lifted query reads facts that were withdrawn",
        "sql/system/lifting/versioned_source.sql",
        "WHERE NOT withdrawn",
        "",
        ("tests/batching/lifting/test_equals_page_by_page.py",),
    ),
    Fault(
        "what reads a query whose rows differ is kept",
        "warehouse/batching/many_pages.py",
        "                if query.tables & wrong:\n",
        "                if not query.text:\n",
        ("tests/batching/test_what_differs.py",),
    ),
)

OF_SHARDS = (
    Fault(
        "two parts may be joined by anything",
        "warehouse/batching/splitting/joins.py",
        "if len(compared) < n_places:",
        "if len(compared) < 0:",
        ("tests/batching/test_splitting.py",),
    ),
    Fault(
        "a window may look beyond its shard",
        "warehouse/batching/splitting/tracing.py",
        'if node["class"] == "WINDOW" and not scope.found.is_whole:',
        'if node["class"] == "NOTHING":',
        ("tests/batching/test_splitting.py",),
    ),
    Fault(
        "shards that differ from the page in one piece are published",
        "jobs/pages/shards/engine.py",
        "for where, why in one.differing.items():",
        "for where, why in ():",
        ("tests/pages/test_shards.py",),
    ),
    Fault(
        "a shard's file is taken for what its task said",
        "jobs/pages/shards/engine.py",
        "self._require_as_told(one, rows[0].columns)\n",
        "pass\n",
        ("tests/pages/test_shards.py",),
    ),
)

OF_DEFINITIONS = (
    Fault(
        "a week is a day",
        "warehouse/definitions/durations.py",
        '"week": "weeks"',
        '"week": "days"',
        ("tests/definitions/test_durations.py",),
    ),
    Fault(
        "a time that the clocks skip at the range's first instant is lost",
        "warehouse/definitions/cron.py",
        "stretch.start >= start and",
        "stretch.start > start and",
        (
            "tests/definitions/test_cron.py::test_a_time_that_the_clocks_skip_happens_in_a_range_that_begins_at_the_change",
        ),
    ),
    Fault(
        "what decides on rows does not reach the columns",
        "warehouse/lineage/graph.py",
        "for reached in found if reached.column == ROWS]",
        "for reached in found if not reached.column]",
        ("tests/lineage/test_graph.py",),
    ),
)

OF_SCORING = (
    Fault(
        "the probabilities of the two classes change places",
        "jobs/scoring/kernels/links.py",
        "(1 - out[:, 0], out[:, 0])",
        "(out[:, 0], 1 - out[:, 0])",
        ("tests/scoring/test_hist_gradient_boosting.py::test_classifiers",),
    ),
    Fault(
        "what only one of them refuses counts as agreed",
        "jobs/scoring/parity.py",
        "if (expected is None) != (found is None):",
        "if not sets:",
        ("tests/scoring/test_parity.py",),
    ),
    Fault(
        "a batch that fails ends the stream as if it were the last",
        "jobs/scoring/stream.py",
        "link.put(_Failed(error))",
        "link.put(_END)",
        ("tests/scoring/test_stream.py",),
    ),
    Fault(
        "a candidate that ties with the last entry of its list is left out",
        "jobs/scoring/sieves/sieve_kernel.py",
        "kept[row] = not scores[row] < lists.heaps[place, 0]",
        "kept[row] = scores[row] > lists.heaps[place, 0]",
        ("tests/scoring/test_sieve.py",),
    ),
    Fault(
        "a list that lies in two runs is taken for one that is whole",
        "sql/system/audit/lists_in_order.sql",
        '    OR "almanac: n_runs" IS DISTINCT FROM 1\n',
        "",
        ("tests/pages/test_lists_in_order.py",),
    ),
    Fault(
        "what is counted as it is written is sorted before it is",
        "warehouse/pages/profiles.py",
        "    found.flags.writeable = False\n",
        "",
        ("tests/training/test_sifted_lists.py",),
    ),
    Fault(
        "of lists that a sieve has no room for no sample is kept",
        "jobs/pages/scores/sifted.py",
        "            whole[is_without] = self._sifted.kept_whole(keys)\n",
        "",
        ("tests/training/test_sifted_lists.py",),
    ),
    Fault(
        "lists of one hash are taken for one list",
        "jobs/scoring/sieves/sieve.py",
        "            places[~same] = -1\n",
        "",
        ("tests/scoring/test_sieve.py",),
    ),
    Fault(
        "lists of one hash are taken for one list where their keys are numbers",
        "jobs/scoring/sieves/sieve_kernel.py",
        "words[row] != of_lists[places[row]]",
        "words[row] != words[row]",
        ("tests/scoring/test_sieve.py",),
    ),
    Fault(
        "reasons begin at the model's own base",
        "jobs/scoring/reasons/tree_contributions.py",
        " + float(np.sum(self._values * self._reach()))",
        "",
        ("tests/scoring/test_reasons.py",),
    ),
)

OF_MODELS = (
    Fault(
        "the last fold ends with the last page, which is left out",
        "jobs/models/folds.py",
        "[*starts[1:], until]",
        "[*starts[1:], pages[-1]]",
        (f"{_TRAINING}::test_folds_are_in_order_of_time_apart_and_together_hold_out_the_newest_pages",),
    ),
    Fault(
        "a version is not worse if its figure is not, whatever the interval says",
        "jobs/models/gates.py",
        "passed = bool(worst >= -settings.margin)",
        "passed = bool(abs(found.value) >= -settings.margin)",
        ("tests/models/test_gates.py",),
    ),
    Fault(
        "a gate is judged on fewer pages than are wanted",
        "jobs/models/gates.py",
        '    if n_pages < min_pages:\n        words = f"{n_pages} labelled pages made',
        '    if n_pages < 0:\n        words = f"{n_pages} labelled pages made',
        ("tests/models/test_gates.py",),
    ),
    Fault(
        "two equal columns are not named",
        "jobs/models/columns/findings.py",
        "equal.values() if len(group) > 1]",
        "equal.values() if len(group) > 2]",
        ("tests/training/test_feature_findings.py",),
    ),
    Fault(
        "a version is continued under another pipeline",
        "jobs/training/fit.py",
        "if parent.pipeline != pipeline_text(settings.pipeline):",
        "if not parent.estimator:",
        (f"{_TRAINING}::test_what_has_changed_needs_a_stateless_version",),
    ),
    Fault(
        "a window is not heeded",
        "jobs/training/fit.py",
        "max(since, cutoff - window) if window else since",
        "since",
        (f"{_TRAINING}::test_a_window_takes_the_newest_pages_only",),
    ),
)

OF_ROLLOUT = (
    Fault(
        "a challenger that does much better on a page is taken out for it",
        "jobs/rollout/inference/acute_rules.py",
        "bound) if loss - live_loss > bound",
        "bound) if abs(loss - live_loss) > bound",
        (
            "tests/rollout/test_looks.py::test_a_page_takes_a_challenger_out_by_a_loss_that_is_higher_and_a_mean_that_lies_on_either_side",
        ),
    ),
    Fault(
        "guardrails share no level",
        "jobs/rollout/inference/verdict.py",
        "one.margin, rules.guardrail_bound)",
        "one.margin, rules.bound)",
        ("tests/rollout/test_looks.py::test_what_is_looked_at_besides_makes_the_bound_higher",),
    ),
    Fault(
        "gates keep a challenger from a stage before the last",
        "jobs/rollout/inference/verdict.py",
        "not (stage.is_last and arm.gates)",
        "not arm.gates",
        (
            "tests/rollout/test_looks.py::test_gates_are_asked_before_the_last_step_alone_and_named_where_they_are_what_is_lacking",
        ),
    ),
    Fault(
        "an interval takes a skew the other way round above",
        "jobs/rollout/inference/e_process.py",
        "bound, -skew, OF_GOOD)",
        "bound, skew, OF_GOOD)",
        (
            "tests/rollout/test_looks.py::test_the_margins_that_are_not_decided_are_those_of_the_interval_also_where_pages_are_skewed",
        ),
    ),
    Fault(
        "one rollback takes back a promotion for each page that it reaches",
        "jobs/rollout/promotion_history.py",
        "elif promotion.snapshot_id not in seen:",
        "elif True:",
        (
            "tests/rollout/test_promotion.py::test_what_a_decision_says_of_the_pages_is_what_the_ledger_says",
            "tests/rollout/test_promotion.py::test_going_back_twice_goes_two_promotions_back",
        ),
    ),
    Fault(
        "a smaller loss is worse",
        "jobs/rollout/compare.py",
        "better = difference.low > 0 if higher else difference.high < 0",
        "better = difference.low > 0",
        ("tests/rollout/test_verdicts.py",),
    ),
    Fault(
        "pages that a candidate has seen the labels of take the place of those that it has not",
        "jobs/rollout/judge.py",
        "if page >= candidate.label_cutoff or page in honest]",
        "if page]",
        ("tests/rollout/test_promotion.py::test_a_version_is_judged_by_the_newest_pages_that_it_had_not_seen",),
    ),
    Fault(
        "what is on time is late, and what is late on time",
        "jobs/monitoring/late.py",
        "late_by > within",
        "late_by < within",
        ("tests/monitoring/test_late.py",),
    ),
    Fault(
        "the latest page stands last",
        "jobs/monitoring/late.py",
        "-one.late_by",
        "one.late_by",
        ("tests/monitoring/test_late.py",),
    ),
    Fault(
        "a column of the features cannot group an evaluation",
        "jobs/monitoring/evaluate.py",
        "by not in own and by not in features:",
        "by not in own:",
        ("tests/monitoring/test_evaluate.py",),
    ),
    Fault(
        "pages whose labels a silent source does not tell are judged",
        "jobs/monitoring/performance/judge.py",
        "if untold is None or page < untold.pages[0]}",
        "if untold is None or page}",
        ("tests/monitoring/test_unfinished.py::test_where_a_source_ends_the_last_labels_count_in_no_figure",),
    ),
    Fault(
        "a source that is silent for longer than it paused lately is not silent",
        "warehouse/facts/silence.py",
        "heard_until - newest <= pause:",
        "heard_until - newest >= pause:",
        ("tests/monitoring/test_unfinished.py",),
    ),
)

OF_PAGES = (
    Fault(
        "a fallback of labels has pages whose labels had not all come",
        "jobs/pages/scores/label_sums.py",
        "settled - self.product.maturity",
        "settled",
        (
            "tests/web/test_fallback_labels.py::test_day_by_day_a_page_has_what_was_known_at_it_and_a_backfill_has_the_same",
        ),
    ),
    Fault(
        "a page that is put back has no fallback of labels",
        "warehouse/pages/fallback/sums.py",
        "[record.product, record.as_of, record.run_id, run_id]",
        "[record.product, record.as_of, run_id, run_id]",
        ("tests/web/test_fallback_labels.py::test_a_fallback_of_labels_goes_with_its_page_and_into_bundles",),
    ),
    Fault(
        "profiles that were taken in passing lack what did not pass",
        "warehouse/pages/profiling/in_passing.py",
        "if self._n_left == 0 else None",
        "if self._n_left >= 0 else None",
        ("tests/monitoring/test_profiles.py::test_profiles_taken_in_passing_are_those_of_the_staged_file",),
    ),
    Fault(
        "instants that are infinite have a place in profiles of staged files",
        "warehouse/pages/profiling/file_values.py",
        "(numbers == most) | (numbers == -most)",
        "numbers == -most",
        (
            "tests/monitoring/test_profiles_of_files.py::"
            "test_profiles_of_what_arrow_reads_are_those_of_what_duckdb_reads",
        ),
    ),
    Fault(
        "a run that began before a rollback undoes it",
        "warehouse/pages/publishing.py",
        "rollback.snapshot_id > made_at}",
        "rollback.snapshot_id < made_at}",
        ("tests/pages/test_rollback.py::test_a_run_that_began_before_the_rollback_does_not_undo_it",),
    ),
    Fault(
        "a run with older facts overwrites newer ones",
        "warehouse/pages/publishing.py",
        "present.ingest_id > staged.ingest_id",
        "present.ingest_id < 0",
        ("tests/pages/test_publishing.py::test_a_run_with_older_facts_does_not_overwrite_newer_ones",),
    ),
    Fault(
        "a page of far too many rows is not told of",
        "warehouse/pages/audits.py",
        "off = abs(n_rows - usual) >",
        "off = usual - n_rows >",
        ("tests/pages/test_built_in_checks.py",),
    ),
    Fault(
        "what a page was at its own snapshot is not found",
        "warehouse/pages/history.py",
        "record.snapshot_id <= snapshot_id]",
        "record.snapshot_id < snapshot_id]",
        ("tests/pages/test_rollback.py::test_the_page_is_what_it_was_to_the_last_column_and_so_are_its_features",),
    ),
    Fault(
        "labels of another definition are kept",
        "warehouse/pages/labels.py",
        "if record is None or record.definitions != fingerprint:",
        "if record is None:",
        ("tests/changes/test_changed_labels.py::test_a_product_goes_on_after_its_kind_changed",),
    ),
    Fault(
        "a rollback of a page that was made again still stands",
        "jobs/pages/states.py",
        "published.snapshot_id != rollback.snapshot_id:",
        "published.snapshot_id < 0:",
        ("tests/pages/test_rollback.py::test_a_backfill_that_is_told_to_makes_it_again_and_says_so",),
    ),
    Fault(
        "a page is not due at its own instant",
        "jobs/pages/states.py",
        "due = now + timedelta(microseconds=1)",
        "due = now",
        ("tests/pages/test_due_pages.py",),
    ),
    Fault(
        "larger pages than before count by half",
        "jobs/pages/batch_size.py",
        "before is None or found > before else",
        "before is None else",
        (
            "tests/pages/test_backfill.py::test_batches_follow_the_memory_budget",
            "tests/pages/test_due_pages.py",
        ),
    ),
)

OF_THE_CLOCK = (
    Fault(
        "the newest missed tick is coalesced into itself",
        "jobs/schedule/decisions/decide.py",
        "and fresh and newest.at > tick.at:",
        "and fresh and newest.at >= tick.at:",
        ("tests/schedule/test_clock_decisions.py",),
    ),
    Fault(
        "a tick rests for ever where the clock was set back",
        "jobs/schedule/decisions/decide.py",
        "if tick.not_before > now + longest:",
        "if tick.not_before < now:",
        ("tests/schedule/test_clock_decisions.py",),
    ),
    Fault(
        "a job overlaps itself",
        "jobs/schedule/decisions/decide.py",
        "if tick.job_id in board.busy:\n        return Hold",
        "if not board.schedule:\n        return Hold",
        ("tests/schedule/test_clock_decisions.py",),
    ),
    Fault(
        "a job that comes after one that failed runs",
        "jobs/schedule/decisions/decide.py",
        "if upstream is None or upstream.outcome in SUCCEEDED:",
        "if upstream is None or upstream.outcome is not None:",
        ("tests/schedule/test_clock_decisions.py",),
    ),
)

OF_THE_SUITE = (
    Fault(
        "retired files are deleted while readers may read them",
        "jobs/suites/upkeep.py",
        "freed = _delete_retired(lake, now - grace)",
        "freed = _delete_retired(lake, now)",
        ("tests/suites/test_upkeep.py::test_files_are_left_to_readers_that_began_before",),
    ),
    Fault(
        "a disk that is nearly full is well",
        "jobs/suites/doctor.py",
        "free < _LOW_DISK_BYTES",
        "free < 0",
        ("tests/suites/test_doctor.py::test_a_disk_that_is_nearly_full_is_a_warning",),
    ),
    Fault(
        "the infinities change places",
        "jobs/cli/output/console.py",
        '"Infinity" if value > 0 else "-Infinity"',
        '"-Infinity" if value > 0 else "Infinity"',
        ("tests/suites/test_query.py::test_tables_and_json_of_other_commands_show_values_as_they_are",),
    ),
    Fault(
        "a clock that was set back is no failure of a tick",
        "jobs/cli/clock.py",
        "if is_set_back or any(",
        "if any(",
        ("tests/docs/test_docs_operating.py::test_a_recipe_helps",),
    ),
)

OF_EXPORTS = (
    Fault(
        "a target of an earlier lake holds all that comes after",
        "jobs/export/target.py",
        "return self.snapshot_id >= snapshot_id and self.published_at >= published_at",
        "return self.snapshot_id >= snapshot_id",
        ("tests/export/test_targets.py::test_after_a_lake_was_put_back_the_next_publication_goes_out",),
    ),
    Fault(
        "what others made is written over",
        "jobs/export/page_files.py",
        "        if theirs != mine:",
        "        if False:",
        ("tests/export/test_targets.py::test_what_we_did_not_make_is_refused_and_stays",),
    ),
    Fault(
        "what hangs on a table in PostgreSQL goes with it",
        "jobs/export/postgres_table.py",
        "        if hang_on:",
        "        if False:",
        ("tests/export/test_postgres_targets.py::test_what_cannot_be_replaced_is_refused_before_anything_is_written",),
    ),
    Fault(
        "what PostgreSQL has and DuckDB has not is taken for 0",
        "jobs/facts/databases/postgres.py",
        "            if n_rows:",
        "            if False:",
        ("tests/facts/test_postgres_sources.py::test_what_would_come_otherwise_is_refused",),
    ),
)

OF_BACKUPS = (
    Fault(
        "a copy that could not be compared is a lake already",
        "warehouse/lake/postgres/arrivals.py",
        "    if server in _compared_here:",
        "    if True:",
        ("tests/backup/test_moved_lakes.py::test_a_copy_that_was_not_compared_is_nobodys_lake",),
    ),
    Fault(
        "what this host has of a delivery goes after the object by which it is known",
        "warehouse/lake/storage/bucket_prefix.py",
        "        shutil.rmtree(self.root / path, ignore_errors=True)\n"
        "        with self._asking():\n"
        '            bucket, key = self._of(f"{path}/")\n'
        "            for one in bucket.objects(key):\n"
        '                bucket.remove(str(one["Key"]))\n',
        "        with self._asking():\n"
        '            bucket, key = self._of(f"{path}/")\n'
        "            for one in bucket.objects(key):\n"
        '                bucket.remove(str(one["Key"]))\n'
        "        shutil.rmtree(self.root / path, ignore_errors=True)\n",
        (
            "tests/erasure/test_erase_over_a_broken_line.py"
            "::test_an_erasure_over_a_line_that_breaks_is_ended_by_the_next",
        ),
    ),
    Fault(
        "a file of another content than was stored is restored",
        "jobs/backup/store.py",
        "        if sha256 != file.sha256:",
        "        if sha256 is None:",
        ("tests/backup/test_backup.py::test_a_store_that_is_damaged_restores_nothing",),
    ),
    Fault(
        "a damaged file takes the place of the good one",
        "jobs/backup/backup.py",
        "            return before\n        return stored",
        "            return stored\n        return stored",
        ("tests/backup/test_backup.py::test_a_file_that_is_damaged_is_told_and_kept_as_it_was",),
    ),
)

OF_EXAMPLES = (
    Fault(
        "rows that no example expects pass",
        "jobs/examples/differences.py",
        'there, and not expected" for row in found.values()]',
        'there, and not expected" for row in ()]',
        ("tests/examples/test_examples.py::test_each_kind_of_difference_is_told",),
    ),
)

OF_RETRAINING = (
    Fault(
        "a budget that was overdrawn is free as soon as its first training is past",
        "jobs/retraining/decision.py",
        "counted[-rules.budget.trainings]",
        "counted[0]",
        (
            "tests/retraining/test_decision.py::test_a_budget_that_was_overdrawn_is_spent_until_enough_trainings_are_past",
        ),
    ),
    Fault(
        "a training is for alarms that its job does not ask for",
        "jobs/retraining/decision.py",
        "if alarm.kind in asked and alarm.alarm_id",
        "if alarm.alarm_id",
        ("tests/retraining/test_decision.py::test_a_training_is_for_the_alarms_that_its_job_asks_for",),
    ),
    Fault(
        "trainings that failed make no rest longer",
        "jobs/retraining/decision.py",
        "not in (REFUSED, FAILED)",
        "not in (REFUSED,)",
        ("tests/retraining/test_decision.py::test_trainings_that_failed_are_in_vain_as_those_are_that_were_refused",),
    ),
    Fault(
        "an alarm starts one training after the other",
        "jobs/retraining/decision.py",
        "alarm.kind in asked and alarm.alarm_id not in done and",
        "alarm.kind in asked and",
        ("tests/retraining/test_decision.py::test_an_alarm_starts_at_most_one_training_however_long_it_stays_open",),
    ),
    Fault(
        "the rest after a refusal is no longer than others",
        "jobs/retraining/decision.py",
        "min(LONGEST_REST, 1 << refused_in_turn(attempts))",
        "1",
        ("tests/retraining/test_decision.py::test_after_each_refusal_the_rest_is_twice_as_long_up_to_eight_times",),
    ),
    Fault(
        "faulty pages are learnt",
        "jobs/retraining/retrain.py",
        "leave_out=tuple(faulty_pages(self.product, alarms)),",
        "leave_out=(),",
        ("tests/retraining/test_retrain.py::test_a_product_is_asked_about_trained_and_rolled_out_once",),
    ),
)

_REHEARSAL = "tests/rehearsal/test_rehearsal.py::test_policies_are_lived_through_beside_a_lake_that_stays_as_it_is"

OF_REHEARSALS = (
    Fault(
        "a version writes pages before the time that its training takes has passed",
        "jobs/rehearsal/works.py",
        "if one.ends <= self.moment.now:",
        "if True:",
        (_REHEARSAL,),
    ),
    Fault(
        "what was trained for one policy is trained again for the next",
        "jobs/training/recalled.py",
        "if key in self.made:",
        "if False:",
        (_REHEARSAL,),
    ),
)

OF_PRODUCTION = (
    Fault(
        "a check of long ago is as good as one of today",
        "jobs/check/deploy.py",
        "    if age > VALID_FOR:",
        "    if False:",
        ("tests/check/test_deploy.py::test_a_check_that_is_missing_failing_or_old_is_refused",),
    ),
)

OF_SERVING = (
    Fault(
        "what is scored on demand knows facts that came after the page",
        "jobs/export/on_demand.py",
        "Batch(sandbox, suite.definitions, product, ingest_id=page.features.ingest_id) as batch,",
        "Batch(sandbox, suite.definitions, product) as batch,",
        ("tests/web/test_on_demand.py::test_facts_that_came_after_the_page_change_nothing_of_it",),
    ),
    Fault(
        "an older publication takes the place of a newer one",
        "jobs/bundles/bundle_reader.py",
        "    if held is not None and manifest.is_older_than(held):",
        "    if False:",
        ("tests/web/test_bundles.py::test_what_was_tampered_with_cut_short_older_or_expired_is_refused",),
    ),
    Fault(
        "whoever has no token is answered",
        "jobs/web/guard.py",
        """if not scope["almanac.may_look_up"] and scope["path"] != "/readyz":""",
        "if False:",
        ("tests/web/test_serve.py::test_elsewhere_than_here_a_token_is_needed",),
    ),
    Fault(
        "a group keyed by the entity is worked out of a request whose WHERE leaves it out",
        "jobs/bundles/on_demand.py",
        "if self.where is not None and value_of(self.where, plain) is not True:",
        "if False:",
        ("tests/web/test_request.py::test_a_request_stands_for_the_source_of_a_group_keyed_by_the_entity",),
    ),
    Fault(
        "whoever has no token is answered where the request is read",
        "jobs/web/quick.py",
        "or not self._admission.may_look_up(given_headers)",
        "or False",
        ("tests/web/test_quick.py::test_what_is_answered_at_once_is_what_the_application_says",),
    ),
    Fault(
        "text in the data becomes part of a page that is looked at",
        "jobs/web/site/rendering.py",
        "        autoescape=True,",
        "        autoescape=False,",
        ("tests/web/test_site.py::test_texts_that_look_like_html_stay_texts",),
    ),
    Fault(
        "a page that is looked at is made of several states of the lake",
        "jobs/web/site/opened.py",
        "        with suite.lake.reading() as connection:",
        "        with suite.lake.reading(follow=True) as connection:",
        ("tests/web/test_site.py::test_a_job_that_writes_meanwhile_is_seen_whole_or_not_at_all",),
    ),
    Fault(
        "two names of a suite have one path of the site",
        "jobs/web/parts/paths.py",
        """    if kept.startswith("."):""",
        "    if False:",
        ("tests/web/test_site.py::test_a_name_becomes_a_path_that_is_its_own_and_leads_nowhere_else",),
    ),
    Fault(
        "the SQL that a page shows asks of something else",
        "jobs/web/parts/asked.py",
        "values[int(found[1]) - 1]",
        "values[0]",
        ("tests/web/test_site.py::test_the_sql_that_is_shown_gives_the_rows_that_are_shown",),
    ),
)

OF_FILES_ELSEWHERE = (
    Fault(
        "an object that is written anew is taken for the one before",
        "jobs/facts/files/remote_files.py",
        "        if not sha256 or file.modified_at + CLOCKS_APART >= at:",
        "        if not sha256:",
        ("tests/facts/test_remote_files.py::test_an_object_that_is_written_anew_is_seen_though_its_size_is_the_same",),
    ),
    Fault(
        "what broke off is taken in",
        "jobs/facts/files/remote_files.py",
        "            if now.bytes is not None and stream.tell() != now.bytes:",
        "            if False:",
        ("tests/facts/test_remote_files.py::test_what_does_not_come_whole_is_not_taken_in",),
    ),
)

FAULTS = (
    *OF_PRODUCTION,
    *OF_SERVING,
    *OF_FILES_ELSEWHERE,
    *OF_BACKUPS,
    *OF_EXPORTS,
    *OF_THE_LAKE,
    *OF_FACTS,
    *OF_QUERIES,
    *OF_BATCHES,
    *OF_SHARDS,
    *OF_DEFINITIONS,
    *OF_SCORING,
    *OF_MODELS,
    *OF_ROLLOUT,
    *OF_PAGES,
    *OF_THE_CLOCK,
    *OF_THE_SUITE,
    *OF_EXAMPLES,
    *OF_RETRAINING,
    *OF_REHEARSALS,
)
