"""Tolls on a motorway: the leader sets them to earn most, travellers take whatever way is then cheapest.

    max_t  sum_trips sum_{a tolled} t_a flow_a,trip                          0 <= t_a <= 10
    s.t.   flow_trip in argmin { sum_a (cost_a + t_a) flow_a : flow is a flow of the trip's demand, flow >= 0 }

A -> B -> C -> D is the motorway, each section with a toll of its own; the other roads are free. Every trip is a
follower with a shortest-way linear program. Revenue is bilinear, and at the best tolls travellers are indifferent
between the motorway and another way: the optimistic leader counts on them staying.

Source: Labbe, Marcotte and Savard (1998), "A bilevel model of taxation and its application to optimal highway
    pricing", Management Science 44, 1608-1622, doi 10.1287/mnsc.44.12.1608; the network is our own.
Best known: revenue 39 at tolls 4, 3, 3 on AB, BC, CD: the leader gives up the long trip, AD, which takes the free
    road. Proof: a trip pays at most what its cheapest free way costs more than the motorway, which is 6 for BD, 7
    for AC and 3 for BC, so that these three yield at most 2 * 6 + 3 * 7 + 2 * 3 = 39. AD pays a toll only on the
    motorway from end to end, and only if the three tolls sum to 3 at most (every other way over a toll road takes 7
    or more already); then no trip pays more than 3, and the revenue is at most 3 * (3 + 2 + 3 + 2) = 30.
"""

import networkx as nx
import pyomo.environ as pyo

from bilevel import LowerLevel

KNOWN = {
    "upper_objective": 39.0,
    "upper": {"toll[A,B]": 4.0, "toll[B,C]": 3.0, "toll[C,D]": 3.0},
    "tolerance": 1e-4,
    "methods": ["kkt", "grid", "random"],
}

MOTORWAY = {("A", "B"): 1, ("B", "C"): 2, ("C", "D"): 1}
FREE_ROADS = {
    ("A", "D"): 7,
    ("A", "E"): 4,
    ("E", "B"): 4,
    ("E", "C"): 6,
    ("B", "F"): 3,
    ("F", "C"): 2,
    ("F", "D"): 6,
}
TRIPS = {("A", "D"): 3, ("B", "D"): 2, ("A", "C"): 3, ("B", "C"): 2}


def create_model(highest=10.0):
    """``highest`` toll on a section."""
    roads = road_map()
    model = pyo.ConcreteModel()
    model.toll = pyo.Var(list(MOTORWAY), bounds=(0, highest), initialize=1.0)

    model.trips = pyo.Set(initialize=list(TRIPS))
    model.lower = LowerLevel(model.trips)
    for trip in model.trips:
        travel(model.lower[trip], roads, trip, model.toll)

    model.obj = pyo.Objective(
        expr=sum(model.toll[road] * model.lower[trip].flow[road] for trip in TRIPS for road in MOTORWAY),
        sense=pyo.maximize,
    )
    return model


def road_map():
    """All roads, with the cost of the time that each takes."""
    roads = nx.DiGraph()
    roads.add_edges_from((*road, {"cost": cost}) for road, cost in (MOTORWAY | FREE_ROADS).items())
    return roads


def travel(follower, roads, trip, toll):
    """Send the trip's demand the cheapest way, tolls included."""
    origin, destination = trip
    follower.flow = pyo.Var(list(roads.edges), bounds=(0, None), initialize=0.0)
    flow = follower.flow
    follower.balance = pyo.Constraint(list(roads.nodes))
    for node in roads:
        supply = TRIPS[trip] * ((node == origin) - (node == destination))
        outgoing = sum(flow[road] for road in roads.out_edges(node))
        incoming = sum(flow[road] for road in roads.in_edges(node))
        follower.balance[node] = outgoing - incoming == supply
    time = sum(roads.edges[road]["cost"] * flow[road] for road in roads.edges)
    follower.obj = pyo.Objective(expr=time + sum(toll[road] * flow[road] for road in MOTORWAY))
