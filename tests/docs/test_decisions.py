"""Decision records: numbered without gaps, dated, of one form, and listed."""

import datetime
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
FORM = (
    r"# (?P<number>\d+)\. (?P<title>[^\n]+)\n\n"
    r"- Date: (?P<date>\d{4}-\d{2}-\d{2})\n- Status: (?P<status>[^\n]+)\n\n"
    r"## Context\n\n.+?\n\n## Decision\n\n.+?\n\n## Consequences\n\n- .+\n"
)


def test_the_numbers_have_no_gaps():
    numbers = [int(path.name[:4]) for path in RECORDS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 12


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_the_form_and_is_listed(path):
    record = re.fullmatch(FORM, path.read_text("utf-8"), re.DOTALL)
    assert record, "see the other records for the form"
    assert int(record["number"]) == int(path.name[:4])
    assert datetime.date.fromisoformat(record["date"]) >= datetime.date(2026, 11, 23)
    assert record["status"].startswith(("Accepted", "Replaced by"))
    line = f"| [{record['number']}]({path.name}) | {record['title']} | {record['date']} |"
    assert line in (FOLDER / "index.md").read_text("utf-8").splitlines()


def test_design_leads_to_every_record():
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    assert [path.name for path in RECORDS if f"(decisions/{path.name})" not in design] == []
