"""CS Archiver: moves finished folders from a NAS to Globus, and deletes only what is proven stored.

The way of one job, in walking order:

    server/api/jobs.py     a person asks for a folder to be archived
    services/submissions.py  the wish is checked and becomes a row in the queue
    workers/worker.py      two workers claim jobs, run the stage of each state, record what came of it
    stages/                one verb a file: admit, copy, compress, verify, upload, verify_upload, delete_source;
                           cancel in place of any of them
    domain/                what is decided, as pure functions: states, retry, verification, the deletion gate
    tools/                 what is done: rsync, dd, 7z, Globus, the disk
    db/queue.py            the only place where a job changes its state

docs/code-map.md leads through the same files with a sentence on each.
"""

__version__ = "0.1.0"
