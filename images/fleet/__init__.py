"""What pages read of all hosts together: the list of copies, a selection of them, one image, the overview."""
