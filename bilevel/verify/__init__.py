"""The second look: the lower level solved afresh, the verdict that is borne out."""
