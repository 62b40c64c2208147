"""Spark's part, played, for stages that train in one task: no JVM."""

__all__ = ["PlayedSpark"]


class PlayedSpark:
    """Runs what a stage gives to one task, here."""

    def __init__(self, items=()):
        self.sparkContext = self
        self.items = items

    def parallelize(self, items, count):
        return PlayedSpark(items)

    def map(self, function):
        return PlayedSpark([function(each) for each in self.items])

    def collect(self):
        return list(self.items)
