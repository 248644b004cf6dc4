"""Who mentions whom: the graph of followers and the upper variables that link them to the leader.

The only file that knows networkx.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bilevel.errors import ModelError

if TYPE_CHECKING:
    import networkx as nx

    from bilevel.reading.follower import Follower


def dependence(followers: Sequence[Follower]) -> nx.DiGraph:
    """The graph with an edge from a follower to each whose variables it mentions."""
    import networkx as nx  # late: most models have one follower, and nobody asks

    owner = {id(var): follower.name for follower in followers for var in follower.variables}
    graph = nx.DiGraph()
    graph.add_nodes_from(follower.name for follower in followers)
    for follower in followers:
        for key, var in follower.mentioned.items():
            other = owner.get(key, follower.name)
            if other != follower.name:
                graph.add_edge(follower.name, other, variable=var.name)
    return graph


def refuse_entangled(followers: Sequence[Follower]) -> None:
    """Refuse followers whose problems mention each other's variables.

    Raises
    ------
    ModelError
        Naming the two followers and the variable, and whether they form a game or a chain.
    """
    if len(followers) < 2:
        return
    import networkx as nx

    graph = dependence(followers)
    for one, other, variable in graph.edges(data="variable"):
        circular = nx.has_path(graph, other, one)
        kind = "they form a Nash game" if circular else "they form a chain of answers"
        raise ModelError(
            f"{one} mentions {variable}, a variable of {other}: {kind}, which is not solved yet."
            f" Followers must be independent; merge {one} and {other} into one LowerLevel if they decide together"
        )


def linking_variables(followers: Sequence[Follower]) -> dict[str, list[str]]:
    """For each follower, the names of the upper variables it depends on."""
    own = {id(var) for follower in followers for var in follower.variables}
    return {f.name: [var.name for key, var in f.mentioned.items() if key not in own] for f in followers}


def components_of(nodes: Iterable[int], cliques: Iterable[Iterable[int]]) -> list[set[int]]:
    """What is left apart of some nodes where all members of a clique are joined."""
    import networkx as nx

    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(nodes)
    for members in cliques:
        nx.add_path(graph, members)
    return list(nx.connected_components(graph))
