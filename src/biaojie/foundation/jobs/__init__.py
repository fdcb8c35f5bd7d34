"""Work done later: one way to ask for it, a table of cadences, and fixed lanes that do it.

Reading order: `lane_rows` (the lanes), `queue` (`task`, `enqueue`), `cadence` (when a row is due: pure), `schedule` (the
declared rows), `planner` (asks for what is due, looking back), `sweep` (jobs whose worker died), `lanes` (threads of a worker
process), `jobs` (the foundation's own tasks). What the jobs do belongs to each chapter's `jobs.py`. Tasks run at least once:
each must bear being repeated.
"""
