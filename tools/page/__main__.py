"""Build the page of a trained model: `python -m tools.page [RUN]`, behind `make page`.

Without a run the bundled encoder is tuned on the data at hand, once, into `build/page/run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agnews_utils import train
from agnews_utils.files import shown_path
from agnews_utils.runs import RUN_FILE, RunError
from agnews_utils.runtime import say
from agnews_utils.serving.export import export_run
from agnews_utils.serving.exported import EXPORT_FILE, ExportError
from tools.page.build import PageError, write_page

BUILD = Path("build") / "page"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m tools.page --help`."""
    parser = argparse.ArgumentParser(prog="python -m tools.page", description=__doc__)
    add = parser.add_argument
    text = "folder that `python -m agnews_utils.train` wrote, or one that was exported from it"
    add("run", nargs="?", type=Path, metavar="RUN", help=text)
    add("--data", help="without RUN: what to tune the bundled encoder on; see load_news")
    add("--output", type=Path, default=BUILD / "index.html", help="default: build/page/index.html")
    add("--title", help="above everything; default: the classes")
    add("--examples", type=Path, help="text file with texts to try, one a line")
    add("--full", action="store_true", help="32 bits a weight: four times as large")
    return parser.parse_args(arguments)


def tuned(data: str | None) -> Path:
    """Return the run of the bundled encoder on some data; train it if it is not there yet."""
    folder = BUILD / ("run" if data is None else f"run-{Path(data).name}")
    if (folder / RUN_FILE).is_file():
        say(f"Taking the run in {shown_path(folder)}; delete the folder to train anew.")
        return folder
    command = ["--model", "bert", "--encoder", "bundled", "--output", str(folder), "--test"]
    if (folder / "checkpoints").is_dir():
        command.append("--resume")
    status = train.main(command + (["--data", data] if data else []))
    if status:
        raise PageError("the bundled encoder was not tuned, so there is no model for the page.")
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 after an error that a sentence explains."""
    options = parse_arguments(arguments)
    try:
        examples = None
        if options.examples:
            lines = options.examples.read_text(encoding="utf-8-sig").splitlines()
            examples = [line.strip() for line in lines if line.strip()]
        run = options.run or tuned(options.data)
        export = run
        if not (run / EXPORT_FILE).is_file():
            folder = options.output.parent / f"{options.output.stem}-export"
            export = export_run(run, folder, int8=not options.full)
        size = write_page(export, options.output, title=options.title, examples=examples)
    except (PageError, ExportError, RunError, OSError, UnicodeDecodeError) as error:
        print(f"python -m tools.page: {error}", file=sys.stderr)
        return 1
    say(f"{shown_path(options.output)}: {size / 1e6:.2f} MB; open it in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
