"""Write the pages that follow from the code: ``python -m docs.generate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generators import architecture, commands, methods, model_card, results, spec_reference

HERE = Path(__file__).resolve().parent
PAGES: dict[str, Callable[[], str]] = {
    "attribution.md": methods.attribution,
    "unlearning.md": methods.unlearning,
    "model-card.md": model_card.make,
    "commands.md": commands.make,
    "results.md": results.make,
    "spec-reference.md": spec_reference.make,
    "architecture.md": architecture.make,
}


def main() -> None:
    """Write every page that has changed."""
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name} is new")


if __name__ == "__main__":
    main()
