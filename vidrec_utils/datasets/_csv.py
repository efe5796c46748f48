"""Reading one csv file as texts: every cell as it stands, or the row where the file is broken.

The cells of a record are counted, and quotation marks are followed through the whole file before
it is read: a mark that nothing closes would make one cell of all rows that follow.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from vidrec_utils.datasets._problems import Unreadable, problem_frame, unreadable

UNPACKED_LIMIT = 1 << 32
"""Bytes that a packed table may have when it is unpacked."""

MAX_COLUMNS = 20_100
"""Columns that a table may have."""

_NEWLINE = re.compile(rb"\r\n|\r|\n")
_SEPARATORS = {b",": "commas", b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_STRUCTURED = 5
"""Shapes that the cells of a column have at most when they all follow one pattern."""


@dataclass
class Table:
    """A table as a file has it.

    Attributes
    ----------
    frame : pandas.DataFrame
        The cells.
    rows : numpy.ndarray of int or None
        The row of each record in the file, where it is not its index plus 2.
    problems : list of pandas.DataFrame
        Warnings of reading.
    """

    frame: pd.DataFrame
    rows: np.ndarray | None = None
    problems: list[pd.DataFrame] = field(default_factory=list)


def read_csv(
    file: Path,
    delimiter: bytes = b",",
    names: list[str] | None = None,
    quotes: bool = True,
    latin: bool = False,
    lone_returns: bool = False,
) -> Table:
    """Read a csv file as texts; an empty cell is NA.

    Parameters
    ----------
    file : pathlib.Path
        The file, packed if its name ends with `.gz`. It is UTF-8, or UTF-16 with a mark.
    delimiter : bytes
        What separates cells, unless a first line such as `sep=,` names it.
    names : list of str, optional
        Names of the columns where the file has no header.
    quotes : bool
        Whether a quotation mark at the start of a cell opens a cell that may hold delimiters.
    latin : bool
        Whether a file that is not UTF-8 is Latin-1.
    lone_returns : bool
        Whether a carriage return without a line feed is part of a cell; it is read as a blank.

    Raises
    ------
    Unreadable
        If the file is empty, not in these encodings, or its cells do not fit its header.
    """
    data = decoded(file, _unpacked(file), latin)
    if lone_returns:
        data = re.sub(rb"\r(?!\n)", b" ", data)
    data, delimiter, skipped = _without_separator_line(data, delimiter)
    return _table(file, data, delimiter, names, quotes, skipped)


def read_csv_blocks(file: Path, delimiter: bytes = b",", size: int = 1 << 23) -> Iterator[Table]:
    """Read a csv file without quoted cells block by block, so that memory stays bounded.

    Parameters
    ----------
    file : pathlib.Path
        The file, in UTF-8, with a header.
    delimiter : bytes
        What separates cells.
    size : int
        Bytes of a block; a line must fit into one.

    Yields
    ------
    Table
        Some rows as texts, with their rows in the file. The first has none: it tells the columns.

    Raises
    ------
    Unreadable
        As in `read_csv`, and if a line is longer than a block.
    """
    with file.open("rb") as stream:
        head = stream.readline(size)
        text = _Text(file, decoded(file, head), delimiter, 0, quotes=False)
        if not head.strip():
            raise unreadable(file, None, "the file is empty", "Write a header and rows.")
        names = text.header()
        text.check_header(names)
        yield Table(pd.DataFrame(columns=[name.strip() for name in names], dtype="str"))
        skipped, rest = 1, b""
        while chunk := stream.read(size):
            data = rest + chunk
            end = data.rfind(b"\n") + 1
            block, rest = data[:end], data[end:]
            if len(rest) > size:
                problem = f"the line has more than {size:,} bytes"
                remedy = "Look at the file: it seems to have no line ends."
                raise unreadable(file, skipped + 1, problem, remedy)
            yield from _block(file, block, delimiter, names, skipped)
            skipped += block.count(b"\n")
        yield from _block(file, rest, delimiter, names, skipped)


def _block(
    file: Path, data: bytes, delimiter: bytes, names: list[str], skipped: int
) -> Iterator[Table]:
    """Read the rows of a block, which follows so many lines of the file, if it has any."""
    if not data.strip():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = skipped + data.count(b"\n", 0, error.start) + 1
        problem = f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8"
        raise unreadable(file, line, problem, 'Save the file as "CSV UTF-8".') from error
    table = _table(file, data, delimiter, names, quotes=False, skipped=skipped)
    rows = np.arange(len(table.frame)) + 2 if table.rows is None else table.rows
    yield Table(table.frame, rows, table.problems)


def read_lines(file: Path, delimiter: bytes, names: list[str], header: bool = False) -> Table:
    r"""Read a file whose last cell is free text, which may hold delimiters and quotation marks.

    Each line is split at its first delimiters, as many as the other columns need. A last cell in
    quotation marks, with those within it doubled, is taken out of them. Only `\n` ends a line.

    Parameters
    ----------
    file : pathlib.Path
        The file, in UTF-8.
    delimiter : bytes
        What separates cells.
    names : list of str
        Names of the columns, in order.
    header : bool
        Whether the first line names the columns.

    Returns
    -------
    Table
        The cells as texts; an empty cell is NA. Lines with too few cells are left out, and each is
        named by a warning: they are often the second half of a text with a line break.

    Raises
    ------
    Unreadable
        If the file is empty, not UTF-8, or no line has all cells.
    """
    lines = decoded(file, _unpacked(file)).decode("utf-8").split("\n")
    mark, splits = delimiter.decode(), len(names) - 1
    cells, rows, short = [], [], []
    for row, line in enumerate(lines[header:], start=1 + header):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        record = line.split(mark, splits)
        if len(record) <= splits:
            short.append((row, line))
            continue
        cells.append([*record[:-1], _unquoted(record[-1].encode(), quotes=True)])
        rows.append(row)
    if not cells and not short:
        raise unreadable(file, None, "the file is empty", "Write a header and rows.")
    own = {b",": "comma", b"\t": "tab"}.get(delimiter, mark)
    remedy = f"Write {' and '.join(names)} in one line, with a {own} between them."
    problem = f"the line has fewer than {len(names)} cells"
    if not cells:
        raise unreadable(file, short[0][0], problem, remedy)
    frame = pd.DataFrame(cells, columns=names, dtype="str")
    frame = frame.mask(frame == "")
    if not short:
        return Table(frame, np.array(rows, dtype="int64"))
    warning = problem_frame(
        file.name,
        [row for row, _ in short],
        None,
        [line for _, line in short],
        f"{problem}; it is left out",
        remedy,
        "warning",
    )
    return Table(frame, np.array(rows, dtype="int64"), [warning])


def _table(
    file: Path,
    data: bytes,
    delimiter: bytes,
    names: list[str] | None,
    quotes: bool,
    skipped: int,
) -> Table:
    """Read the text of a csv file, or what follows so many of its lines."""
    if len(delimiter) > 1:  # one character, which the file does not have, is easier to parse
        single = next(mark for mark in (b"\x1f", b"\x1e", b"\x1d") if mark not in data)
        data, delimiter = data.replace(delimiter, single), single
    blank = len(data) - len(data.lstrip(b"\r\n"))
    skipped += len(_NEWLINE.findall(data[:blank]))
    data = data[blank:]
    if not data.strip():
        raise unreadable(file, None, "the file is empty", "Write a header and rows.")
    text = _Text(file, data, delimiter, skipped, quotes and b'"' in data)
    text.check_quotes()
    if names is None:
        names = text.header()
        text.check_header(names)
        head = 1
    else:
        head = 0
    arrow = _parsed(text, names)
    frame = pd.DataFrame(
        {position: column.to_pandas() for position, column in enumerate(arrow.columns)}
    )
    frame = frame.astype("str").set_axis([name.strip() for name in names], axis=1)
    if "" in frame and frame[[""]].isna().all(axis=None):
        frame = frame.drop(columns="")  # every line ends with a comma
    rows = text.record_rows(head)
    return Table(frame, rows, text.check_line_breaks(frame, rows))


def decoded(file: Path, data: bytes, latin: bool = False) -> bytes:
    """Return the text of a file as UTF-8 without a byte order mark.

    Raises
    ------
    Unreadable
        If it is in another encoding; names the line and the byte.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16").encode("utf-8")
        except UnicodeError as error:
            problem = f"begins like UTF-16 and is not: {error}"
            raise unreadable(file, None, problem, 'Save the file as "CSV UTF-8".') from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    sample = data[:1000]
    if 3 * sample.count(0) > len(sample):
        problem = "every other byte is 0, as in UTF-16 without a byte order mark"
        raise unreadable(file, 1, problem, 'Save the file as "CSV UTF-8".')
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if latin:
            return data.decode("latin-1").encode("utf-8")
        line = len(_NEWLINE.findall(data, 0, error.start)) + 1
        problem = f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8"
        raise unreadable(file, line, problem, 'Save the file as "CSV UTF-8".') from error
    return data


def _unpacked(file: Path) -> bytes:
    if file.suffix.lower() != ".gz":
        return file.read_bytes()
    try:
        with gzip.open(file) as stream:
            data = stream.read(UNPACKED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(file, None, f"not readable as gzip: {error}", "Pack it anew.") from error
    if len(data) > UNPACKED_LIMIT:
        problem = f"it holds more than {UNPACKED_LIMIT >> 30} GB when unpacked"
        raise unreadable(file, None, problem, "Unpack it, or save it as parquet.")
    return data


def _without_separator_line(data: bytes, delimiter: bytes) -> tuple[bytes, bytes, int]:
    """Take the line away by which spreadsheets are told the separator, such as `sep=,`."""
    line = re.match(rb'(?i)"?sep=([^\r\n"])"?[\t,;| ]*(\r\n|\r|\n|\Z)', data)
    return (data[line.end() :], line[1], 1) if line else (data, delimiter, 0)


@dataclass
class _Text:
    """The bytes of a csv file, beginning with its header, and what they are made of.

    Attributes
    ----------
    file : pathlib.Path
    data : bytes
        UTF-8, from the header on.
    delimiter : bytes
    skipped : int
        Lines of the file above the header.
    quotes : bool
        Whether the file has quotation marks to follow.
    records : bytes
        What follows the header; all of it where there is none.
    """

    file: Path
    data: bytes
    delimiter: bytes
    skipped: int
    quotes: bool

    def __post_init__(self) -> None:
        self.records = self.data
        separator = re.escape(self.delimiter)
        # A quoted cell; the group is its end, absent where no delimiter or line end follows.
        self.quoted = re.compile(
            rb'(?<![^%s\r\n])"(?:[^"]++|"")*+("(?=[%s\r\n]|\Z))?' % (separator, separator)
        )

    def cells(self) -> Iterator[re.Match[bytes]]:
        """Go through the quoted cells."""
        return self.quoted.finditer(self.data) if self.quotes else iter(())

    def masked(self, end: int | None = None) -> bytes:
        """Return the text up to a position with a letter in place of each quoted cell."""
        data = self.data if end is None else self.data[:end]
        return self.quoted.sub(b"q", data) if self.quotes else data

    def row(self, position: int) -> int:
        """Return the row at a position as a spreadsheet shows it."""
        return self.skipped + len(_NEWLINE.findall(self.masked(position))) + 1

    def check_quotes(self) -> None:
        """Raise an error at the first quoted cell that is not closed, or not where it ends."""
        for cell in self.cells():
            if cell[1] is not None:
                continue
            start = cell[0][:40].decode("utf-8", "replace").partition("\n")[0]
            problem = f"nothing closes the quotation mark that opens the cell {start!r}"
            if cell.end() < len(self.data) and self.data[cell.end() : cell.end() + 1] == b'"':
                problem = f"text follows the mark that closes the cell {start!r}"
            remedy = (
                "Close the cell with a quotation mark, and double every mark within it; or take "
                "the mark away."
            )
            raise unreadable(self.file, self.row(cell.start()), problem, remedy)

    def header(self) -> list[str]:
        """Return the names of the columns as the first record has them."""
        start, newline = 0, None
        for cell in self.cells():
            newline = _NEWLINE.search(self.data, start, cell.start())
            if newline:
                break
            start = cell.end()
        newline = newline or _NEWLINE.search(self.data, start)
        record = self.data[: newline.start()] if newline else self.data
        self.records = self.data[newline.end() :] if newline else b""
        return [_unquoted(cell, self.quotes) for cell in self._split(record)]

    def _split(self, record: bytes) -> list[bytes]:
        if not self.quotes or b'"' not in record:
            return record.split(self.delimiter)
        separator = re.escape(self.delimiter)
        cell = re.compile(
            rb'(?:\A|%s)("(?:[^"]++|"")*+"(?=%s|\Z)|[^%s]*)' % (separator, separator, separator)
        )
        return cell.findall(record)

    def check_header(self, names: list[str]) -> None:
        """Raise an error if another separator splits the header, or if it has too many names."""
        for separator, word in _SEPARATORS.items():
            other = separator.decode()
            if len(names) == 1 and separator != self.delimiter and other in names[0]:
                own = _SEPARATORS.get(self.delimiter, repr(self.delimiter.decode()))
                problem = f"the cells of the header are separated by {word}, not by {own}"
                remedy = f"Save the file with {own} between cells, and points in decimal numbers."
                raise unreadable(self.file, self.skipped + 1, problem, remedy)
        if len(names) > MAX_COLUMNS:
            problem = f"the header has {len(names):,} cells; {MAX_COLUMNS:,} are the most"
            remedy = "Drop columns, or keep them in a file of their own."
            raise unreadable(self.file, self.skipped + 1, problem, remedy)

    def miscounted(self, n_names: int) -> Unreadable | None:
        """Return the error for the first row that has other cells than the header, if any."""
        for index, line in enumerate(_NEWLINE.split(self.masked())):
            count = line.count(self.delimiter) + 1
            if line and count != n_names:
                problem, remedy = self._count_problem(line, count, n_names)
                return unreadable(self.file, self.skipped + index + 1, problem, remedy)
        return None

    def _count_problem(self, line: bytes, count: int, expected: int) -> tuple[str, str]:
        own = {b",": "comma", b"\t": "tab", b";": "semicolon"}.get(self.delimiter, "separator")
        cells = "1 cell" if count == 1 else f"{count} cells"
        problem = f"the row has {cells}, the header {expected}"
        if count > expected and not line.rstrip(self.delimiter).count(self.delimiter) >= expected:
            problem += f": it ends with a {own} after its last cell, the header does not"
            return problem, f"Take the {own} at the end of rows away, or add one to the header."
        if count > expected:
            return problem, (
                f"Put cells that hold a {own}, quotes or line breaks into double quotes, and "
                "close them."
            )
        return problem, (
            f"Write a {own} for each empty cell at its end; a line break within a cell needs "
            "double quotes around the cell."
        )

    def record_rows(self, head: int) -> np.ndarray | None:
        """Return the row of each record where it is not simply its index plus 2."""
        blank = re.search(rb"\n\r?\n|\r\r", self.data.rstrip())
        if blank is None:
            if self.skipped + head == 1:
                return None
            n_lines = len(_NEWLINE.findall(self.masked().rstrip(b"\r\n"))) + 1
            return np.arange(n_lines - head) + self.skipped + head + 1
        lines = _NEWLINE.split(self.masked())
        filled = [index for index, line in enumerate(lines, start=self.skipped + 1) if line]
        return np.array(filled[head:], dtype="int64")

    def check_line_breaks(self, frame: pd.DataFrame, rows: np.ndarray | None) -> list[pd.DataFrame]:
        """Report cells with line breaks whose lines look like rows that a stray mark swallowed.

        Raises
        ------
        Unreadable
            If these lines have the cells of the header, and the patterns of its columns.
        """
        if not self.quotes or len(frame.columns) < 2:
            return []
        shapes: dict[int, set[str]] | None = None
        problems = []
        for cell in self.cells():
            if b"\n" not in cell[0] and b"\r" not in cell[0]:
                continue
            lines = _NEWLINE.split(cell[0][1:-1])[1:]
            alike = [line for line in lines if line.count(self.delimiter) + 1 == len(frame.columns)]
            if not alike:
                continue
            shapes = _column_shapes(frame) if shapes is None else shapes
            row, example = self.row(cell.start()), alike[0][:60].decode("utf-8", "replace")
            problem = f"the cell that a quotation mark opens here has lines like rows: {example!r}"
            remedy = "If they are rows, take the quotation marks around them away."
            split = [line.decode("utf-8").split(self.delimiter.decode()) for line in alike]
            if any(_fits(cells, shapes) for cells in split):
                raise unreadable(self.file, row, problem, remedy)
            problems.append(
                problem_frame(self.file.name, [row], None, None, problem, remedy, "warning")
            )
        return problems


def _unquoted(cell: bytes, quotes: bool) -> str:
    text = cell.decode("utf-8")
    if quotes and len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('""', '"')
    return text


def _parsed(text: _Text, names: list[str]) -> pa.Table:
    keys = [str(position) for position in range(len(names))]  # names may repeat
    if not text.records.strip(b"\r\n"):
        return pa.table({key: pa.nulls(0, pa.string()) for key in keys})
    try:
        return pa.csv.read_csv(
            pa.BufferReader(text.records),
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=max(1 << 16, min(len(text.records) + 1, 1 << 30)),
                column_names=keys,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=text.delimiter.decode(),
                quote_char='"' if text.quotes else False,
                newlines_in_values=text.quotes,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        problem = f"not readable as csv: {str(error).splitlines()[0]}"
        raise (
            text.miscounted(len(names)) or unreadable(text.file, None, problem, "Write it anew.")
        ) from error


def _column_shapes(frame: pd.DataFrame) -> dict[int, set[str]]:
    """Return the shapes of the cells of each column that has few, one with a digit among them."""
    shapes = {}
    for position in range(len(frame.columns)):
        cells = {_shape(cell) for cell in frame.iloc[:1000, position].dropna()}
        if cells and len(cells) <= _STRUCTURED and any("9" in shape for shape in cells):
            shapes[position] = cells
    return shapes


def _shape(cell: str) -> str:
    """Replace digits by 9 and letters by a, each run of them by one."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell.strip()))


def _fits(cells: list[str], shapes: dict[int, set[str]]) -> bool:
    """Whether most cells of a line have the shapes of their columns."""
    filled = [position for position in shapes if cells[position].strip()]
    fitting = [_shape(cells[position]) in shapes[position] for position in filled]
    return bool(fitting) and 2 * sum(fitting) >= len(shapes)
