import pandas as pd

from vidrec_utils.preprocessing.report import (
    REPORT_COLUMNS,
    Report,
    Step,
    empty_report,
    file_rows,
    join_reports,
    make_report,
)


def test_rows_are_those_a_person_sees():
    log = pd.DataFrame({"x": list("abcd")})
    kept = log.drop(index=1)
    # Record 0 is in row 2 of the file, below the header; dropping rows changes no numbers.
    assert list(file_rows(log)) == [2, 3, 4, 5]
    assert list(file_rows(kept, [False, True, True])) == [4, 5]
    assert list(file_rows(pd.DataFrame({"x": [1, 2]}, index=["p", "q"]))) == [2, 3]


def test_single_values_are_repeated_and_missing_stays_missing():
    report = make_report(
        "videos", [2, 9], ["a", "b"], "title", "missing", "filled", None, [1, pd.NA]
    )
    assert list(report.columns) == list(REPORT_COLUMNS)
    assert list(report["problem"]) == ["missing", "missing"]
    assert report["before"].isna().all()
    assert report.loc[0, "after"] == "1"
    assert pd.isna(report.loc[1, "after"])


def test_a_report_says_each_step_in_a_sentence():
    found = make_report("videos", [2, 3], ["a", "b"], "path", "black clip", "removed")
    report = Report((Step("files", found), Step("bots", skipped="no times"), Step("text")))
    assert report.summary().splitlines() == [
        "files: black clip, 2 videos (removed).",
        "bots: skipped, no times.",
        "text: nothing to do.",
    ]
    assert list(report.frame["step"]) == ["files", "files"]
    assert report.of("black") == ["a", "b"]
    assert len(report + report) == 4
    assert [step.name for step in report] == ["files", "bots", "text"]


def test_examples_are_the_first_row_of_each_step_cut_to_be_read():
    files = make_report("videos", [2, 3], ["a", "b"], "path", "black clip", "removed", "a.mp4")
    bots = make_report("users", [7], ["u"], "", "bot", "removed", "far too busy for a person", None)
    shown = Report((Step("files", files), Step("none"), Step("bots", bots))).examples(width=9)
    assert list(shown.index) == ["files", "bots"]
    assert list(shown.columns) == list(REPORT_COLUMNS[:-1])
    assert list(shown["row"]) == [2, 7]
    assert list(shown["before"]) == ["a.mp4", "far too…"]
    assert list(shown["after"]) == ["", ""]
    assert Report().examples().empty


def test_no_reports_join_to_an_empty_one():
    assert list(join_reports([]).columns) == list(REPORT_COLUMNS)
    assert Report().frame.empty
    assert list(Report().frame.columns) == ["step", *REPORT_COLUMNS]
    assert empty_report().empty
