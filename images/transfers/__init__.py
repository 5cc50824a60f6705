"""Bytes between browsers, workers and engines: archives of images, and what a build is made from."""
