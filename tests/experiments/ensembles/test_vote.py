"""Votes of finished runs, as rows: what they are fitted on and what they leave."""

import numpy as np
import pytest

import stacking
import zoo
from experiments import cli, executor, plan, recipes
from experiments.ensembles import vote as votes
from experiments.runs import Run, names, outputs
from stacking.vote import RULES


@pytest.fixture
def vote(a_row, place, tmp_path):
    """Let the three members vote: (listener, **fields of the row) -> the run."""

    def make(*listener, **fields) -> Run:
        fields = {"members": ["m0", "m1", "m2"]} | fields
        row = a_row("vote", kind="vote", **fields)
        executor.carry_out(plan.one(row, tmp_path / "vote", place), place, *listener)
        return Run(tmp_path / "vote")

    return make


def kept(members) -> np.ndarray:
    return np.stack([member.probs for member in members], axis=1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rule": "modes"}, "no rule 'modes'; did you mean mode"),
        ({"rule": "mode", "weights": "accuracy"}, "weighted_mode does"),
        ({"rule": "weighted_mean"}, "needs weights: accuracy, boosted or selected"),
        ({"weights": "best"}, "weights: .*'accuracy'"),
        ({"epochs": 2}, "epochs: .*Extra"),
        ({"share": {"holdout": 0.1}}, "share: .*Extra"),
        ({"members": []}, "members"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(a_row, changes, told):
    with pytest.raises(ValueError, match=told):
        a_row("vote", kind="vote", **{"members": ["a"]} | changes)


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.weights != "needed"])
def test_a_rule_without_weights_reads_what_the_members_kept(rule, vote, members, monkeypatch):
    monkeypatch.setattr(zoo, "load", lambda *_: pytest.fail("a model was loaded"))
    made = vote(rule=rule).check()
    np.testing.assert_array_equal(made.probs, stacking.vote(kept(members), rule))
    np.testing.assert_array_equal(made.labels, members[0].labels)
    assert [member["weight"] for member in made.metrics["members"]] == [1 / 3] * 3
    for key in ("parameters", "macs"):
        assert made.metrics[key] == sum(member.metrics[key] for member in members)


@pytest.mark.backend
@pytest.mark.parametrize("weights", votes.WEIGHTS)
def test_weights_are_fitted_on_held_out_images_alone(weights, vote, members, digits, told):
    listener, held = told(), digits.holdout(0.2)[1]
    made = vote(listener, rule="weighted_mean", weights=weights)
    said = stacking.member_outputs(
        {run.name: zoo.load(run.model_file) for run in members}, held.images
    )
    expected = votes.WEIGHTS[weights](said, held.labels)
    found = [member["weight"] for member in made.metrics["members"]]
    np.testing.assert_allclose(found, expected)
    voted = stacking.vote(kept(members), "weighted_mean", expected)
    np.testing.assert_allclose(made.probs, voted, atol=1e-12)
    asked = [member for member, weight in zip(members, expected, strict=True) if weight]
    assert made.metrics["macs"] == sum(member.metrics["macs"] for member in asked)
    fitted = f"weights fitted on {len(held)} images that the members held out"
    assert fitted in listener.texts


def test_a_vote_is_a_run_without_model_and_history(vote):
    made = vote(rule="weighted_mode", weights="accuracy", expect={"top1": 60.9})
    files = {names.RECIPE, names.ENVIRONMENT, names.DATASET, names.METRICS}
    found = {path.name for path in made.path.iterdir()} - {".lock"}
    assert found == files | {names.PREDICTIONS, names.SAMPLES}
    assert made.metrics["kind"] == "vote" and made.expect["top1"] == 60.9
    assert made.history == {} and made.row.weights == "accuracy"
    assert sum(member["weight"] for member in made.metrics["members"]) == pytest.approx(1)
    assert all(member["changed"] == [] for member in made.metrics["members"])
    with pytest.raises(ValueError, match="has no model of its own"):
        _ = made.model_file


@pytest.mark.parametrize(
    "command",
    [["evaluate", "RUN"], ["predict", "RUN", "image.png"], ["export", "RUN", "--format", "keras"]],
    ids=lambda command: command[0],
)
def test_what_needs_a_model_refuses_a_vote(command, make_run, a_row, tmp_path):
    folder = make_run(tmp_path / "vote", a_row("vote", kind="vote", members=["m0"]))
    command = [str(folder) if word == "RUN" else word for word in command]
    with pytest.raises(ValueError, match="has no model of its own"):
        cli.app(command, standalone_mode=False)


def test_the_ties_of_a_vote_survive_in_its_predictions(vote):
    made = vote(members=["m0", "m1"], rule="mode")
    right = made.probs.argmax(axis=1) == made.labels
    narrow = made.probs.astype(np.float32).argmax(axis=1) == made.labels
    assert made.metrics["top1"] == pytest.approx(100 * right.mean())
    assert right.sum() > narrow.sum()  # two members tie wherever they differ


def test_stacks_and_votes_may_vote_where_nothing_is_fitted(vote, stack, members, place, a_row):
    made = vote(members=["m0", str(stack)], rule="mean")
    expected = np.stack([members[0].probs, stack.probs], axis=1).mean(axis=1)
    np.testing.assert_allclose(made.probs, expected, atol=1e-7)
    again = a_row("again", kind="vote", members=["m1", str(made)], rule="mean")
    step = plan.one(again, made.path.parent / "again", place)
    assert executor.carry_out(step, place)["parameters"] > made.metrics["parameters"]


def test_a_vote_is_made_once(vote, monkeypatch):
    made = vote()
    monkeypatch.setattr(stacking, "vote", lambda *_: pytest.fail("voted again"))
    assert vote().metrics == made.metrics
    with pytest.raises(ValueError, match=r"another recipe \(rule: mode -> mean\)"):
        vote(rule="mean")


def test_members_that_were_evaluated_on_other_images_are_refused(
    a_row, place, write_member, tmp_path
):
    other = write_member(tmp_path / "m1", "m1")
    arrays = other.predictions
    outputs.write(
        tmp_path / "m1" / names.PREDICTIONS, probs=arrays["probs"], labels=arrays["labels"][::-1]
    )
    row = a_row("vote", kind="vote", members=["m0", str(other)])
    with pytest.raises(ValueError, match="m1 and .*m0 were evaluated on other validation images"):
        executor.carry_out(plan.one(row, tmp_path / "vote", place), place)


def test_a_command_names_the_one_for_rows_of_another_kind(a_row, tmp_path):
    path = tmp_path / "vote.yaml"
    path.write_text(recipes.dump(a_row("vote", kind="vote", members=["a/b"])))
    for command in ("train", "stack", "experts"):
        with pytest.raises(ValueError, match="is of kind vote: python -m experiments vote"):
            cli.app([command, str(path)], standalone_mode=False)
    with pytest.raises(ValueError, match="is of kind train: python -m experiments train"):
        cli.app(["vote", "quickstart/member_a"], standalone_mode=False)
