"""torchaudio beside a PyTorch without CUDA.

torchaudio's published wheel holds compiled extensions that link CUDA's libraries. Beside a CPU build of PyTorch they
cannot be loaded, and `import torchaudio` fails. Everything used here (transforms, compliance.kaldi, models) is Python
and works without them: once they are out of the way, torchaudio imports as if it had been built without any.

`python -m manyviews_speech.torchaudio_cpu` moves them aside, says so, and does nothing where PyTorch has CUDA.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from manyviews.errors import UserError

ASIDE = "set_aside"
"""Folder beside the extensions that they are moved into; moving them back undoes it."""


def extensions(package: Path) -> list[Path]:
    """The compiled extensions of the torchaudio at `package`."""
    return sorted((package / "lib").glob("*.so"))


def set_aside(package: Path) -> list[Path]:
    """Move the extensions away; where they are now."""
    folder = package / "lib" / ASIDE
    moved = []
    for path in extensions(package):
        folder.mkdir(exist_ok=True)
        moved.append(path.replace(folder / path.name))
    return moved


def load() -> ModuleType:
    """torchaudio, imported.

    Raises:
        UserError: its extensions cannot be loaded: says what to do.
    """
    try:
        import torchaudio
    except (OSError, ImportError) as error:
        raise UserError(
            f"torchaudio cannot be imported: {str(error).splitlines()[0]}\n"
            "Where PyTorch has no CUDA, run `python -m manyviews_speech.torchaudio_cpu` once: it moves torchaudio's compiled\n"
            "extensions, which need CUDA and are not used here, out of the way"
        ) from error
    module: ModuleType = torchaudio
    return module


def main() -> None:
    """Move the extensions aside where PyTorch has no CUDA, and say what was done."""
    import torch

    found = importlib.util.find_spec("torchaudio")
    if found is None or found.origin is None:
        print("torchaudio is not installed: nothing to do")
        return
    package = Path(found.origin).parent
    if torch.version.cuda is not None:
        print(f"PyTorch {torch.__version__} has CUDA: torchaudio's extensions are left where they are")
    elif moved := set_aside(package):
        names = ", ".join(path.name for path in moved)
        print(f"PyTorch {torch.__version__} has no CUDA: torchaudio's extensions, which need it, moved to {moved[0].parent}:")
        print(f"  {names}")
    else:
        print(f"torchaudio in {package} has no extensions in its way: nothing to do")


if __name__ == "__main__":
    main()
