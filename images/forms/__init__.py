"""The forms of images/: what a person may write, checked and named."""
