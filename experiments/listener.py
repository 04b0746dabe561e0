"""Who hears what a long computation has to tell: the command line, a notebook, or nobody."""


class Listener:
    """Hears what happens and keeps it to itself; the command line has one that prints.

    Functions compute and return data; what they tell on the way goes to a listener.
    """

    def heading(self, text: str) -> None:
        """Begin a part of the work."""

    def say(self, text: str) -> None:
        """Take note of a fact."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Hear that `done` of `total` steps of `what` are done; the last call has both equal."""

    def tick(self) -> None:
        """Hear that time goes by while others work."""


SILENT = Listener()
