"""The files of a run's folder.

    recipe.yaml       the resolved row, itself runnable
    environment.json  backend, versions, device, cores, commit, command, date; of training
                      precision: asked, chosen, and the reason and rates of a self-test
    dataset.json      name, class_names, class_ids, train and validation (counts), image_shape,
                      digest (of the images and labels of each split of the whole data set, and
                      of generated ones), generated (how many of train are, if any)
    history.csv       `experiments.runs.history`; not of a vote
    progress.csv      `experiments.runs.history`: within the epochs, where the row asks for it
    metrics.json      `experiments.runs.metrics`: the run is finished when it is there
    model.keras       functional model, raw pixels in, probabilities out, not compiled; not of a
                      vote
    predictions.npz, samples.npz      `experiments.runs.outputs`
    sheets.npz        of a generator: `experiments.runs.outputs`
    state/            for resuming; gone after success
    log.txt           what a run that was one of several told, or why it failed
    plots/*.png       figures of the report, where asked for
    sweep.json        of a sweep: what was proposed and how it ended, in order, which resumes it
    trials.csv        of a sweep: `experiments.runs.trials`, a line for each
    trials/001, ...   of a sweep: the runs of its trials, and oracle.log
    retrained/        of a sweep: the best values trained once more, a run

No other file of the project spells these names. Every file is written whole or not at all.
"""

RECIPE, ENVIRONMENT, DATASET = "recipe.yaml", "environment.json", "dataset.json"
HISTORY, METRICS, MODEL = "history.csv", "metrics.json", "model.keras"
PREDICTIONS, SAMPLES = "predictions.npz", "samples.npz"
PROGRESS = "progress.csv"
SHEETS = "sheets.npz"
SWEEP, TRIALS_TABLE = "sweep.json", "trials.csv"
TRIALS, RETRAINED = "trials", "retrained"
STATE, LOG, PLOTS = "state", "log.txt", "plots"
