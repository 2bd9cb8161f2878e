"""Jobs that follow others without standing in schedules.yaml: the exports of a product, after its pages.

A product with targets is exported after each job that makes a page of it, unless a job of the file exports it: then
that one says when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from jobs.schedule.files.schedule import Job, Retries, Work

#: A target that is down is tried again for about two hours, and then with the next page.
RETRIES = Retries(attempts=8, backoff=timedelta(minutes=1), at_most=timedelta(minutes=30))


def exports_that_follow(jobs: Mapping[str, Job], exported: Collection[str]) -> Iterator[Job]:
    """Give the job that exports each product with targets, due with its pages and run when they are there.

    Parameters
    ----------
    jobs
        Those of the file, by name.
    exported
        The products that have targets.
    """
    said = {name for job in jobs.values() if job.work.kind == "export" for name in job.work.names}
    for job in jobs.values():
        product = job.work.product
        if product is None or product not in exported or product in said:
            continue
        name = f"export_{job.name}"
        while name in jobs:
            name += "_"
        yield replace(
            job,
            name=name,
            work=Work("export", (product,)),
            was=tuple(f"export_{earlier}" for earlier in job.was),
            after=(job.name,),
            ready_when=None,
            unless=None,
            retries=RETRIES,
            catch_up="latest",
            overlap="queue",
        )
