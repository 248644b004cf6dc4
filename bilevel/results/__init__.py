"""What was found, and how it is shown: text, page, pictures, progress."""
