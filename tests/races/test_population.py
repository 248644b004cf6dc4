"""Population-based training: the schedule it finds, the same whoever works, gone on from where it stopped."""

import json

import numpy as np
import pyomo.environ as pyo
import pytest
from sgd import STEPS, averaging, train

import bilevel
from bilevel import LowerLevel
from bilevel.errors import BilevelError


def history(result):
    return [(e.point, e.upper_objective, str(e.status)) for e in result.history]


def lineage(result):
    return [(leg["after"], leg["upper"]["rate"]) for leg in result.schedule]


@pytest.fixture(scope="module")
def found():
    return bilevel.solve(averaging(), "pbt", budget=12, seed=0)


def test_a_schedule_beats_every_single_rate(found):
    rates = np.geomspace(0.01, 1.0, 60)
    best = min(train({"rate": rate}, None, STEPS)[0]["loss"] for rate in rates)
    assert found.verdict == "best_found"
    assert found.upper_objective < best
    assert [leg["after"] for leg in found.schedule] == list(range(4, STEPS + 1, 4))
    assert len(found.history) == 12 * 10


def test_the_schedule_trained_by_hand_gives_the_same(found):
    state = None
    for leg in found.schedule:
        values, state = train(leg["upper"], state, leg["steps"])
        assert values["loss"] == leg["upper_objective"]
    assert found.upper_objective == values["loss"]
    assert found.lower == {"net.loss": values["loss"]}


def test_it_is_shown(found, tmp_path):
    assert "rate by steps" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["schedule"][-1]["after"] == STEPS
    assert len(found.plot("schedule").axes) == 2


@pytest.mark.slow
def test_it_is_drawn_on_the_page(found):
    assert "Schedule" in found.page()


def test_the_leader_may_maximise(found):
    turned = bilevel.solve(averaging(sense=pyo.maximize), "pbt", budget=12, seed=0)
    assert lineage(turned) == lineage(found)
    assert turned.upper_objective == -found.upper_objective


@pytest.mark.slow
def test_workers_change_nothing(found):
    assert history(bilevel.solve(averaging(), "pbt", budget=12, seed=0, workers=2)) == history(found)


def test_another_seed_is_another_run(found):
    assert history(bilevel.solve(averaging(), "pbt", budget=12, seed=1)) != history(found)


@pytest.mark.parametrize("stopped_after", [5, 30])
def test_it_goes_on_from_a_study(found, tmp_path, stopped_after):
    calls = []

    def counted(x, state, steps):
        calls.append(x)
        return train(x, state, steps)

    def stop(study, trial):
        if trial.number + 1 == stopped_after:
            study.stop()

    folder = str(tmp_path / "states")
    first = bilevel.solve(averaging(counted), "pbt", budget=12, seed=0, folder=folder, callbacks=[stop])
    assert first.termination == "interrupted"
    assert len(first.history) == stopped_after
    assert first.verdict == "best_found"
    calls.clear()
    second = bilevel.solve(averaging(counted), "pbt", budget=12, seed=0, folder=folder)
    assert history(second) == history(found)
    assert len(calls) == 120 - stopped_after + len(second.schedule)  # and the winner's schedule once more
    left = {int(file.name.partition(".")[0]) for file in (tmp_path / "states").rglob("*.state")}
    assert left == set(range(108, 120))


def test_a_study_alone_keeps_the_states_beside_it(tmp_path):
    where = tmp_path / "run.log"
    first = bilevel.solve(averaging(steps=4), "pbt", budget=4, interval=2, study=str(where))
    assert (tmp_path / "run.log.states").is_dir()
    again = bilevel.solve(averaging(steps=4), "pbt", budget=4, interval=2, study=str(where))
    assert history(again) == history(first)
    assert any("come from the study" in note for note in again.notes)


def test_runs_that_share_a_folder_keep_their_states_apart(found, tmp_path):
    folder = str(tmp_path / "states")
    for seed in (0, 1):
        study = f"{tmp_path}/study.log#{seed}"
        result = bilevel.solve(averaging(), "pbt", budget=12, seed=seed, folder=folder, study=study)
        assert (history(result) == history(found)) == (seed == 0)
    assert len(list((tmp_path / "states").iterdir())) == 2


def test_members_that_fail_are_replaced():
    def fragile(x, state, steps):
        if x["rate"] > 0.3:
            raise FloatingPointError("diverged")
        return train(x, state, steps)

    result = bilevel.solve(averaging(fragile), "pbt", budget=8, seed=0)
    assert result.verdict == "best_found"
    first, last = result.history[:8], result.history[-8:]
    assert sum(not e.answered for e in last) < sum(not e.answered for e in first)


def test_other_methods_train_all_the_way():
    asked = []

    def noting(x, state, steps):
        asked.append((state, steps))
        return train(x, state, steps)

    result = bilevel.solve(averaging(noting), "random", budget=3)
    assert result.verdict == "best_found"
    assert set(asked) == {(None, STEPS)}


def test_families_trials_and_processes_of_their_own():
    def fold(x, k, state, steps, trial):
        done = (state or 0) + steps
        return {"loss": (x["rate"] - k / 10) ** 2 + 1 / done + trial.seed}, done

    model = averaging()
    model.del_component(model.net)
    model.del_component(model.obj)
    model.net = LowerLevel([1, 2], response=fold, steps=4, isolate=True)
    for k in (1, 2):
        model.net[k].loss = pyo.Var()
    model.obj = pyo.Objective(expr=model.net[1].loss + model.net[2].loss)
    result = bilevel.solve(model, "pbt", budget=4, interval=2, seed=3)
    rate = result.upper["rate"]
    assert result.upper_objective == pytest.approx((rate - 0.1) ** 2 + (rate - 0.2) ** 2 + 2 / 4 + 6)


def nothing(x, state, steps):
    return {"loss": 1.0}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"interval": 0}, "from 1 to 40"),
        ({"interval": 41}, "from 1 to 40"),
        ({"replaced": 0.7}, "replaced=0.7"),
        ({"pruner": "median"}, "leave pruner out"),
        ({"repeats": 2}, "leave repeats"),
        ({"study": "grpc://localhost:1"}, "folder="),
    ],
)
def test_what_does_not_go_with_it_is_refused(asked, said):
    with pytest.raises(BilevelError, match=said):
        bilevel.solve(averaging(), "pbt", budget=4, **asked)


def test_a_model_without_states_is_refused():
    with pytest.raises(BilevelError, match="steps=N"):
        bilevel.solve(bilevel.load_model("kernel_ridge"), "pbt", budget=4)


def test_several_objectives_are_refused():
    model = averaging()
    model.other = pyo.Objective(expr=model.rate)
    with pytest.raises(BilevelError, match="one upper objective"):
        bilevel.solve(model, "pbt", budget=4)


def test_an_answer_that_is_no_pair_is_the_functions_fault():
    with pytest.raises(BilevelError, match=r"must return \(values, state\)"):
        bilevel.solve(averaging(nothing), "pbt", budget=4)


def test_steps_need_a_function():
    with pytest.raises(BilevelError, match="response=f"):
        LowerLevel(steps=3)
    with pytest.raises(BilevelError, match="above 0"):
        LowerLevel(response=train, steps=0)


def test_other_states_are_another_study(tmp_path):
    folder = tmp_path / "states"
    bilevel.solve(averaging(steps=4), "pbt", budget=4, interval=2, folder=str(folder))
    with pytest.raises(BilevelError, match="another run"):
        bilevel.solve(averaging(steps=4), "pbt", budget=5, interval=2, folder=str(folder))
    with pytest.raises(BilevelError, match="another run"):
        bilevel.solve(averaging(steps=6), "pbt", budget=4, interval=2, folder=str(folder))
