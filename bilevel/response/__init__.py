"""The followers' answer to an upper point: engines in turn, ties broken, F and G there."""
