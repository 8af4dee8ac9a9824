"""What stands in the audit trail, in the words of people."""

ACTIONS = {
    "auth_login": "Sign in",
    "auth_logout": "Sign out",
    "auth_change_password": "Change the password",
    "auth_end_session": "End a session",
    "tokens_create": "Make an API token",
    "tokens_revoke": "Revoke an API token",
    "settings_display": "Set the display",
    "users_add": "Add a user",
    "users_remove": "Delete a user",
    "users_reset_password": "Reset a password",
    "notifications_test": "Test the notifications",
    "folders_refresh": "Scan the NAS",
    "folders_stop_scan": "Stop a scan of the NAS",
    "job_wishes_preview": "Look at what archiving would do",
    "system_check": "Check the installation",
    "jobs_submit": "Archive a folder",
    "job_wishes_bulk": "Archive folders",
    "jobs_cancel": "Cancel a job",
    "jobs_retry": "Retry a job",
    "jobs_clear_completed": "Clear completed jobs",
    "switches_change": "Pause or resume",
    "source_deletion_begun": "Deletion of a source begins",
    "source_deleted": "Source deleted",
    "source_deletion_stopped": "Deletion of a source stopped",
}
"""For each action that there can be; a test holds them against the URL table."""
