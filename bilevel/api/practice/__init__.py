"""Good practice: what a careful reader would say of a run, in a line each, with the call that is better."""
