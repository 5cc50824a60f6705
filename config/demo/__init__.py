"""Private engines with sample images, users and policies; the engine tests run on the same engines."""
