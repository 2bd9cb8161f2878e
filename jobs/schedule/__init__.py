"""The clock: which job runs when, for which page, and what became of it.

    files       schedules.yaml: its keys, how its text becomes a `Schedule`, the instants at which a job is due
    decisions   what is open, and every decision about it: no clock, no effect
    processes   the command line of a run, runs as child processes, the supervisor of each tree of them
    tick_store              what was due and what became of it, in lake/operations.sqlite
    scheduler               one step: write down what is due, decide, claim, start
    suite_clock, readiness  what the clock asks of a suite's files and lake
    daemon, wakeups, wake_up  a scheduler at work: as a daemon, or once
    agenda, costs           what is to come, and what it came to
    alerts, logs, host      who is told, what is written, and which machine it is

Time is an argument throughout; only the command line hands in a clock.
"""
