"""The single-level model of the KKT path: treated, bounded, solved, assessed."""
