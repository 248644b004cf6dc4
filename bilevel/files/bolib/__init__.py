"""Problems of BOLIB: one MATLAB function each, of which the formulas are read."""
