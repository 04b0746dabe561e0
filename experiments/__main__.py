"""`python -m experiments`."""

import os

# TensorFlow's C++ start-up notes; errors still show. Must be set before TensorFlow loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from experiments.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
