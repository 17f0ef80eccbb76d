"""A case's story as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from banbury.decide.cases.records import Answer, Record, Story
from banbury.decide.policy.text import resting


def lines(story: Story) -> Iterator[str]:
    """Moment by moment: what was said since the one before, each country's answer, and what changed it."""
    yield story.title
    yield story.text
    yield f"inventory {story.inventory[:16]}" + (", made up" if story.made_up else "")
    if story.problems:
        yield resting(story.problems)
    for told in story.told:
        yield ""
        yield f"{told.moment.on}  {told.moment.title}"
        for record in told.records:
            yield f"  {record.date:10} {_record(record)}"
        for answer in told.answers:
            yield f"  {answer.country:3} {_answer(answer)}"
            for change in answer.changes:
                yield f"      changed by {change.cause}: {change.text}"


def _record(record: Record) -> str:
    marks: list[str] = [record.kind]
    if record.reported:
        marks.append("reported, not published")
    if record.sponsor:
        marks.append(f"paid for by {record.sponsor}")
    return f"{record.country} {record.by}: {record.says} [{', '.join(marks)}; {', '.join(record.source)}]"


def _answer(answer: Answer) -> str:
    rules = f" ({', '.join(answer.policies)})" if answer.policies else ""
    reported = ", reported" if answer.reported else ""
    return f"{answer.status}{rules}; position: {answer.stance}{reported}"
