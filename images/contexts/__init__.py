"""What an image is built from: files that a person sent or a git repository, and the archive an engine gets of them."""
