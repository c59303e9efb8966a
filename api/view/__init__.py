"""What readers see of the views: follows the changelogs of the live version into copies."""
