"""The forms of cleanup/."""
