"""Hosts: adding, grouping, checking and changing them, and keeping the picture of each one fresh."""
