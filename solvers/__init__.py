"""The methods: one idea, one file. Installed as ``bilevel.solvers``, reached by name through the registry."""

if __name__ != "bilevel.solvers":
    raise ImportError("these are the methods of the bilevel package: import bilevel.solvers, not solvers")
