"""The proof of the plug-in shape: the fifth kind of work is its folder, and engines that can do it."""

import architecture_rules as rules

FOLDER = "app/modalities/rerank/"
ENGINES = "node/engines/"
"""What a model and a server are for is an engine's to find out, and to say."""
OTHERWISE = {"app/modalities/llm/thinking.py": "a word in names of models that do not think"}


def test_nothing_outside_its_folder_and_the_engines_names_it() -> None:
    texts = [(path, text) for path, text in rules.texts() if path.startswith(("app/", "node/", "pyproject"))]
    naming = {path for path, text in texts if "rerank" in text.lower()}
    assert any(path.startswith(FOLDER) for path in naming)
    assert not {path for path in naming if not path.startswith((FOLDER, ENGINES))} - OTHERWISE.keys()
