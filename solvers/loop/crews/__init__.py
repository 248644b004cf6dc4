"""Who evaluates a run's points: this process, or workers elsewhere that hold the model compiled."""
