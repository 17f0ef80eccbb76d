"""The demonstration and validation sample: two releases of a router that does not exist.

It is assembled on first use from Debian packages (the project ships no firmware), with weaknesses planted and
labelled, and things that look alike and are in order. So it shows the program at work, and measures its detectors.

    info = banbury.sample.build(out, cache, progress)     # a SampleInfo; progress as in lab.progress, or None
    info.manifest("1.0")                                  # the release.toml to evaluate
    labels = banbury.sample.load_labels(Path(info.root) / info.labels)
    validation = banbury.sample.validate(evaluation, labels)   # evaluation: the JSON document as plain data
    validation.total.precision, validation.total.recall, validation.missed, validation.false_alarms
    banbury.sample.together([validation_of_1_0, validation_of_1_1])

``build`` may be called again at no cost; it needs a network only until the packages are in ``cache``. It raises
:class:`~banbury.model.errors.InputError` with one line that says what is missing.
"""

from banbury.sample.assembly import SampleInfo, SampleRelease, build
from banbury.sample.labels import Label, Score, Validation, load_labels, shipped_labels, together, validate

__all__ = [
    "Label",
    "SampleInfo",
    "SampleRelease",
    "Score",
    "Validation",
    "build",
    "load_labels",
    "shipped_labels",
    "together",
    "validate",
]
