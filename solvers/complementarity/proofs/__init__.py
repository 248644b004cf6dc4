"""What is proved of complementarity pairs before a treatment may be used."""
