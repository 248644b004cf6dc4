"""What each kind of part must do, and the records that pass between parts."""
