"""50 trials, each a process: the one that conducts them stays as small as it was."""

import json
import pathlib
import subprocess
import sys
import textwrap

from experiments import recipes

ROOT = pathlib.Path(__file__).resolve().parents[3]
MOST = 50 * 2**20  # bytes
TRIALS = 50

# In the place of a trial's process: it leaves a copy of a finished run, and a row of its own.
STAND_IN = """
    import json, pathlib, shutil, sys
    told = json.loads(sys.stdin.readline())
    folder = pathlib.Path(told["folder"])
    shutil.copytree({template!r}, folder, dirs_exist_ok=True)
    (folder / "recipe.yaml").write_text(told["row"])
"""
CONDUCT = """
    import json, os, pathlib, sys
    from experiments import executor, plan, progress, recipes
    from experiments.listener import Listener
    from experiments.place import Place

    sizes = []

    class Weighing(Listener):
        def say(self, text):
            if text.startswith("trial "):
                pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
                sizes.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))

    start = executor.subprocess.Popen


    def begin(command, **options):
        trial = "experiments.spawned" in command
        return start([command[0], {stand_in!r}] if trial else command, **options)

    executor.subprocess.Popen = begin
    row, place = recipes.load({row!r}), Place(runs=pathlib.Path({runs!r}))
    step = plan.one(row, place.folder(row), place)
    listener = Weighing()
    hands = executor.Spawned(2, listener=listener)
    outcome = progress.run([step], hands, place, listener)
    heavy = {{"keras", "keras_tuner", "tensorflow", "jax", "torch", "sklearn"}} & set(sys.modules)
    print(json.dumps([sizes, sorted(heavy), list(outcome.failed.values())]))
"""


def test_fifty_trials_leave_the_conductor_flat(sweep, make_run, tmp_path):
    row = sweep(trials=TRIALS)
    (tmp_path / "row.yaml").write_text(recipes.dump(row))
    template = make_run(tmp_path / "template", recipes.swept(row), epochs=2, images=20)
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(textwrap.dedent(STAND_IN).format(template=str(template)))
    code = textwrap.dedent(CONDUCT).format(
        stand_in=str(stand_in), row=str(tmp_path / "row.yaml"), runs=str(tmp_path / "runs")
    )
    # Of our modules only; asked from the checkout, so that these are the ones beside this file.
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    sizes, heavy, failed = json.loads(done.stdout.splitlines()[-1])
    assert (len(sizes), heavy) == (TRIALS, []), failed
    assert max(sizes) - sizes[0] < MOST
