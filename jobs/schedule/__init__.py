"""The clock: which job runs when, for which page, and what became of it.

    definitions, reading    schedules.yaml: its keys, and how its text becomes a `schedule`
    schedule, triggers      jobs as plain values; the instants at which one is due
    ticks, decide           what is open, and every decision about it: no clock, no effect
    book                    what was due and what became of it, in lake/operations.sqlite
    scheduler               one step: write down what is due, decide, claim, start
    children, supervisor        runs as child processes; the process that answers for each tree of them
    commands, call          the command line of a run; a Python function as one
    suite_clock, readiness  what the clock asks of a suite's files and lake
    driver, wakeups, bell   a scheduler at work: as a daemon, or once
    agenda, costs           what is to come, and what it came to
    alerts, logs, host      who is told, what is written, and which machine it is

Time is an argument throughout; only the command line hands in a clock.
"""
