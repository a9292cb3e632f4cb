"""What a file is worth after a kill, a failing disk, or a stranger: scripts that print figures."""
