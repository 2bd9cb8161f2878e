-- Write down an attempt before it begins.
INSERT INTO runs (job_id, job, work, product, pool, owner, team, lease, started_at)
VALUES (:job_id, :job, :work, :product, :pool, :owner, :team, :lease, :now)
