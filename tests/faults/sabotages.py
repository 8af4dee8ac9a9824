"""Broken variants of the product: for each safety rule the line that keeps it, broken, and the tests that claim it."""

from typing import NamedTuple


class Sabotage(NamedTuple):
    """Each text in `edits` stands exactly once in `file`, and is replaced by the one beside it."""

    rule: str
    file: str
    edits: tuple[tuple[str, str], ...]
    claimed_by: tuple[str, ...]


_ACCEPTANCE, _FAULTS, _INTEGRATION = "tests/acceptance/test_data_loss", "tests/faults/test", "tests/integration/test"
_FLIPPED_BIT = f"{_FAULTS}_lying_destinations.py::test_the_source_is_untouched_when_this_is_a_lie[flipped-bit-usual]"
_KEPT_ARCHIVE = "test_the_local_archive_is_kept_when_during_the_deletion_the_archive_is[removed-0-0]"
_PACK_AGAIN = "test_an_archive_is_refused_that[says that it left something out]"
_POWER = "test_a_power_failure_at_any_point_loses_nothing"
_DURABLE = "test_commits_are_durable_and_foreign_keys_hold"
_REMOVED = "test_a_working_copy_that_was_removed_is_gone_for_good"
_IN_LINK = "test_a_link_in_place_of_a_folder_is_not_followed_to_the_very_files_either"

SABOTAGES = (
    Sabotage(
        "an upload is verified by more than its size",
        "domain/verification.py",
        (
            ("        *_task_checks(expected, observed),\n        *_content_checks(expected, observed),\n", ""),
            ('    return _document_checks("comparison", (*_of_task(expected), *nothing_sent), task)', "    return []"),
        ),
        (_FLIPPED_BIT,),
    ),
    Sabotage(
        "what arrived is compared once more",
        "stages/verify_upload.py",
        (("if passed(checks) and self._settings.compare_again:", "if False:"),),
        (_FLIPPED_BIT,),
    ),
    Sabotage(
        "7z must end with exit code 0",
        "tools/sevenzip.py",
        (
            (
                "        if finished.returncode != 0:\n            raise pack_failure",
                "        if finished.returncode not in (0, 1):\n            raise pack_failure",
            ),
        ),
        (f"{_ACCEPTANCE}_packing.py::{_PACK_AGAIN}",),
    ),
    Sabotage(
        "the source is looked at again before the deletion",
        "stages/verify_upload.py",
        (
            (
                "reasons = await self._source.reasons_to_keep(job, manifest, checks, look)",
                "reasons: list[str] = []",
            ),
        ),
        (f"{_ACCEPTANCE}_changed_source.py::test_nothing_is_deleted_when_after_the_copy[a file is added]",),
    ),
    Sabotage(
        "the source is looked at again after the copy",
        "stages/copy.py",
        (("            await self._require_unchanged(job, before)", "            pass"),),
        (
            f"{_INTEGRATION}_copy_stage.py::test_a_source_that_changes_while_it_is_copied_is_not_sealed"
            "[shutil-a file is added]",
        ),
    ),
    Sabotage(
        "an empty source is an error",
        "stages/copy.py",
        (("if scan.total.files == 0:", "if False:"),),
        (f"{_INTEGRATION}_copy_stage.py::test_a_source_without_any_file_is_an_error_and_never_done",),
    ),
    Sabotage(
        "what is sent has the submission id that was stored",
        "stages/transfer.py",
        (
            (
                "await self._globus.submit(upload.request)",
                "await self._globus.submit("
                '{**upload.request, "submission_id": await self._globus.new_submission_id()})',
            ),
        ),
        (f"{_ACCEPTANCE}_submission.py::test_a_restart_before_the_task_was_noted_sends_the_same_submission",),
    ),
    Sabotage(
        "no link is followed while deleting",
        "tools/way.py",
        (("os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW", "os.O_RDONLY | os.O_DIRECTORY"),),
        (f"{_ACCEPTANCE}_stale_approval.py::{_IN_LINK}",),
    ),
    Sabotage(
        "only what is in the manifest is deleted",
        "tools/deletion.py",
        (
            (
                "        _remove_folders(folders, deletion, threads=threads)\n",
                "        for parent, _folders, names in os.walk(approved.folder):\n"
                "            for name in names:\n"
                "                os.unlink(os.path.join(parent, name))\n"
                "        _remove_folders(folders, deletion, threads=threads)\n",
            ),
        ),
        (f"{_INTEGRATION}_deletion.py::test_a_file_beside_the_approved_ones_at_the_top_stays",),
    ),
    Sabotage(
        "each entry is looked at once more at the moment of its deletion",
        "tools/deletion.py",
        (("    if not same:\n", "    if False:\n"),),
        (f"{_INTEGRATION}_deletion.py::test_a_file_that_changed_after_the_look_is_kept_and_so_is_all_after_it",),
    ),
    Sabotage(
        "an archive is never written over an existing file",
        "tools/removal.py",
        (
            (
                "    os.link(source, destination, follow_symlinks=False)\n"
                "    sync_folder(os.path.dirname(destination))\n"
                "    os.unlink(source)\n",
                "    os.rename(source, destination)\n",
            ),
        ),
        (f"{_INTEGRATION}_copy_stage.py::test_an_archive_already_of_that_name_is_never_overwritten",),
    ),
    Sabotage(
        "what is at the destination and not a leftover of ours stays",
        "stages/destination.py",
        (("    if left_by:\n", "    if True:\n"),),
        (f"{_ACCEPTANCE}_destination.py::test_a_foreign_archive_that_appears_while_the_job_packs_is_not_overwritten",),
    ),
    Sabotage(
        "the marker stands before anything is deleted",
        "stages/delete_source.py",
        (("if await self._write_marker(job, approved, report, collection, deleted=False):", "if True:"),),
        (f"{_ACCEPTANCE}_deletion.py::test_the_marker_is_durable_before_the_first_unlink",),
    ),
    Sabotage(
        "the local archive stays until the destination was seen after the deletion",
        "stages/delete_source.py",
        (
            (
                "            await self._delete(job, approved, report)\n",
                "            await self._delete(job, approved, report)\n"
                "            await self._remove_local_archive(job, report)\n",
            ),
        ),
        (f"{_FAULTS}_lying_destinations.py::{_KEPT_ARCHIVE}",),
    ),
    Sabotage(
        "a commit is durable",
        "db/database.py",
        (('"synchronous = FULL"', '"synchronous = NORMAL"'),),
        (f"{_FAULTS}_power_loss.py::{_POWER}[archived-0]", f"{_INTEGRATION}_queue.py::{_DURABLE}"),
    ),
    Sabotage(
        "a job that is to be cancelled moves nowhere else",
        "db/queue.py",
        (
            (
                "true() if to is JobStatus.CANCELLED else _JOBS.c.cancel_requested_by.is_(None)",
                "true()",
            ),
        ),
        (f"{_FAULTS}_rules.py::test_a_job_that_is_to_be_cancelled_moves_nowhere_else",),
    ),
    Sabotage(
        "first in, first out",
        "db/queue.py",
        ((".order_by(_JOBS.c.seq).limit(1)", ".order_by(_JOBS.c.seq.desc()).limit(1)"),),
        (f"{_INTEGRATION}_queue.py::test_jobs_are_served_in_the_order_in_which_they_came",),
    ),
    Sabotage(
        "a tool keeps the lock of its service",
        "tools/process.py",
        (("pass_fds=self._inherit_fds,", "pass_fds=(),"),),
        (f"{_INTEGRATION}_process.py::test_the_lock_is_inherited_and_nothing_else",),
    ),
    Sabotage(
        "an older database believes nothing",
        "workers/recovery.py",
        (("if newest_sent is not None and known >= newest_sent:", "if True:"),),
        (f"{_INTEGRATION}_older_database.py::test_an_older_database_forgets_what_it_left_and_what_it_was_sending",),
    ),
    Sabotage(
        "what a source that is not whole may rest on stays",
        "stages/destination.py",
        (("            if why is not None:\n", "            if False:\n"),),
        (f"{_FAULTS}_only_copies.py::test_a_collection_with_a_new_id_still_holds_the_only_copies",),
    ),
    Sabotage(
        "a working copy that was removed does not come back",
        "tools/removal.py",
        (("    sync_folder(os.path.dirname(path))  # nobody looks", "    # nobody looks"),),
        (f"{_INTEGRATION}_removal.py::{_REMOVED}",),
    ),
)
