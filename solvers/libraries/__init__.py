"""Other people's libraries made to behave: no banner, no threads, no lines of their own."""
