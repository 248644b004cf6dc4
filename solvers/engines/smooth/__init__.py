"""Newton's method for smooth convex programs: its steps, and how rows and bounds are kept."""
