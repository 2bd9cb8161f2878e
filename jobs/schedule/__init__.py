"""The clock: which job runs when, for which page, and what became of it.

    schedule     what schedules.yaml says, as plain values        definitions   reading and checking that file
    triggers     the instants of a cron expression or interval    book          what happened, in operations.sqlite
    decide       the decisions, without a clock or any effect     scheduler     one step: look, decide, record, start
    children     jobs as child processes                          keeper        the process that holds a job's tree
    daemon       the scheduler in the foreground                  agenda        what is going to happen

Time is an argument throughout; only the daemon and the command line read the clock.
"""
