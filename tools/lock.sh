#!/bin/sh
# Writes requirements/*.txt: universal pins with hashes for Python 3.11 to 3.13, without any download address.
set -eu
cd "$(dirname "$0")/.."
UV="${UV:-uv}"
compile() {
    out="$1"; shift
    "$UV" pip compile --quiet "$@" --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --output-file "requirements/$out.txt"
}
compile core pyproject.toml
compile core-test pyproject.toml --extra test
compile run pyproject.toml --extra web
compile dev pyproject.toml --extra web --extra test --extra dev
compile fuzz pyproject.toml --extra fuzz
echo 'setuptools>=80' | compile build -
